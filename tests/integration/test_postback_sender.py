"""One call of an endpoint: what is sent, what becomes of it, and where it must not go."""

import asyncio
import base64
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Self

import httpcore
import pytest

from clickledger.postbacks import streams
from clickledger.postbacks.model import Method, Outcome, Prepared
from clickledger.postbacks.network import Guard, Resolver, TargetError, system_resolver
from clickledger.postbacks.sender import Sender
from clickledger.testing.installation import free_port
from clickledger.testing.receiver import receiver

LOOPBACK = [ip_network("127.0.0.0/8")]

#: Of the name "hooks.example", signed by itself; made for these tests.
CERTIFICATE = b"""\
MIIBbjCCAROgAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1ob29rcy5l
eGFtcGxlMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1ob29rcy5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEzi0x
A0Ikurv1k7DZbw6sByjDrmexgUh5rPZthZPVrTKwoT7vjwKuwECahE00EcevTSdh
cGYrFZhbr2YHFDQvbqNMMEowGAYDVR0RBBEwD4INaG9va3MuZXhhbXBsZTAPBgNV
HRMBAf8EBTADAQH/MB0GA1UdDgQWBBQzEh0moG4P+0Yfesil1pGGFcdJ0jAKBggq
hkjOPQQDAgNJADBGAiEAlTBx5qIRhAkHW+8bvtAFSv9ni79ZMQqvlGea1b/ZZIkC
IQDex5GdxyitYcfWw1xVmD0Wd7kzUPGa+1cEq7PT+PvWkg=="""
KEY = b"""\
MHcCAQEEIIpNOWcG15CPQMA6KQqbL9vHuM+QhBdTlwbnqXwHq3VyoAoGCCqGSM49
AwEHoUQDQgAEzi0xA0Ikurv1k7DZbw6sByjDrmexgUh5rPZthZPVrTKwoT7vjwKu
wECahE00EcevTSdhcGYrFZhbr2YHFDQvbg=="""


def prepared(port: int, target: str = "/ok", *, host: str = "127.0.0.1", **said: str) -> Prepared:
    return Prepared(
        method=Method(said.get("method", "GET")),
        scheme=said.get("scheme", "http"),
        host=host,
        port=port,
        target=target,
        headers=(("User-Agent", "test"), ("X-Shop", "7")),
        body=said.get("body", "").encode(),
    )


def send(
    *requests: Prepared,
    timeout_s: float = 5.0,
    connect_s: float = 2.0,
    resolve: Resolver = system_resolver,
    tls: ssl.SSLContext | None = None,
) -> list[Outcome]:
    """Send requests one after another, from one sender that may reach this machine."""

    async def work() -> list[Outcome]:
        guard = Guard(LOOPBACK, [request.port for request in requests], resolve)
        sender = Sender(guard, connect_s, timeout_s, tls=tls)
        try:
            return [await sender.send(request) for request in requests]
        finally:
            await sender.aclose()

    return asyncio.run(work())


@dataclass
class Raw:
    """A server that does what a test says with each connection, in a loop of its own thread."""

    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    tls: ssl.SSLContext | None = None
    connections: int = 0
    port: int = field(default_factory=free_port)
    _serving: set["asyncio.Task[object]"] = field(default_factory=set)

    async def _count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self.serve(reader, writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        finally:
            self._serving.discard(task)
            writer.transport.abort()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._count, "127.0.0.1", self.port, ssl=self.tls)
        async with server:
            yield
            for _ in range(10):  # what was just accepted gets its transport
                await asyncio.sleep(0)
        # What was accepted ends by itself, since its caller is gone, or is ended here.
        async with asyncio.timeout(5):
            while any(getattr(server, name, 0) for name in ("_active_count", "_clients")):
                for task in [*self._serving]:
                    task.cancel()
                await asyncio.sleep(0.01)

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()

        async def run() -> None:
            async with self.running():
                ready.set()
                await self._stop.wait()

        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(run()))
        self._thread.start()
        assert ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


def test_sends_the_exact_bytes_and_keeps_the_answer(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        target = "/ok/a%2fb?x=%C3%A9&y=a+b&y=%20~'()"
        body = '{"é": 1}'
        outcome = send(prepared(running.port, target, method="POST", body=body))[0]
        request = running.requests()[0]
    assert (request.method, request.target, request.body) == ("POST", target, body.encode())
    assert request.headers == (
        ("Host", f"127.0.0.1:{running.port}"),
        ("User-Agent", "test"),
        ("X-Shop", "7"),
        ("Content-Length", str(len(body.encode()))),
    )
    assert (outcome.status, outcome.problem, outcome.body) == (200, "", b"thanks\n")
    assert ("Content-Length", "7") in outcome.headers
    assert 0 <= outcome.duration_ms < 5000


def test_a_get_carries_no_body_and_no_cookie_of_an_earlier_answer() -> None:
    heads = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    with Raw(serve) as server:
        request = prepared(server.port)
        first, second = send(request, request)
    assert (first.status, second.status) == (200, 200)
    assert heads[0] == heads[1]
    assert b"Cookie" not in heads[1]
    assert b"Content-Length" not in heads[0]
    assert server.connections == 1, "the connection is kept"


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [
        ("/stall", None, "no answer came within 0.3 s"),
        ("/drip", 200, "the answer did not end within 0.3 s"),
        ("/driphead", None, "no answer came within 0.3 s"),
        ("/hangup", None, "the connection ended without an answer"),
        ("/cut", 200, "the connection ended in the middle of the answer"),
        ("/redirect", 302, ""),
        ("/gone", 410, ""),
        ("/status/500", 500, ""),
    ],
)
def test_tells_what_an_endpoint_did(
    tmp_path: Path, path: str, status: int | None, problem: str
) -> None:
    with receiver(tmp_path) as running:
        outcome = send(prepared(running.port, path), timeout_s=0.3)[0]
        assert (outcome.status, outcome.problem) == (status, problem)
        assert len(running.requests()) == 1, "called once, and redirects are not followed"


def test_keeps_the_first_bytes_of_a_long_answer_and_ends_it(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        long, after = send(
            prepared(running.port, "/large/50000000"), prepared(running.port, "/large/5000")
        )
    assert (long.status, long.problem, len(long.body)) == (200, "", 4096)
    assert (after.status, after.problem, len(after.body)) == (200, "", 4096)


def test_keeps_the_beginning_of_a_long_head() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        many = b"".join(b"X-%d: %s\r\n" % (number, b"v" * 500) for number in range(100))
        writer.write(b"HTTP/1.1 200 OK\r\n" + many + b"Content-Length: 0\r\n\r\n")

    with Raw(serve) as server:
        outcome = send(prepared(server.port))[0]
    assert (outcome.status, outcome.problem) == (200, "")
    assert 0 < len(outcome.headers) < 20


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "what came is not an answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"v" * 200_000, "what came is not an answer in HTTP"),
    ],
    ids=["another protocol", "a head without end"],
)
def test_tells_when_the_answer_is_none_in_http(answer: bytes, problem: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()

    with Raw(serve) as server:
        outcome = send(prepared(server.port))[0]
    assert outcome.status is None
    assert outcome.problem.startswith(problem)


def test_opens_another_connection_when_the_kept_one_has_ended() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def work(port: int) -> list[Outcome]:
        sender = Sender(Guard(LOOPBACK, [port]), 2, 5)
        first = await sender.send(prepared(port))
        await asyncio.sleep(0.1)  # the end of the connection arrives
        second = await sender.send(prepared(port))
        await asyncio.sleep(0.1)
        await sender.tidy()
        assert not sender._idle
        return [first, second]

    with Raw(serve) as server:
        first, second = asyncio.run(work(server.port))
    assert (first.problem, second.problem, server.connections) == ("", "", 2)


def test_ends_a_kept_connection_that_is_flooded() -> None:
    ended = threading.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except OSError:
            ended.set()

    async def work(port: int) -> None:
        sender = Sender(Guard(LOOPBACK, [port]), 2, 5)
        await sender.send(prepared(port))
        assert await asyncio.to_thread(ended.wait, 5)
        await sender.aclose()

    with Raw(serve) as server:
        asyncio.run(work(server.port))


def test_tells_when_nothing_listens() -> None:
    outcome = send(prepared(free_port()))[0]
    assert outcome.status is None
    assert outcome.problem == "no connection: Connection refused"


def test_refuses_a_request_that_http_cannot_carry() -> None:
    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with Raw(serve) as server:
        outcome = send(prepared(server.port, "/a b"))[0]
    assert outcome.problem.startswith("the request cannot be sent")


def test_does_not_call_what_may_not_be_called(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        names = {"inner.example": ["10.0.0.1"], "two.example": ["127.0.0.1", "169.254.169.254"]}
        outcomes = send(
            prepared(running.port, host="inner.example"),
            prepared(running.port, host="two.example"),
            prepared(running.port, host="none.example"),
            resolve=lambda host: names.get(host, []),
        )
        assert not running.requests()
    problems = [outcome.problem for outcome in outcomes]
    assert "10.0.0.1 is a private address" in problems[0]
    assert "169.254.169.254" in problems[1], "one refused address is enough"
    assert problems[2] == "the host none.example does not resolve to any address"


def test_an_answer_that_changes_between_check_and_use_is_judged_again(tmp_path: Path) -> None:
    """DNS rebinding: public when the notification is saved, inner when it is called."""
    answers = iter([["198.51.99.7"], ["127.0.0.1"], ["127.0.0.1"]])
    asked = []

    def resolve(host: str) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    with receiver(tmp_path) as running:
        guard = Guard([], [running.port], resolve)
        assert guard.addresses("hooks.example", running.port) == ("198.51.99.7",)

        async def work() -> Outcome:
            return await Sender(guard, 2, 5).send(prepared(running.port, host="hooks.example"))

        outcome = asyncio.run(work())
        assert not running.requests()
    assert outcome.problem.startswith("the host hooks.example may not be called: 127.0.0.1 is")
    assert asked == ["hooks.example"] * 2, "once when saved, once when called"


def test_connects_to_the_address_that_was_judged(tmp_path: Path) -> None:
    """The name is looked up once for a connection: another answer is never even asked for."""
    answers = iter([["127.0.0.1"]])
    with receiver(tmp_path) as running:
        outcome = send(
            prepared(running.port, host="hooks.example"), resolve=lambda _host: next(answers)
        )[0]
        assert outcome.status == 200
        assert running.requests()[0].header("Host") == f"hooks.example:{running.port}"


def test_goes_on_to_the_next_address(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        outcome = send(
            prepared(running.port, host="hooks.example"),
            resolve=lambda _host: ["127.0.0.2", "127.0.0.1"],  # it listens at the second only
        )[0]
    assert outcome.status == 200


def test_a_look_up_without_end_counts_as_no_answer() -> None:
    release = threading.Event()

    def resolve(_host: str) -> Sequence[str]:
        release.wait(10)
        return []

    outcome = send(prepared(80, host="hooks.example"), connect_s=0.1, resolve=resolve)[0]
    release.set()
    assert outcome.problem == "the host hooks.example could not be looked up in time"


def secure(folder: Path) -> ssl.SSLContext:
    pem = folder / "hooks.pem"
    pem.write_bytes(
        b"-----BEGIN EC PRIVATE KEY-----\n%s\n-----END EC PRIVATE KEY-----\n"
        b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n" % (KEY, CERTIFICATE)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def test_speaks_tls_with_the_name_at_the_address_that_was_judged(tmp_path: Path) -> None:
    asked = []
    context = secure(tmp_path)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    trusting = ssl.create_default_context(
        cadata=ssl.DER_cert_to_PEM_cert(base64.b64decode(CERTIFICATE))
    )
    with Raw(ok, context) as server:
        request = prepared(server.port, host="hooks.example", scheme="https")
        outcomes = send(request, request, resolve=lambda _host: ["127.0.0.1"], tls=trusting)
    assert [(outcome.status, outcome.body) for outcome in outcomes] == [(200, b"ok")] * 2
    assert asked == ["hooks.example"]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("hooks.example", "TLS failed: self"),
        ("other.example", "TLS failed: "),
    ],
)
def test_a_certificate_that_nobody_vouches_for_ends_the_call(
    tmp_path: Path, host: str, problem: str
) -> None:
    with Raw(ok, secure(tmp_path)) as server:
        request = prepared(server.port, host=host, scheme="https")
        outcome = send(request, resolve=lambda _host: ["127.0.0.1"])[0]
    assert outcome.status is None
    assert outcome.problem.startswith(problem)


def test_a_server_that_speaks_no_tls_ends_the_call() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with Raw(serve) as server:
        outcome = send(prepared(server.port, scheme="https"))[0]
    assert outcome.problem.startswith("TLS failed: ")


def test_a_server_that_hangs_up_or_stalls_in_the_handshake_ends_the_call() -> None:
    async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(10)

    async def stall(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass

    with Raw(hang_up) as server:
        ended = send(prepared(server.port, scheme="https"))[0]
    with Raw(stall) as server:
        late = send(prepared(server.port, scheme="https"), connect_s=0.2)[0]
    assert (ended.status, ended.problem[:13]) == (None, "no connection")
    assert (late.status, late.problem) == (None, "no connection within 0.2 s")


def test_the_guard_knows_ports_names_and_addresses_in_any_form() -> None:
    guard = Guard([], [80, 443])
    with pytest.raises(TargetError, match=r"port 22 may not be called; allowed: 80, 443"):
        guard.addresses("198.51.99.7", 22)
    with pytest.raises(TargetError, match="port 80 may not be called; allowed: none"):
        Guard([], []).addresses("198.51.99.7", 80)
    for form in ("127.0.0.1", "127.1", "0x7f000001", "2130706433", "::ffff:127.0.0.1", "localhost"):
        with pytest.raises(TargetError, match="may not be called"):
            guard.addresses(form, 80)
    for nothing in ("no-such-name.invalid", "a" * 300, "a..b"):
        with pytest.raises(TargetError, match="does not resolve"):
            guard.addresses(nothing, 80)


def test_one_name_is_looked_up_once_at_a_time_and_a_dead_one_delays_no_other() -> None:
    release = threading.Event()
    asked = []

    def resolve(host: str) -> Sequence[str]:
        asked.append(host)
        if host == "dead.example":
            release.wait(10)
        return ["198.51.99.7"]

    guard = Guard([], [80], resolve)

    async def work() -> list[tuple[str, ...] | BaseException]:
        return await asyncio.gather(
            *(guard.addresses_within("dead.example", 80, 0.2) for _ in range(3)),
            guard.addresses_within("alive.example", 80, 0.2),
            return_exceptions=True,
        )

    *dead, alive = asyncio.run(work())
    release.set()
    assert all(isinstance(error, TargetError) for error in dead)
    assert alive == ("198.51.99.7",)
    assert sorted(asked) == ["alive.example", "dead.example"]


def test_what_is_said_before_tls_is_no_answer(tmp_path: Path) -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.start_tls(secure(tmp_path))

    async def work(port: int) -> bytes:
        stream = await streams.connect("127.0.0.1", port, 2)
        while not stream.get_extra_info("is_readable"):  # noqa: ASYNC110 - a socket tells nobody
            await asyncio.sleep(0.01)
        trusting = ssl.create_default_context(
            cadata=ssl.DER_cert_to_PEM_cert(base64.b64decode(CERTIFICATE))
        )
        secured = await stream.start_tls(trusting, "hooks.example", 2)
        return await secured.read(100)

    with Raw(serve) as server, pytest.raises(httpcore.ConnectError, match="before TLS"):
        asyncio.run(work(server.port))
