"""Spool, load, compact, close and vacuum in one process.

``lake_power_workload.py ROOT SEED LOG [off]``: each click is noted in the record LOG of a recording
disk once it is promised. ``off`` makes the control: commits to the lake that are not synced.
"""

import random
import sys
from pathlib import Path

from clickledger.clock import SteadyClock
from clickledger.lake.table import Table
from clickledger.spool.writer import Writer
from clickledger.testing import power_cut
from clickledger.testing.lake_workload import keep_up, yesterday
from clickledger.testing.loading import feed
from clickledger.testing.spools import click


def main(root: Path, seed: int, log: Path) -> None:
    chance = random.Random(seed)
    clock = SteadyClock(yesterday)
    number = 0
    with feed(root) as one:
        loader = one.loader()
        for _ in range(4):
            writer = Writer.open(
                one.folder.spool, segment_bytes=60_000, segment_age_s=60, clock=clock
            )
            for _ in range(20):
                size = chance.choice((1, 2, 10, 40))
                numbers = range(number, number + size)
                number += size
                now = clock.now()
                writer.append(
                    [click(n, now, program_id=-1 if n % 17 == 0 else 3) for n in numbers], now
                )
                power_cut.acknowledge(log, b" ".join(b"%d" % n for n in numbers))
                if chance.random() < 0.8:
                    loader.load_once()
            writer.close()
            keep_up(one)


if __name__ == "__main__":
    if sys.argv[4:] == ["off"]:
        Table._sync_log = lambda _self, _version: None  # type: ignore[assignment,method-assign] # the control
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
