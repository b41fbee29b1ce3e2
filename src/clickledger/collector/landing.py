"""Landing URLs: templates filled, click id and ``irgwc=1`` added, the rest untouched: pure."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

#: Marks a visit that came through a tracking link (impact-api 5.4).
GATEWAY_PARAM = "irgwc"
_CLICK_ID = "{clickid}"
_NO_PATH = re.compile(r"[a-z]+://[^/]+", re.IGNORECASE)


class Landing:
    """A landing page of one link, compiled so that only the click id is still to be put in.

    Everything but the click id is known before the click: the page, its query, the filled
    templates. The address is kept in pieces, cut where the click id goes.
    """

    __slots__ = ("_click_id_param", "_fragment", "_head")

    def __init__(
        self,
        page: str,
        *,
        click_id_param: str,
        templates: Iterable[str],
        tokens: Mapping[str, str],
    ) -> None:
        """Compile ``page``: an absolute URL that may hold macros.

        ``templates``: ``name={token}&…`` each, appended in order. ``tokens`` maps ``{iradid}``
        and the like to their values; ``{clickid}`` is filled with each click.
        """
        names = reserved_names(click_id_param)
        address, hash_mark, fragment = page.partition("#")
        base, _, query = address.partition("?")
        if _NO_PATH.fullmatch(base):
            base += "/"
        added = (_without(text, names) for text in (query, *templates))
        query = "&".join(filter(None, added))
        head = f"{base}?{query}&" if query else f"{base}?"
        fragment = hash_mark + fragment
        for token, value in tokens.items():
            head = head.replace(token, value)
            fragment = fragment.replace(token, value)
        self._click_id_param = click_id_param
        self._head = tuple(head.split(_CLICK_ID))
        self._fragment = tuple(fragment.split(_CLICK_ID))

    def url(self, click_id: str, passed_on: str) -> str:
        """Return the address to send a visitor to.

        ``passed_on``: raw ``name=value&…`` of the tracking link that is not ours. With an empty
        ``click_id`` its parameter is left out, for a click id is a promise that the click is kept.
        """
        head = click_id.join(self._head)
        if passed_on:
            head = f"{head}{passed_on}&"
        if click_id:
            head = f"{head}{self._click_id_param}={click_id}&"
        return f"{head}{GATEWAY_PARAM}=1{click_id.join(self._fragment)}"


def reserved_names(click_id_param: str) -> frozenset[bytes]:
    """Return the parameter names that only we may set, in lower case."""
    return frozenset({click_id_param.lower().encode(), GATEWAY_PARAM.encode()})


def parameter_name(raw: bytes) -> bytes:
    """Return a raw parameter's name decoded and in lower case, for comparison."""
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    return raw.lower()


def _without(query: str, names: frozenset[bytes]) -> str:
    """Drop the parameters called ``names``; leave order, repetition and encoding of the rest."""
    kept = (
        part
        for part in query.split("&")
        # Behind `??` some readers see the name without the second mark.
        if parameter_name(part.partition("=")[0].encode()).lstrip(b"?") not in names
    )
    return "&".join(kept)
