"""Connections for the HTTP client, opened to addresses that the guard has judged and no other."""

import asyncio
import time
from collections.abc import Iterable

import httpcore

from clickledger.postbacks import streams
from clickledger.postbacks.network import Guard


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections for the HTTP client, to addresses that the guard has judged only.

    TLS is told the name, not the address, by the client. There are no Unix sockets.
    """

    def __init__(self, guard: Guard, connect_s: float) -> None:
        self._guard = guard
        self._connect_s = connect_s

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the client's protocol
        local_address: str | None = None,  # noqa: ARG002 - the same
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - the same
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of ``host`` that answers, all of them judged before.

        Raises:
            TargetError: it may not be called, or is not found.
        """
        limit_s = self._connect_s if timeout is None else timeout
        until = time.monotonic() + limit_s
        found = await self._guard.addresses_within(host, port, limit_s)
        for position, address in enumerate(found):
            # A first address that does not answer leaves time for the next one.
            share_s = max(0.0, until - time.monotonic()) / (len(found) - position)
            try:
                return await streams.connect(address, port, share_s)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if position == len(found) - 1:
                    raise
        raise AssertionError("the guard returns at least one address")

    async def sleep(self, seconds: float) -> None:
        """Pause between two tries of the client, which makes none."""
        await asyncio.sleep(seconds)
