"""What a slow or failing disk does between the steps: nothing is promised too early."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from clickledger.clock import SECOND, Micros, SteadyClock
from clickledger.errors import SpoolUnavailableError
from clickledger.spool import layout
from clickledger.spool.keeper import Keeper
from clickledger.spool.reader import Spools
from clickledger.spool.segment import SegmentWriter
from clickledger.spool.writer import Writer
from clickledger.testing.spools import click

START = 1_700_000_000_000_000


class TickingClock:
    """A clock that moves a second with each look: everything takes long."""

    def __init__(self) -> None:
        self.now: Micros = START

    def read(self) -> Micros:
        self.now += SECOND
        return self.now


def test_a_late_spool_takes_nothing_from_while_its_folder_was_made(tmp_path: Path) -> None:
    """The lake may have been called complete until just before the folder could be seen."""
    root = tmp_path / "spool"
    root.write_bytes(b"")
    ticking = TickingClock()
    spool = Writer.open(
        root, segment_bytes=100_000, segment_age_s=600, clock=SteadyClock(ticking.read)
    )
    root.unlink()
    during = (
        ticking.now + SECOND + SECOND // 2
    )  # after the first look at the clock, before the next

    with pytest.raises(SpoolUnavailableError, match="older than the spool"):
        spool.append([click(1, during)], during)
    spool.append([click(2, ticking.now + 60 * SECOND)], during)
    spool.close()


def test_a_keeper_outlives_any_fault() -> None:
    """A commit may be waiting for what it makes."""
    faults: list[BaseException] = [MemoryError("none left"), sqlite3.OperationalError("full")]

    def make(_: int) -> SegmentWriter:
        raise faults.pop()

    keeper = Keeper(make)
    for _ in range(2):
        keeper.prepare(1)
        assert keeper.take(wait=True) is None
        time.sleep(1.1)  # it does not try again at once
    assert faults == []
    keeper.stop()


def test_a_dead_spool_that_cannot_be_made_durable_is_not_taken(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from clickledger.clock import SteadyClock
from clickledger.spool.writer import Writer
from clickledger.testing.spools import click
import os
clock = SteadyClock()
spool = Writer.open(Path({str(tmp_path)!r}), segment_bytes=100_000, segment_age_s=600, clock=clock)
spool.append([click(1)], clock.now())
os._exit(1)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    with closing(Spools(tmp_path)) as spools:
        (source,) = spools.list()
        log = layout.companions(layout.segment_path(tmp_path / source.id, 1))[0]
        content = log.read_bytes()
        log.unlink()
        log.symlink_to(log)  # opening it fails, as on a failing disk
        for _ in range(2):
            with pytest.raises(OSError, match="symbolic links"):
                source.owner_alive()
        log.unlink()
        log.write_bytes(content)
        assert source.owner_alive() is False
        assert [batch.clicks for batch in source.read(0, 10).batches] == [1]
