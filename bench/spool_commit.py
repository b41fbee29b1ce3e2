"""Duration of one durable commit to the spool, beside a bare append and fdatasync of its bytes.

The two take turns, commit by commit, so that whatever else the disk does hits both.
"""

import os
import tempfile
import time
from pathlib import Path

from bench.clicks import made_up
from bench.report import Figure, as_json, show
from clickledger.clock import SteadyClock, wall_clock
from clickledger.config import Settings
from clickledger.spool import format as spool_format
from clickledger.spool.writer import Writer

#: Clicks in a commit: an idle server, 64 connections, and many more.
_SIZES = (1, 16, 64, 256)
_COMMITS = 2000
_SETTINGS = Settings()


def run() -> list[Figure]:
    """Measure."""
    return [figure for clicks in _SIZES for figure in _commits(clicks)]


def _commits(clicks: int) -> list[Figure]:
    batch = list(made_up(clicks, start=wall_clock(), spacing=100))
    payload = spool_format.encode_clicks(batch)
    spool: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory(prefix="clickledger-bench-") as name:
        writer = Writer.open(
            Path(name) / "spool",
            segment_bytes=_SETTINGS.spool_segment_bytes,
            segment_age_s=_SETTINGS.spool_segment_age_s,
            clock=SteadyClock(),
        )
        file = os.open(Path(name) / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in range(_COMMITS):
            started = time.perf_counter()
            writer.append(batch, number)
            between = time.perf_counter()
            os.write(file, payload)
            os.fdatasync(file)
            bare.append(time.perf_counter() - between)
            spool.append(between - started)
        os.close(file)
        writer.close()
    return [
        Figure(
            name=f"commit of {clicks} clicks, {text}",
            value=_quantile(spool, at) * 1e3,
            unit="ms",
            baseline=_quantile(bare, at) * 1e3,
            baseline_name="ms, append and fdatasync",
            notes={"commits": _COMMITS, "payload_bytes": len(payload)},
        )
        for text, at in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    ]


def _quantile(values: list[float], at: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * at))]


if __name__ == "__main__":
    figures = run()
    show("commits to the spool", figures)
    print(as_json(figures))
