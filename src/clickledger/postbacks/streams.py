"""A connection as the HTTP client wants it, straight on the event loop.

The client's own streams serve several kinds of loops, at twice the work for each call. The time
limit of a call as a whole is the sender's, so that the limits of single steps are not kept here.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from typing import cast

import httpcore

#: Most bytes that wait to be read. More than the loop takes at a time, so that only an endpoint
#: that talks without being asked gets there, which ends its connection.
_UNREAD_BYTES = 1024 * 1024


async def connect(address: str, port: int, limit_s: float) -> "Stream":
    """Connect to an address, which is not a name.

    Raises:
        httpcore.ConnectError: it did not answer, or not as wanted.
        httpcore.ConnectTimeout: it did not answer in time.
    """
    loop = asyncio.get_running_loop()
    with _as_connect_errors():
        async with asyncio.timeout(limit_s):
            transport, receiver = await loop.create_connection(_Receiver, address, port)
    return Stream(transport, receiver)


class Stream(httpcore.AsyncNetworkStream):
    """One connection. What is written goes out, in one piece, when an answer is read."""

    def __init__(self, transport: asyncio.Transport, receiver: "_Receiver") -> None:
        self._transport = transport
        self._receiver = receiver
        self._unsent: list[bytes] = []

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109 - the client's protocol
        """Return what has come in, at least a byte; nothing: the other end has closed."""
        if self._unsent and not self._transport.is_closing():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()
        return await self._receiver.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - the client's protocol
        """Take what is to be sent; a request is held in memory as a whole anyway."""
        self._unsent.append(buffer)

    async def aclose(self) -> None:
        """Let go of the connection at once."""
        self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the client's protocol
    ) -> "Stream":
        """Speak TLS from here on; raises as ``connect`` does.

        Nothing that came in before is taken for what the other end says under TLS.
        """
        if self._receiver.is_readable:
            self._transport.abort()
            raise httpcore.ConnectError("the other end spoke before TLS, or has closed")
        loop = asyncio.get_running_loop()
        try:
            with _as_connect_errors():
                async with asyncio.timeout(timeout):
                    secured = await loop.start_tls(
                        self._transport,
                        self._receiver,
                        ssl_context,
                        server_hostname=server_hostname,
                    )
        except BaseException:
            self._transport.abort()
            raise
        if secured is None:
            raise httpcore.ConnectError("the connection ended")
        return Stream(secured, self._receiver)

    def get_extra_info(self, info: str) -> object:
        """Tell what the client asks for: the TLS object, and whether something came unasked."""
        if info == "is_readable":
            return self._receiver.is_readable
        return self._transport.get_extra_info(info)


class _Receiver(asyncio.Protocol):
    """Keeps what comes in until it is asked for."""

    def __init__(self) -> None:
        self._chunks = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_readable(self) -> bool:
        """Whether bytes are there, or the end."""
        return self._ended or bool(self._chunks)

    async def read(self, max_bytes: int) -> bytes:
        """Return the next bytes; nothing: they have ended."""
        if not self.is_readable:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self._chunks and self._error is not None:
            raise httpcore.ReadError(str(self._error)) from self._error
        read = bytes(self._chunks[:max_bytes])
        del self._chunks[:max_bytes]
        return read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to end it."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Keep bytes."""
        self._chunks += data
        if len(self._chunks) > _UNREAD_BYTES:
            self._transport.abort()
        self._wake()

    def eof_received(self) -> None:
        """Note that there are no more; the transport closes itself."""
        self._ended = True
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Note that there are no more, and why."""
        self._ended = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@contextlib.contextmanager
def _as_connect_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(str(error)) from error
    except (OSError, ssl.SSLError) as error:
        raise httpcore.ConnectError(str(error)) from error
