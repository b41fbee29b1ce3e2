"""How many connections a sender keeps."""

import asyncio
import contextlib
from ipaddress import ip_network

from clickledger.postbacks.model import Method, Prepared
from clickledger.postbacks.network import Guard
from clickledger.postbacks.sender import Sender


def test_calls_to_many_endpoints_keep_a_bounded_number_of_connections_open() -> None:
    closed = asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()
        closed.release()

    def request(host: str, port: int) -> Prepared:
        return Prepared(
            method=Method.GET, scheme="http", host=host, port=port, target="/", headers=(), body=b""
        )

    async def work() -> list[int | None]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        guard = Guard([ip_network("127.0.0.0/8")], [port], lambda _host: ["127.0.0.1"])
        sender = Sender(guard, 5, 5, most_idle=3)
        outcomes = [await sender.send(request(f"host{n}.example", port)) for n in range(8)]
        async with asyncio.timeout(5):
            for _ in range(8 - 3):
                await closed.acquire()
        assert closed.locked()  # no other has ended
        await sender.aclose()
        async with asyncio.timeout(5):
            for _ in range(3):
                await closed.acquire()
        server.close()
        await server.wait_closed()
        return [outcome.status for outcome in outcomes]

    assert asyncio.run(work()) == [204] * 8
