"""``/livez``, ``/readyz`` and ``/metrics``: what an orchestrator and a scraper ask."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Scope = MutableMapping[str, Any]
Send = Callable[[Scope], Awaitable[None]]

#: Paths that are answered here.
PROBE_PATHS = frozenset({"/livez", "/readyz", "/metrics"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that can be wrong."""

    name: str
    #: Returns what is wrong, in words for an operator; empty when nothing is. May block.
    fault: Callable[[], str]
    #: Whether this role's own promise depends on it: then its fault makes the probe fail.
    essential: bool


class Probes:
    """Answers the probes of one process: an ASGI callable."""

    def __init__(self, checks: Sequence[Check], registry: Callable[[], CollectorRegistry]) -> None:
        """``registry``: makes the registry to print, summed over the node's processes."""
        self._checks = tuple(checks)
        self._registry = registry

    async def __call__(self, scope: Scope, receive: object, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Answer one request."""
        kind = b"application/json"
        status = 200
        if scope["method"] not in {"GET", "HEAD"}:
            status, body = 405, b'{"status":"method not allowed"}'
        elif scope["path"] == "/livez":
            body = b'{"status":"up"}'
        elif scope["path"] == "/metrics":
            kind = CONTENT_TYPE_LATEST.encode()
            body = await anyio.to_thread.run_sync(lambda: generate_latest(self._registry()))
        else:
            status, body = await anyio.to_thread.run_sync(self._ready)
        headers = [
            (b"content-type", kind),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if status == 405:  # noqa: PLR2004 - Method Not Allowed
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if scope["method"] == "HEAD":
            body = b""
        await send({"type": "http.response.body", "body": body})

    def _ready(self) -> tuple[int, bytes]:
        faults = {check.name: check.fault() for check in self._checks}
        failing = any(faults[check.name] for check in self._checks if check.essential)
        word = "failing" if failing else "degraded" if any(faults.values()) else "ready"
        answer = {"status": word, "checks": {name: text or "ok" for name, text in faults.items()}}
        return (503 if failing else 200), msgspec.json.encode(answer)
