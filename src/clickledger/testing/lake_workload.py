"""Processes around one lake, to be killed: a collector, loaders, and the upkeep.

Each function is the body of a process and runs until it is done or killed.
"""

import os
import threading
from pathlib import Path

from clickledger.clock import DAY, Micros, SteadyClock, wall_clock
from clickledger.lake.maintenance import Maintenance
from clickledger.spool.writer import Writer
from clickledger.testing.loading import Feed, feed
from clickledger.testing.spools import click

_BATCH = 20
_SEGMENT_BYTES = 100_000
#: Small, so that one load of a backlog is many commits.
_BATCH_CLICKS = 200


def yesterday() -> Micros:
    """A clock that is a day late: its clicks fall into a day that may be closed."""
    return wall_clock() - DAY


def collect(root: Path, acknowledged: Path, first: int, batches: int) -> None:
    """Spool clicks numbered from ``first`` on; note each number once it is promised."""
    clock = SteadyClock(yesterday)
    writer = Writer.open(
        root / "spool", segment_bytes=_SEGMENT_BYTES, segment_age_s=0.3, clock=clock
    )
    handle = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for batch in range(batches):
        now = clock.now()
        numbers = range(first + batch * _BATCH, first + (batch + 1) * _BATCH)
        # Every 17th cannot become a row: dead letters take part.
        writer.append(
            [click(n, now, program_id=-1 if n % 17 == 0 else n % 3) for n in numbers], now
        )
        os.write(handle, "".join(f"{n}\n" for n in numbers).encode())
    writer.close()


def load(root: Path) -> None:
    """Load without end."""
    with feed(root) as one:
        one.batch_clicks = _BATCH_CLICKS
        while True:
            loader = one.loader()
            for _ in range(50):
                loader.load_once()


def look_after(root: Path) -> None:
    """Compact, close days and vacuum without end."""
    with feed(root) as one:
        while True:
            keep_up(one)


def keep_up(one: Feed) -> None:
    """Do all of the upkeep once, as if every day before today were over."""
    upkeep = Maintenance(
        lake=one.lake, lease=one.lease, scratch=one.folder.tmp, stopping=threading.Event()
    )
    upkeep.compact(thorough=True)
    upkeep.close_days(wall_clock() // DAY * DAY)
    upkeep.vacuum(1)
