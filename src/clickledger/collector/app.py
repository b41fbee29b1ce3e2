"""The hot path: a request at a tracking link becomes a durable click and a redirect.

Read it top to bottom: parse, look up, append, answer. The redirect that carries a click id
is sent after the spool has said that the click is on disk, never before.
"""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol

from clickledger.clock import Micros, SteadyClock
from clickledger.collector.committer import Committer
from clickledger.collector.landing import Landing
from clickledger.collector.links import Link, Links
from clickledger.collector.query import split_query
from clickledger.collector.visitor import (
    TrustedProxies,
    canonical_address,
    carried_profile,
    profile_cookie,
)
from clickledger.ids import ClickIds, new_profile_id
from clickledger.metrics import Metrics
from clickledger.programs.directory import Directory
from clickledger.spool.model import (
    HEADER_CAP,
    PATH_CAP,
    QUERY_CAP,
    REFERRER_CAP,
    URL_CAP,
    USER_AGENT_CAP,
    Click,
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

_NO_STORE = (b"cache-control", b"no-store")
_REDIRECT: tuple[tuple[bytes, bytes], ...] = (
    _NO_STORE,
    (b"content-length", b"0"),
    # The landing page learns which site sent the visitor, not on which page they were.
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"x-robots-tag", b"noindex"),
)
_NO_BODY = {"type": "http.response.body", "body": b""}
_NOT_FOUND_PAGE = (
    b"<!doctype html><html lang=en><meta charset=utf-8><title>Link not found</title>"
    b"<p>This link leads nowhere: it is unknown or no longer in use.</p></html>\n"
)


class DirectorySource(Protocol):
    """Where the collector finds the present directory."""

    @property
    def current(self) -> Directory:
        """The directory as last loaded; a new object after each change."""


class Collector:
    """Answers tracking links: one ASGI callable, no framework."""

    def __init__(
        self,
        *,
        directory: DirectorySource,
        click_ids: ClickIds,
        committer: Committer,
        clock: SteadyClock,
        proxies: TrustedProxies,
        metrics: Metrics,
    ) -> None:
        self._source = directory
        self._click_ids = click_ids
        self._committer = committer
        self._clock = clock
        self._proxies = proxies
        self._metrics = metrics
        self._links = Links(directory.current, click_ids)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Answer one request."""
        method = scope["method"]
        if method not in {"GET", "HEAD"}:
            await _answer(send, 405, ((b"allow", b"GET, HEAD"), _NO_STORE))
            return
        headers = dict(scope["headers"])
        if _is_prefetch(headers):
            self._metrics.clicks_refused.labels("prefetch").inc()
            await _answer(send, 503, (_NO_STORE,))
            return
        link = self._find(scope["raw_path"])
        if isinstance(link, str):
            await self._not_found(send, link, with_body=method == "GET")
            return
        landing, passed_on, reasons = _target(link, scope["query_string"])
        received = self._clock.now()
        if method == "HEAD":
            await _redirect(send, landing.url("", passed_on))
        elif not self._committer.available(received):
            await self._unrecorded(send, landing.url("", passed_on))
        else:
            click_id = link.minter.mint(received)
            url = landing.url(click_id, passed_on)
            address, secure = self._peer(scope, headers)
            click = _record(
                received, click_id, link, scope, headers, address=address, url=url, reasons=reasons
            )
            if await self._committer.add(click):
                for reason in reasons:
                    self._metrics.clicks_marked.labels(reason).inc()
                cookie = profile_cookie(click.profile_id, secure=secure)
                await _redirect(send, url, (b"set-cookie", cookie.encode("ascii")))
            else:
                await self._unrecorded(send, landing.url("", passed_on))

    def _find(self, path: bytes) -> Link | str:
        directory = self._source.current
        if directory is not self._links.directory:
            self._links = Links(directory, self._click_ids)
        return self._links.find(path)

    def _peer(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[str, bool]:
        """Return the client's address and whether it came over TLS, as far as can be believed."""
        client = scope.get("client")
        address: str = client[0] if client else ""
        secure: bool = scope["scheme"] == "https"
        if self._proxies and self._proxies.trusts(address):
            chain = b",".join(v for k, v in scope["headers"] if k == b"x-forwarded-for")
            secure = headers.get(b"x-forwarded-proto", b"").strip().lower() == b"https"
            return self._proxies.client(address, chain), secure
        if ":" in address:
            address = canonical_address(address)
        return address, secure

    async def _not_found(self, send: Send, reason: str, *, with_body: bool) -> None:
        self._metrics.clicks_refused.labels(reason).inc()
        page = _NOT_FOUND_PAGE if with_body else b""
        headers = (
            _NO_STORE,
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", str(len(_NOT_FOUND_PAGE)).encode()),
            (b"x-click-reason", reason.encode()),
            (b"x-robots-tag", b"noindex"),
        )
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": page})

    async def _unrecorded(self, send: Send, url: str) -> None:
        """Send the visitor on although the click could not be kept: without a click id."""
        self._metrics.clicks_unrecorded.inc()
        await _redirect(send, url, (b"x-click-reason", b"unrecorded"))


def _target(link: Link, query: bytes) -> tuple[Landing, str, tuple[str, ...]]:
    """Return the landing page, the parameters to pass on to it, and why ``u`` was refused."""
    if not query:
        return link.fallback, "", ()
    deep_link, passed_on = split_query(query, link.names)
    if not deep_link:
        return link.fallback, passed_on, ()
    landing = link.deep(deep_link)
    if landing is None:
        return link.fallback, passed_on, ("bad_deeplink",)
    return landing, passed_on, ()


def _record(
    received: Micros,
    click_id: str,
    link: Link,
    scope: Scope,
    headers: dict[bytes, bytes],
    *,
    address: str,
    url: str,
    reasons: tuple[str, ...],
) -> Click:
    """Make the record: the request as received, each field cut at its cap."""
    find = headers.get
    carried = ""
    if b"cookie" in headers:
        carried = carried_profile(b";".join(v for k, v in scope["headers"] if k == b"cookie"))
    # Positional: keyword arguments cost time on the hot path.
    return Click(
        received,
        click_id,
        link.program_id,
        link.media_id,
        link.ad_id,
        scope["raw_path"][:PATH_CAP],
        scope["query_string"][:QUERY_CAP],
        find(b"user-agent", b"")[:USER_AGENT_CAP],
        find(b"referer", b"")[:REFERRER_CAP],
        address,
        carried or new_profile_id(),
        bool(carried),
        url[:URL_CAP],
        reasons,
        find(b"sec-fetch-site", b"")[:HEADER_CAP],
        find(b"sec-fetch-mode", b"")[:HEADER_CAP],
        find(b"sec-fetch-dest", b"")[:HEADER_CAP],
        find(b"sec-fetch-user", b"")[:HEADER_CAP],
        find(b"sec-gpc", b"")[:HEADER_CAP],
        find(b"accept-language", b"")[:HEADER_CAP],
    )


def _is_prefetch(headers: dict[bytes, bytes]) -> bool:
    """Tell whether nobody has clicked yet (field-standards, c)."""
    for name in (b"sec-purpose", b"purpose", b"x-moz", b"x-purpose"):
        value = headers.get(name)
        if value is not None and value.strip().lower().startswith(
            (b"prefetch", b"prerender", b"preview")
        ):
            return True
    return False


async def _redirect(send: Send, url: str, *more: tuple[bytes, bytes]) -> None:
    headers = ((b"location", url.encode("ascii")), *_REDIRECT, *more)
    await send({"type": "http.response.start", "status": 302, "headers": headers})
    await send(_NO_BODY)


async def _answer(send: Send, status: int, headers: Headers) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": (*headers, (b"content-length", b"0")),
        }
    )
    await send(_NO_BODY)
