"""Calling an ASGI app in this process: one request, one answer, no network and no server."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

Scope = MutableMapping[str, Any]
App = Callable[
    [Scope, Callable[[], Awaitable[Scope]], Callable[[Scope], Awaitable[None]]], Awaitable[None]
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    #: 0: no answer at all.
    status: int
    #: Names in lower case, in the order they were sent.
    headers: tuple[tuple[str, str], ...]
    #: The body as it was sent, piece by piece.
    chunks: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8")

    def header(self, name: str) -> str | None:
        """Return the one header of this name, or None; AssertionError when it came twice."""
        values = [value for given, value in self.headers if given == name.lower()]
        if len(values) > 1:
            raise AssertionError(f"{name} was sent {len(values)} times")
        return values[0] if values else None

    def json(self) -> Any:  # noqa: ANN401 - whatever the body holds
        """Read the body as JSON."""
        return json.loads(self.body)

    def xml(self) -> ET.Element:
        """Read the body as XML."""
        return ET.fromstring(self.body)  # noqa: S314 - our own server's text


def nothing() -> None:
    """Do nothing about a piece of an answer."""


def request(
    app: App,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes | Sequence[bytes] = b"",
    client: tuple[str, int] | None = ("127.0.0.1", 50000),
    leaves: bool = False,
    on_chunk: Callable[[], None] = nothing,
) -> Answer:
    """Send one request and wait for the whole answer.

    ``target`` goes out as it is, percent-encoded or not, as a server would hand it on: the path
    decoded, bytes that are no UTF-8 replaced. ``body`` may come in several pieces; with
    ``leaves`` the caller goes away after the last one, before the body is complete. ``on_chunk``
    is called when a piece of the answer has come.
    """
    return asyncio.run(
        request_async(
            app,
            method,
            target,
            headers=headers,
            body=body,
            client=client,
            leaves=leaves,
            on_chunk=on_chunk,
        )
    )


async def request_async(
    app: App,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes | Sequence[bytes] = b"",
    client: tuple[str, int] | None = ("127.0.0.1", 50000),
    leaves: bool = False,
    on_chunk: Callable[[], None] = nothing,
) -> Answer:
    """Send one request from a running event loop."""
    path, _, query = target.partition("?")
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    given = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    if not any(name == b"host" for name, _ in given):
        given.insert(0, (b"host", b"testserver"))
    pieces = [body] if isinstance(body, bytes) else list(body)
    incoming = [
        {"type": "http.request", "body": piece, "more_body": leaves or position < len(pieces)}
        for position, piece in enumerate(pieces, 1)
    ]
    started: Scope = {}
    chunks: list[bytes] = []
    finished = asyncio.Event()
    if leaves:
        finished.set()

    async def receive() -> Scope:
        if incoming:
            return incoming.pop(0)
        await finished.wait()
        return {"type": "http.disconnect"}

    async def send(message: Scope) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        else:
            chunks.append(message.get("body", b""))
            on_chunk()
            if not message.get("more_body", False):
                finished.set()

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path, errors="replace"),
        "raw_path": path.encode("latin-1"),
        "root_path": "",
        "query_string": query.encode("latin-1"),
        "headers": given,
        "client": client,
        "server": ("testserver", 80),
        "state": {},
    }
    await app(scope, receive, send)
    return Answer(
        status=started.get("status", 0),
        headers=tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in started.get("headers", ())
        ),
        chunks=tuple(chunks),
    )
