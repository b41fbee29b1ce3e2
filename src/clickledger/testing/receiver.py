"""A receiver of postbacks in its own process: answers as its paths say, writes down every request.

The first part of a path is the behaviour, the rest is free (``/ok/orders``):

======================  =======================================================================
``/ok``                 200
``/status/503``         that status
``/busy/30``            429 with ``Retry-After: 30``; what follows is taken as it stands
``/gone``               410
``/redirect``           302 to the metadata address of cloud machines
``/fail/2``             503 to the first two calls of each ``webhook-id``, then 200
``/slow/0.2``           200 after so many seconds
``/stall``              no answer, ever
``/drip``               200, then one byte of body a second, without end
``/driphead``           one byte of the head a second, without end
``/cut``                200, then the connection ends in the middle of the body
``/hangup``             the connection ends without an answer
``/large/100000``       200 with a body of so many bytes
======================  =======================================================================

``Receiver.behave`` lets a path behave as another one from then on: an endpoint that recovers.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from clickledger.errors import UnavailableError
from clickledger.testing.installation import free_port

#: Where cloud machines find their credentials.
METADATA_URL = "http://169.254.169.254/latest/meta-data/"
#: Path that sets what another path does; its requests are not written down.
_BEHAVE = "/_behave"
_START_WITHIN_S = 10.0
_POLL_S = 0.02
_DRIP_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came in."""

    #: Unix time.
    at: float
    method: str
    #: Path and query exactly as received.
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def message_id(self) -> str:
        """Its ``webhook-id``; empty: it has none."""
        return self.header("webhook-id")

    def header(self, name: str) -> str:
        """Return the value of a header, whatever its case; empty: it is not there."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


class Receiver:
    """A running receiver, as the process that started it sees it."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self._log = log

    def url(self, path: str = "/ok") -> str:
        """Name the address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def allowed(self) -> Mapping[str, str]:
        """Return the settings with which an installation may call it."""
        return {
            "POSTBACK_NETWORKS": '["127.0.0.0/8"]',
            "POSTBACK_PORTS": f"[{self.port}]",
        }

    def behave(self, path: str, like: str) -> None:
        """Have ``path``, without query, answered as ``like`` from now on."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            connection.request("POST", _BEHAVE, json.dumps([path, like]))
            connection.getresponse().read()

    def requests(self, path: str = "") -> Sequence[Received]:
        """List what came in, in order; only below ``path`` if one is given."""
        lines = self._log.read_bytes().splitlines(keepends=True)
        whole = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [
            Received(
                at=line["at"],
                method=line["method"],
                target=line["target"],
                headers=tuple((name, value) for name, value in line["headers"]),
                body=line["body"].encode("latin-1"),
            )
            for line in whole
            if line["target"].startswith(path)
        ]

    def wait_for(self, count: int, path: str = "", within_s: float = 15.0) -> Sequence[Received]:
        """Wait until ``count`` requests came in; raises TimeoutError when they do not."""
        deadline = time.monotonic() + within_s
        while len(found := self.requests(path)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} of {count} requests at {path or 'any path'}")
            time.sleep(_POLL_S)
        return found


@contextlib.contextmanager
def receiver(folder: Path, name: str = "receiver") -> Iterator[Receiver]:
    """Run a receiver that writes to ``folder``; it ends with the block.

    Raises:
        UnavailableError: it did not start.
    """
    log = folder / f"{name}.jsonl"
    log.touch()
    port = free_port()
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", __name__, "--port", str(port), "--log", str(log)],
        stdout=subprocess.PIPE,
    )
    try:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise UnavailableError("the receiver did not start")
        yield Receiver(port, log)
    finally:
        process.kill()
        process.wait(_START_WITHIN_S)
        if process.stdout is not None:
            process.stdout.close()


class _Endpoint:
    """What all connections share: the log, and who behaves how."""

    def __init__(self, log: BinaryIO) -> None:
        self._log = log
        self._behaviours: dict[str, str] = {}
        #: Calls by path and ``webhook-id``.
        self._calls: Counter[tuple[str, str]] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        method, target, _ = first.split(" ")
        headers = [
            (name, value.strip()) for name, _, value in (line.partition(":") for line in lines)
        ]
        values = {name.lower(): value for name, value in headers}
        body = await reader.readexactly(int(values.get("content-length", "0")))
        path = target.partition("?")[0]
        if path == _BEHAVE:
            like = json.loads(body)
            self._behaviours[like[0]] = like[1]
            writer.write(_answer(200))
            return True
        line = {
            "at": time.time(),
            "method": method,
            "target": target,
            "headers": headers,
            "body": body.decode("latin-1"),
        }
        # Written before it is answered: what the sender takes for delivered is in the log.
        self._log.write(json.dumps(line).encode() + b"\n")
        return await self._behave(self._behaviours.get(path, path), values, reader, writer)

    async def _behave(  # noqa: C901, PLR0912 - a table of behaviours
        self,
        path: str,
        values: Mapping[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer one request; False: the connection is at its end."""
        _, name, argument, *_ = [*path.split("/"), "", ""]
        match name:
            case "status":
                writer.write(_answer(int(argument)))
            case "busy":
                writer.write(_answer(429, f"Retry-After: {argument}\r\n"))
            case "gone":
                writer.write(_answer(410))
            case "redirect":
                writer.write(_answer(302, f"Location: {METADATA_URL}\r\n"))
            case "fail":
                key = (path, values.get("webhook-id", ""))
                self._calls[key] += 1
                writer.write(_answer(503 if self._calls[key] <= int(argument) else 200))
            case "slow":
                await asyncio.sleep(float(argument))
                writer.write(_answer(200))
            case "stall":
                await reader.read()  # until the sender hangs up
                return False
            case "drip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                await _drip(writer)
            case "driphead":
                writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                await _drip(writer)
            case "cut":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of")
                await writer.drain()
                return False
            case "hangup":
                return False
            case "large":
                writer.write(_answer(200, body=b"x" * int(argument)))
            case _:
                writer.write(_answer(200))
        await writer.drain()
        return True


def _answer(status: int, headers: str = "", body: bytes = b"thanks\n") -> bytes:
    if status == http.client.NO_CONTENT:
        body = b""
    reason = http.client.responses.get(status, "Unknown")
    length = "" if status == http.client.NO_CONTENT else f"Content-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} {reason}\r\n{headers}{length}\r\n".encode() + body


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(_DRIP_S)


async def _run(port: int, log: Path) -> None:
    with log.open("ab", buffering=0) as opened:
        server = await asyncio.start_server(
            _Endpoint(opened).serve, "127.0.0.1", port, backlog=1024
        )
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        async with server:
            await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(_run(options.port, options.log))


if __name__ == "__main__":
    main()
