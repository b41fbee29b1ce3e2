"""Clicks per second from spool to committed lake, in one process: read, enrich, write, release."""

import tempfile
import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from bench.clicks import MadeUpNames, made_up
from bench.report import Figure, as_json, show
from clickledger.clock import SteadyClock, wall_clock
from clickledger.config import DataFolder, Settings
from clickledger.lake.lease import Lease
from clickledger.lake.loader import Loader
from clickledger.lake.store import Lake
from clickledger.metrics import Metrics
from clickledger.spool import format as spool_format
from clickledger.spool.reader import Spools
from clickledger.spool.receipts import Receipts
from clickledger.spool.writer import Writer

_CLICKS = 300_000
#: About what one group commit holds at 64 connections.
_BATCH = 64
_SETTINGS = Settings()


def run() -> list[Figure]:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="clickledger-bench-") as name:
        folder = DataFolder(Path(name))
        folder.spool.mkdir()
        _spool(folder.spool)
        reading = _reading(folder.spool)
        loading, commits = _loading(folder)
    return [_figure(loading, reading, commits)]


def _figure(loading: float, reading: float, commits: int) -> Figure:
    return Figure(
        name="spool to committed lake, one process",
        value=_CLICKS / loading,
        unit="clicks/s",
        bar=">= 40,000",
        met=_CLICKS / loading >= 40_000,
        baseline=_CLICKS / reading,
        baseline_name="reading and decoding the spool alone",
        notes={"clicks": _CLICKS, "clicks_per_batch": _BATCH, "commits": commits},
    )


def _spool(root: Path) -> None:
    clicks = list(made_up(_CLICKS, start=wall_clock() - 60_000_000, spacing=100))
    writer = Writer.open(
        root,
        segment_bytes=_SETTINGS.spool_segment_bytes,
        segment_age_s=_SETTINGS.spool_segment_age_s,
        clock=SteadyClock(),
    )
    for start in range(0, _CLICKS, _BATCH):
        batch = clicks[start : start + _BATCH]
        writer.append(batch, batch[-1].received)
    writer.close()


def _reading(root: Path) -> float:
    begin = time.perf_counter()
    seen = 0
    with Spools(root) as spools:
        (source,) = spools.list()
        after, exhausted = 0, False
        while not exhausted:
            chunk = source.read(after, _SETTINGS.load_batch_clicks)
            for batch in chunk.batches:
                seen += len(spool_format.decode_clicks(batch.payload))
            after, exhausted = chunk.last_sequence, chunk.exhausted
    assert seen == _CLICKS
    return time.perf_counter() - begin


def _loading(folder: DataFolder) -> tuple[float, int]:
    begin = time.perf_counter()
    lake = Lake.open(str(folder.lake))
    with Spools(folder.spool) as spools, Receipts(folder.spool / "receipts.db") as receipts:
        loader = Loader(
            lake=lake,
            spools=spools,
            receipts=receipts,
            lease=Lease(folder.locks / "lake"),
            mark=folder.watermark,
            names=MadeUpNames,
            visitor_key=b"bench" * 6,
            batch_clicks=_SETTINGS.load_batch_clicks,
            metrics=Metrics(CollectorRegistry()),
        )
        commits = loaded = 0
        while loaded < _CLICKS:
            report = loader.load_once()
            loaded += report.clicks
            commits += 1
        assert spools.list() == [], "the spool is released and gone"
    seconds = time.perf_counter() - begin
    assert sum(file.rows for file in lake.snapshot().all_files) == _CLICKS
    return seconds, commits


if __name__ == "__main__":
    found = run()
    show("Loader", found)
    print(as_json(found))
