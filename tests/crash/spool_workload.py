"""A process that writes a spool until it is ended, and tells each click that it was promised.

``spool_workload.py ROOT SEED BATCHES PROMISES [off]``: a promise is noted in the record PROMISES
of a recording disk, or, when PROMISES is ``-``, printed as one line of numbers per batch. ``off``
makes the control: a writer that does not sync.
"""

import os
import random
import sys
from itertools import count
from pathlib import Path

from clickledger.clock import SteadyClock
from clickledger.errors import SpoolUnavailableError
from clickledger.spool.writer import Writer
from clickledger.testing import power_cut
from clickledger.testing.spools import click


def main(root: Path, seed: int, batches: int, promises: str, *, lying: bool) -> None:
    chance = random.Random(seed)
    clock = SteadyClock()
    segment_bytes = 10_000_000 if lying else 60_000
    writer = Writer.open(root, segment_bytes=segment_bytes, segment_age_s=0.2, clock=clock)
    if lying:
        segment = writer._spool._segment  # type: ignore[union-attr] # it has one
        segment._connection.execute("PRAGMA synchronous = OFF")
    number = seed * 1_000_000
    for _ in count() if batches == 0 else range(batches):
        size = chance.choice((1, 1, 2, 10, 60))
        clicks = [click(number + i, clock.now()) for i in range(size)]
        number += size
        try:
            writer.append(clicks, clock.now())
        except SpoolUnavailableError:
            continue
        text = b" ".join(b"%d" % int(one.click_id) for one in clicks)
        if promises == "-":
            os.write(1, text + b"\n")
        else:
            power_cut.acknowledge(Path(promises), text)
        if chance.random() < 0.2:
            writer.mark(clock.now())
    writer.close()


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        int(sys.argv[2]),
        int(sys.argv[3]),
        sys.argv[4],
        lying=sys.argv[5:] == ["off"],
    )
