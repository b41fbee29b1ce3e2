"""Tracking links, compiled: everything about a link that does not change from click to click."""

import re
from collections.abc import Callable

from clickledger.collector.deep_links import DeepLinkRules
from clickledger.collector.landing import Landing, reserved_names
from clickledger.collector.query import ParameterNames
from clickledger.ids import ClickIdMinter, ClickIds
from clickledger.programs.directory import Directory, Route

_TRACKING_PATH = re.compile(rb"/c/(\d{1,15})/(\d{1,15})/(\d{1,15})/?")
#: Links kept compiled, and deep links of one link. Beyond, the cache starts anew: a scan over
#: made-up paths must not fill the memory.
_LINKS_CACHED = 50_000
_DEEP_LINKS_CACHED = 2_000
#: A request may bring half a megabyte of ``u``: longer ones than this are compiled each time.
_LONGEST_CACHED = 2_048


class Link:
    """One tracking link or vanity path, ready to answer."""

    __slots__ = (
        "_compile",
        "_deep",
        "_rules",
        "ad_id",
        "fallback",
        "media_id",
        "minter",
        "names",
        "program_id",
    )

    def __init__(self, route: Route, click_ids: ClickIds) -> None:
        program, partner, ad = route.program, route.partner, route.ad
        tokens = {
            "{irpid}": str(partner.id),
            "{iradid}": str(ad.id),
            "{ircid}": str(program.id),
        }

        def compile_page(page: str) -> Landing:
            return Landing(
                page,
                click_id_param=program.click_id_param,
                templates=(program.partner_template, program.program_template),
                tokens=tokens,
            )

        self.program_id = program.id
        self.media_id = partner.id
        self.ad_id = ad.id
        self.minter: ClickIdMinter = click_ids.minter(program.id)
        self.names = ParameterNames(reserved_names(program.click_id_param))
        self._rules = DeepLinkRules.of(program.deep_link_domains, program.landing_page)
        self._compile: Callable[[str], Landing] = compile_page
        self._deep: dict[bytes, Landing | None] = {}
        #: Where a visitor goes without a deep link of their own, or with a refused one.
        self.fallback = compile_page(route.deep_link or ad.landing_page or program.landing_page)

    def deep(self, raw: bytes) -> Landing | None:
        """Return the landing for the raw value of ``u``; None when the deep link is refused."""
        try:
            return self._deep[raw]
        except KeyError:
            page = self._rules.accept(raw)
            landing = None if page is None else self._compile(page)
            if len(raw) <= _LONGEST_CACHED:
                if len(self._deep) >= _DEEP_LINKS_CACHED:
                    self._deep.clear()
                self._deep[raw] = landing
            return landing


class Links:
    """The compiled links of one directory, by the path on the wire."""

    __slots__ = ("_click_ids", "_compiled", "directory")

    def __init__(self, directory: Directory, click_ids: ClickIds) -> None:
        self.directory = directory
        self._click_ids = click_ids
        self._compiled: dict[bytes, Link] = {}

    def find(self, path: bytes) -> Link | str:
        """Return the link at ``path`` (raw bytes), or the reason why there is none."""
        link = self._compiled.get(path)
        if link is not None:
            return link
        match = _TRACKING_PATH.fullmatch(path)
        route: Route | str | None
        if match:
            media_id, ad_id, program_id = (int(group) for group in match.groups())
            # Leading zeros are ignored: all spellings of one link share what it keeps.
            plain = b"/c/%d/%d/%d" % (media_id, ad_id, program_id)
            if path != plain:
                return self.find(plain)
            route = self.directory.route(media_id, ad_id, program_id)
        else:
            route = self.directory.vanity(path.decode("latin-1"))
        if route is None:
            return "malformed_link" if path.startswith(b"/c/") else "unknown_link"
        if isinstance(route, str):
            return route
        if len(self._compiled) >= _LINKS_CACHED:
            self._compiled.clear()
        link = self._compiled[path] = Link(route, self._click_ids)
        return link
