"""SIGKILL to any process of a serving installation, at random, under load: nothing is lost.

The workload notes each click id that a visitor carries to a landing page. The checker demands
every one of them in the lake, exactly once, and the day's file byte for byte the same from a
run that was disturbed as from one that was not.
"""

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import duckdb
import httpx
from deltalake import DeltaTable

from clickledger.config import DataFolder
from clickledger.testing.installation import Brand, Installation

ROUNDS = int(os.environ.get("CLICKLEDGER_CRASH_ROUNDS", "4"))
_VISITORS = 8
_WITHIN_S = 60.0
_SETTINGS = {
    "COMPACT_INTERVAL_S": "2",
    "EXPORT_SLICE_ROWS": "2000",
    "JOB_RETRY_S": "1",
    "SPOOL_SEGMENT_BYTES": "200000",
}


class Visitors:
    """Sends clicks without end, through every crash, and keeps what was promised."""

    def __init__(self, port: int, link: str) -> None:
        self.promised: list[str] = []
        self._port = port
        self._request = f"GET {link}?subId1=x HTTP/1.1\r\nHost: test\r\n\r\n".encode()
        self._going = True

    async def run(self) -> None:
        """Send until told to stop."""
        await asyncio.gather(*(self._visitor() for _ in range(_VISITORS)))

    def stop(self) -> None:
        """End after the requests under way."""
        self._going = False

    async def _visitor(self) -> None:
        while self._going:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                with contextlib.closing(writer):
                    while self._going:
                        writer.write(self._request)
                        async with asyncio.timeout(10):
                            head = await reader.readuntil(b"\r\n\r\n")
                        _, _, rest = head.partition(b"irclickid=")
                        if rest:
                            self.promised.append(rest[:32].decode())
            await asyncio.sleep(0.02)


def children(pid: int) -> dict[int, str]:
    """Return the descendants of a process: pid → command line."""
    found: dict[int, str] = {}
    for entry in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for text in entry.read_text(encoding="ascii").split():
                child = int(text)
                with contextlib.suppress(OSError):
                    found[child] = Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8")
                    found |= children(child)
    return found


def victims(server: Installation, kind: str) -> list[int]:
    """Return the processes of one kind: http, worker, writer, or all of them."""
    assert server.process is not None
    marks = {"http": "serving.http", "worker": "serving.worker", "writer": "exports.writer"}
    family = children(server.process.pid)
    return [pid for pid, command in family.items() if marks[kind] in command]


def api_of(server: Installation, brand: Brand) -> httpx.Client:
    """Make a client of the API that outlives restarts of the server."""
    return httpx.Client(
        base_url=server.url,
        auth=(brand.sid, brand.token),
        headers={"Accept": "application/json"},
        transport=httpx.HTTPTransport(retries=5),
        timeout=20,
    )


def wait_until_loaded(server: Installation, expected: set[str]) -> Counter[str]:
    """Wait until the lake holds what was promised; return how often it holds each click."""
    table = str(DataFolder(server.folder).lake / "clicks")
    deadline = time.monotonic() + _WITHIN_S
    while True:
        files = DeltaTable(table).file_uris()
        stored: Counter[str] = Counter()
        if files:
            with contextlib.suppress(duckdb.IOException):  # compacted away meanwhile
                rows = duckdb.execute("SELECT click_id FROM read_parquet(?)", [files]).fetchall()
                stored = Counter(row[0] for row in rows)
        if expected <= stored.keys() or time.monotonic() > deadline:
            return stored
        time.sleep(0.3)


def finished_file(api: httpx.Client, job: dict[str, str]) -> bytes:
    """Wait for a job and return its file."""
    deadline = time.monotonic() + _WITHIN_S
    while True:
        with contextlib.suppress(httpx.TransportError):
            state = api.get(job["QueuedUri"]).json()
            if state["Status"] == "COMPLETED":
                return api.get(job["ResultUri"], follow_redirects=True).content
            assert state["Status"] != "FAILED", state["StatusMessage"]
        assert time.monotonic() < deadline, f"the job did not end: {state}"
        time.sleep(0.1)


async def disturb(server: Installation, visitors: Visitors, dice: random.Random) -> None:
    """Kill something at a random moment, as often as there are rounds."""
    traffic = asyncio.ensure_future(visitors.run())
    for number in range(ROUNDS):
        await asyncio.sleep(dice.uniform(0.3, 1.5))
        kind = ("http", "worker", "group", "worker")[number % 4]
        if kind == "group":
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        else:
            for pid in victims(server, kind):
                os.kill(pid, signal.SIGKILL)
    await asyncio.sleep(1)
    visitors.stop()
    await traffic


def test_whatever_is_killed_no_promised_click_is_missing_or_twice(tmp_path: Path) -> None:
    dice = random.Random(ROUNDS)
    server = Installation(tmp_path / "data", _SETTINGS)
    brand = server.make()
    server.start()
    try:
        visitors = Visitors(server.port, brand.links[0])
        asyncio.run(disturb(server, visitors, dice))
        promised = set(visitors.promised)
        assert len(promised) == len(visitors.promised) > 100
        stored = wait_until_loaded(server, promised)
        assert promised - stored.keys() == set()
        assert [click for click, times in stored.items() if times > 1] == []

        with api_of(server, brand) as api:
            path = f"/Advertisers/{brand.sid}/Programs/{brand.program_id}/ClickExport"
            job = api.get(path).json()
            undisturbed = finished_file(api, job)
            assert undisturbed.count(b"\n") == len(stored) + 1
            for _ in range(max(2, ROUNDS // 2)):
                assert api.put(job["ReplayUri"]).json()["Status"] == "QUEUED"
                time.sleep(dice.uniform(0, 1.0))
                for pid in victims(server, dice.choice(("worker", "writer"))):
                    os.kill(pid, signal.SIGKILL)
                disturbed = finished_file(api, job)
                assert hashlib.sha256(disturbed).digest() == hashlib.sha256(undisturbed).digest()
        assert server.stop() == 0
    finally:
        server.kill()
