"""How soon a redirect is visible to an export, with compaction and an export running."""

import asyncio
import bisect
import contextlib
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import httpx

from bench.load import Paced, paced
from bench.report import Figure, as_json, show
from clickledger.clock import SECOND
from clickledger.config import DataFolder
from clickledger.ids import click_time_ms
from clickledger.lake import watermark
from clickledger.testing.installation import Brand, Installation

PER_SECOND = 2_000
SECONDS = 60.0
#: Compaction is made to run several times within the measurement.
_SETTINGS = {"COMPACT_INTERVAL_S": "10"}
_POLL_S = 0.01
_SETTLE_S = 15.0
_IDENTICAL_REQUESTS = 300


class MarkWatcher:
    """Notes when the lake's mark reached which instant."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks: list[int] = []
        self._seen: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def visible_at(self, received: int) -> float:
        """Return when the mark first covered ``received`` (UTC microseconds); inf: never."""
        place = bisect.bisect_left(self._marks, received)
        return self._seen[place] if place < len(self._seen) else float("inf")

    def _watch(self) -> None:
        while not self._stop.wait(_POLL_S):
            mark = watermark.read(self._path)
            if mark is not None and (not self._marks or mark > self._marks[-1]):
                self._marks.append(mark)
                self._seen.append(time.time())


def exports_running(server: Installation, brand: Brand, stop: threading.Event) -> int:
    """Keep one export running all the time; return how many were completed."""
    completed = 0
    with httpx.Client(
        base_url=server.url, auth=(brand.sid, brand.token), headers={"Accept": "application/json"}
    ) as api:
        job = api.get(f"/Advertisers/{brand.sid}/Programs/{brand.program_id}/ClickExport").json()
        while not stop.wait(0.1):
            if api.get(job["QueuedUri"]).json()["Status"] == "COMPLETED":
                completed += 1
                api.put(job["ReplayUri"])
    return completed


def identical_requests(server: Installation, brand: Brand) -> Figure:
    """Repeat one ClickExport request and time it."""
    durations = []
    path = f"/Advertisers/{brand.sid}/Programs/{brand.program_id}/ClickExport"
    with httpx.Client(base_url=server.url, auth=(brand.sid, brand.token)) as api:
        for _ in range(_IDENTICAL_REQUESTS):
            started = time.perf_counter()
            api.get(path).raise_for_status()
            durations.append(time.perf_counter() - started)
    durations.sort()
    p99_ms = durations[int(0.99 * len(durations))] * 1e3
    return Figure(
        name="repeated identical ClickExport request, p99",
        value=p99_ms,
        unit="ms",
        bar="<= 20 ms",
        met=p99_ms <= 20,
        notes={"p50_ms": round(durations[len(durations) // 2] * 1e3, 2)},
    )


def run() -> list[Figure]:
    """Measure freshness under load, then the repeated request on the idle server."""
    with tempfile.TemporaryDirectory(prefix="clickledger-bench-") as folder:
        server = Installation(Path(folder) / "data", _SETTINGS)
        brand = server.make()
        server.start()
        with contextlib.ExitStack() as stack:
            stack.callback(server.kill)
            watcher = stack.enter_context(MarkWatcher(DataFolder(server.folder).watermark))
            stop = threading.Event()
            completed: list[int] = []
            exporting = threading.Thread(
                target=lambda: completed.append(exports_running(server, brand, stop))
            )
            exporting.start()
            seen: Paced = asyncio.run(
                paced(server.port, brand.links, per_second=PER_SECOND, seconds=SECONDS)
            )
            stop.set()
            exporting.join()
            time.sleep(_SETTLE_S)
            delays = sorted(
                watcher.visible_at((click_time_ms(click_id) + 1) * SECOND // 1000) - answered
                for click_id, answered in seen.clicks
            )
            stored = int(str(server.count()["raw"]))
            repeated = identical_requests(server, brand)
    p99 = delays[int(0.99 * len(delays))]
    return [
        Figure(
            name=f"redirect to visible in an export at {PER_SECOND:,}/s, p99",
            value=p99,
            unit="s",
            bar="<= 5 s, all stored",
            met=p99 <= 5 and stored == len(seen.clicks) and not seen.errors,
            notes={
                "p50_s": round(delays[len(delays) // 2], 3),
                "max_s": round(delays[-1], 3),
                "clicks": len(seen.clicks),
                "stored": stored,
                "errors": seen.errors,
                "exports_completed_meanwhile": completed[0],
                "redirect_p99_ms": round(seen.percentile_ms(0.99), 1),
            },
        ),
        repeated,
    ]


if __name__ == "__main__":
    found = run()
    show("freshness", found)
    print(as_json(found))
