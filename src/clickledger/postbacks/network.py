"""Which addresses a postback may reach: looked up, judged, and the very one judged is called.

A name is judged when a notification is saved and again at each connection, since its answer may
change in between. What is judged at a connection is what is connected to: nothing looks the name
up a second time.
"""

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from ipaddress import IPv4Network, IPv6Network

from clickledger.errors import ClickledgerError
from clickledger.postbacks.addresses import refused

#: Host → its addresses as text; raises OSError or UnicodeError when it has none.
Resolver = Callable[[str], Sequence[str]]

#: Threads that look names up: the most that dead name servers can hold at a time.
_LOOKUPS = 32
#: Seconds that a look-up may take when nothing else limits it.
_LOOKUP_S = 5.0


class TargetError(ClickledgerError):
    """An endpoint may not be called, or its name cannot be found; the message says which."""

    http_status = 400


def system_resolver(host: str) -> Sequence[str]:
    """Look a name up as the system does; an address in any of its forms is one already."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Guard:
    """Decides which hosts and ports may be called; safe to share between threads.

    ``networks``: private networks that may be reached all the same. ``ports``: the only ones.
    """

    def __init__(
        self,
        networks: Iterable[IPv4Network | IPv6Network],
        ports: Iterable[int],
        resolve: Resolver = system_resolver,
    ) -> None:
        self._networks = tuple(networks)
        self._ports = frozenset(ports)
        self._lookups = _Lookups(resolve)

    def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Look a host up and return its addresses, all of which may be called.

        Raises:
            TargetError: the port is not allowed, the host is not found, or one of its
                addresses may not be reached.
        """
        self._check_port(port)
        try:
            found = self._lookups.begin(host).result(_LOOKUP_S)
        except TimeoutError:
            raise _not_in_time(host) from None
        return self._judge(host, found)

    async def addresses_within(self, host: str, port: int, limit_s: float) -> tuple[str, ...]:
        """Do as ``addresses`` without blocking; raises the same, also when time is up."""
        self._check_port(port)
        try:
            async with asyncio.timeout(limit_s):
                found = await asyncio.wrap_future(self._lookups.begin(host))
        except TimeoutError:
            raise _not_in_time(host) from None
        return self._judge(host, found)

    def _check_port(self, port: int) -> None:
        if port not in self._ports:
            allowed = ", ".join(str(known) for known in sorted(self._ports)) or "none"
            raise TargetError(f"port {port} may not be called; allowed: {allowed}")

    def _judge(self, host: str, found: tuple[str, ...]) -> tuple[str, ...]:
        if not found:
            raise TargetError(f"the host {host} does not resolve to any address")
        for address in found:
            reason = refused(address, self._networks)
            if reason:
                raise TargetError(f"the host {host} may not be called: {reason}")
        return found


class _Lookups:
    """Looks names up in a bounded number of threads, each name once at a time.

    The threads are daemons that end when there is nothing to do: one that a dead name server
    holds keeps no process from ending, as an executor's would.
    """

    def __init__(self, resolve: Resolver) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._running: dict[str, Future[tuple[str, ...]]] = {}
        self._threads = 0

    def begin(self, host: str) -> Future[tuple[str, ...]]:
        """Begin to look a host up, or join those who do; no addresses: it is not found."""
        with self._lock:
            present = self._running.get(host)
            if present is not None:
                return present
            future: Future[tuple[str, ...]] = Future()
            future.set_running_or_notify_cancel()  # whoever gives up does not end it for others
            self._running[host] = future
            self._waiting.append(host)
            if self._threads < _LOOKUPS:
                self._threads += 1
                threading.Thread(target=self._work, name="postbacks-lookup", daemon=True).start()
            return future

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                host = self._waiting.popleft()
            try:
                found = tuple(dict.fromkeys(self._resolve(host)))
            except (OSError, UnicodeError):
                found = ()
            with self._lock:
                future = self._running.pop(host)
            future.set_result(found)


def _not_in_time(host: str) -> TargetError:
    return TargetError(f"the host {host} could not be looked up in time")
