"""The power fails while clicks move from spool to lake: each promised one is in one of them.

What is released from the spool must be on disk in the lake: the lake's library does not sync.
"""

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from clickledger.errors import CorruptedError
from clickledger.lake.verify import verify
from clickledger.spool import format as spool_format
from clickledger.testing import power_cut
from clickledger.testing.loading import feed
from clickledger.testing.power_cut import Event, Kind, Replay

ROUNDS = int(os.environ.get("CLICKLEDGER_CRASH_ROUNDS", "6"))
_HERE = Path(__file__).parent


def record(folder: Path, seed: int, *more: str) -> list[Event]:
    disk = power_cut.compile_disk(_HERE / "powercut" / "disk.c", folder)
    root, log = folder / "root", folder / "log"
    root.mkdir()
    subprocess.run(
        [sys.executable, str(_HERE / "lake_power_workload.py"), root, str(seed), log, *more],
        env={**os.environ, **power_cut.environment(disk, root, log)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return list(power_cut.events(log))


def check(root: Path, promised: set[int]) -> None:
    """Load what is left; each promised click is in the lake or a dead letter, once."""
    with feed(root) as one:
        report = one.load()
        assert report.problems == ()
        loaded = Counter(int(str(row["click_id"])) for row in one.rows("click_id"))
        dead = Counter(
            int(spool_format.decode_click(bytes(row["raw"])).click_id)  # type: ignore[call-overload] # bytes
            for row in one.letters()
            if row["position"] != -1  # a batch that was being written, promised to nobody
        )
        assert promised <= loaded.keys() | dead.keys(), "a promised click is gone"
        assert not loaded.keys() & dead.keys()
        assert max(loaded.values(), default=1) == 1
        assert max(dead.values(), default=1) == 1
        assert verify(one.lake, one.folder.spool, one.folder.tmp, receipts_since=0).problems == ()


@pytest.mark.timeout(120 + 10 * ROUNDS)
def test_no_promised_click_is_lost_between_spool_and_lake(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when it fails
    chance = random.Random(seed)
    events = record(tmp_path, seed)
    # Moments of danger are those at which something is thrown away; the end is one of them.
    removals = [n for n, event in enumerate(events) if event.kind in (Kind.UNLINK, Kind.RENAME)]
    cuts = {*chance.sample(removals, min(len(removals), 2 * ROUNDS)), len(events) - 1}
    cuts |= {chance.randrange(len(events)) for _ in range(ROUNDS)}
    replay = Replay()
    for number, event in enumerate(events):
        replay.play(event)
        if number in cuts:
            # Either nothing survives that was not synced, or any part of it.
            replay.cut(tmp_path / "cut", chance if chance.random() < 0.5 else None)
            (tmp_path / "cut").mkdir(exist_ok=True)
            promised = {int(n) for text in replay.acknowledged for n in text.split()}
            check(tmp_path / "cut", promised)


def test_the_harness_catches_a_lake_that_does_not_sync(tmp_path: Path) -> None:
    events = record(tmp_path, 1, "off")
    replay = Replay()
    for event in events:
        replay.play(event)
    replay.cut(tmp_path / "cut")
    promised = {int(n) for text in replay.acknowledged for n in text.split()}
    with pytest.raises((AssertionError, CorruptedError), match=r"is gone|damaged"):
        check(tmp_path / "cut", promised)
