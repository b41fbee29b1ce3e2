"""One call of one endpoint: the exact bytes, within a total time, of a judged address only."""

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import cast

import certifi
import httpcore

from clickledger.clock import SteadyClock, to_datetime
from clickledger.postbacks.dialing import GuardedBackend
from clickledger.postbacks.model import Method, Outcome, Prepared
from clickledger.postbacks.network import Guard, TargetError

#: More of an answer than this is not read; its connection ends.
_READ_BYTES = 64 * 1024
#: More of an answer's body than this is not kept.
_KEEP_BYTES = 4 * 1024
#: More of an answer's head than this is not kept.
_KEEP_HEAD_BYTES = 8 * 1024
#: Seconds that an idle connection is kept: below what servers usually keep theirs (5 s and more),
#: so that hardly ever both ends decide at the same time.
_IDLE_S = 4.0
#: Most idle connections that are kept, over all endpoints: a process may have so many files open,
#: and calls to many endpoints would otherwise leave all that some seconds bring.
_IDLE_MOST = 200

#: Scheme, host, port.
_Origin = tuple[str, str, int]


@dataclass(slots=True)
class _Answer:
    """As much of an answer as has come in."""

    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytearray = field(default_factory=bytearray)


class Sender:
    """Calls endpoints; belongs to one event loop.

    ``connect_s``: for the look-up and the connection. ``timeout_s``: for a call as a whole,
    whatever trickles in meanwhile. ``most_idle``: connections that are kept open between calls.
    How many calls are under way is the caller's to limit.
    """

    def __init__(
        self,
        guard: Guard,
        connect_s: float,
        timeout_s: float,
        *,
        clock: SteadyClock | None = None,
        tls: ssl.SSLContext | None = None,
        most_idle: int = _IDLE_MOST,
    ) -> None:
        self._backend = GuardedBackend(guard, connect_s)
        self._connect_s = connect_s
        self._timeout_s = timeout_s
        self._clock = clock or SteadyClock()
        self._tls = tls
        self._most_idle = most_idle
        self._idle: dict[_Origin, list[httpcore.AsyncHTTPConnection]] = {}

    async def send(self, prepared: Prepared) -> Outcome:
        """Make one call; whatever happens is told by the outcome, nothing is raised."""
        started_at = to_datetime(self._clock.now())
        started = time.monotonic()
        answer = _Answer()
        problem = ""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._exchange(prepared, answer)
        except TimeoutError:
            what = "no answer came" if answer.status is None else "the answer did not end"
            problem = f"{what} within {self._timeout_s:g} s"
        except TargetError as error:
            problem = str(error)
        except _FAILURES as error:
            problem = _explain(error, answer, self._connect_s)
        return Outcome(
            started_at=started_at,
            duration_ms=round((time.monotonic() - started) * 1000),
            status=answer.status,
            problem=problem,
            headers=answer.headers,
            body=bytes(answer.body),
        )

    async def tidy(self) -> None:
        """Close connections that have been idle for too long; to be called every few seconds."""
        for origin, idle in list(self._idle.items()):
            expired = [connection for connection in idle if connection.has_expired()]
            fresh = [connection for connection in idle if connection not in expired]
            if fresh:
                self._idle[origin] = fresh
            else:
                del self._idle[origin]
            for connection in expired:
                await _close(connection)

    async def aclose(self) -> None:
        """Close every idle connection."""
        idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                await _close(connection)

    async def _exchange(self, prepared: Prepared, answer: _Answer) -> None:
        request = _request(prepared, self._connect_s)
        origin = (prepared.scheme, prepared.host, prepared.port)
        connection = await self._connection(origin, request)
        try:
            response = await connection.handle_async_request(request)
            answer.status = response.status
            answer.headers = _head(response.headers)
            read = 0
            stream = cast("AsyncGenerator[bytes]", response.aiter_stream())
            async with contextlib.aclosing(stream) as chunks:
                async for chunk in chunks:
                    read += len(chunk)
                    answer.body += chunk[: _KEEP_BYTES - len(answer.body)]
                    if read > _READ_BYTES:
                        break
            await response.aclose()  # an answer not read to its end ends the connection
        except BaseException:
            await _close(connection)
            raise
        if not connection.is_available():
            return
        if sum(map(len, self._idle.values())) >= self._most_idle:
            await _close(connection)
        else:
            self._idle.setdefault(origin, []).append(connection)

    async def _connection(
        self, origin: _Origin, request: httpcore.Request
    ) -> httpcore.AsyncHTTPConnection:
        """Take the connection used last, so that those not needed grow old; else a new one."""
        while idle := self._idle.get(origin):
            connection = idle.pop()
            if not idle:
                del self._idle[origin]
            if not connection.has_expired():
                return connection
            await _close(connection)
        if origin[0] == "https" and self._tls is None:
            self._tls = trust()
        return httpcore.AsyncHTTPConnection(
            request.url.origin,
            ssl_context=self._tls,
            keepalive_expiry=_IDLE_S,
            network_backend=self._backend,
        )


#: What the HTTP client raises when a call fails.
_FAILURES = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    OSError,  # what an operating system says that the client does not know
)


def trust() -> ssl.SSLContext:
    """Trust what the system trusts, and the usual authorities where the system has no list.

    It takes tens of milliseconds; a sender that was given none makes one when it first needs it.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _request(prepared: Prepared, connect_s: float) -> httpcore.Request:
    standard = {"http": 80, "https": 443}[prepared.scheme]
    host = f"[{prepared.host}]" if ":" in prepared.host else prepared.host
    headers = [("Host", host if prepared.port == standard else f"{host}:{prepared.port}")]
    headers += prepared.headers
    if prepared.method is Method.POST:
        headers.append(("Content-Length", str(len(prepared.body))))
    return httpcore.Request(
        method=prepared.method.value,
        url=httpcore.URL(
            scheme=prepared.scheme.encode(),
            host=prepared.host.encode(),
            port=prepared.port,
            target=prepared.target.encode("ascii"),
        ),
        headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers],
        content=prepared.body,
        extensions={"timeout": {"connect": connect_s}},
    )


def _head(headers: list[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    kept: list[tuple[str, str]] = []
    room = _KEEP_HEAD_BYTES
    for name, value in headers:
        room -= len(name) + len(value)
        if room < 0:
            break
        kept.append((name.decode("latin-1"), value.decode("latin-1")))
    return tuple(kept)


async def _close(connection: httpcore.AsyncHTTPConnection) -> None:
    with contextlib.suppress(*_FAILURES):  # it is of no use any more, however it ends
        await connection.aclose()


def _explain(error: Exception, answer: _Answer, connect_s: float) -> str:
    """Say in words why a call failed."""
    causes = _causes(error)
    secure = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    if secure is not None:
        reason = getattr(secure, "verify_message", "") or secure.reason or str(secure)
        return f"TLS failed: {reason}"
    match error:
        case httpcore.ConnectTimeout():
            text = f"no connection within {connect_s:g} s"
        case httpcore.ConnectError():
            told = (cause.errno for cause in reversed(causes) if isinstance(cause, OSError))
            number = next(filter(None, told), None)
            text = f"no connection: {os.strerror(number) if number else 'it ended at once'}"
        case httpcore.LocalProtocolError():
            text = f"the request cannot be sent: {error}"
        case _ if answer.status is not None:
            text = "the connection ended in the middle of the answer"
        case httpcore.RemoteProtocolError() if causes[-1] is not error:
            text = f"what came is not an answer in HTTP: {error}"
        case _:
            text = "the connection ended without an answer"
    return text


def _causes(error: BaseException) -> list[BaseException]:
    """List an error and what caused it, the first cause last."""
    found = [error]
    while (cause := found[-1].__cause__ or found[-1].__context__) is not None:
        found.append(cause)
    return found
