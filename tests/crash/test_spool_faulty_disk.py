"""A disk that is full, and one whose answer to a sync cannot be believed: nothing accepted is lost.

The disk of the power-cut tests plays the part. A commit that was reported as failed may be on it
all the same; it may be found or not, but never beside the batch that took its clicks instead.
"""

import os
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from clickledger.testing import power_cut
from clickledger.testing.power_cut import Kind, Replay
from clickledger.testing.spools import Drain

_HERE = Path(__file__).parent

_START = """
import os, sys
from pathlib import Path
from clickledger.clock import SteadyClock
from clickledger.errors import SpoolUnavailableError
from clickledger.spool.writer import Writer
from clickledger.testing import power_cut
from clickledger.testing.spools import click, until_ready

root, log, fault = map(Path, sys.argv[1:])
clock = SteadyClock()
writer = Writer.open(root, segment_bytes=100_000, segment_age_s=600, clock=clock)
until_ready(writer)
number = 0

def offer():
    global number
    number += 1
    try:
        writer.append([click(number * 100 + i) for i in range(20)], clock.now())
    except SpoolUnavailableError:
        return False
    power_cut.acknowledge(log, b"%d" % number)
    return True

"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return power_cut.compile_disk(_HERE / "powercut" / "disk.c", tmp_path_factory.mktemp("disk"))


def run(disk: Path, folder: Path, program: str) -> Path:
    root, log, fault = folder / "root", folder / "log", folder / "fault"
    root.mkdir()
    log.touch()
    variables = power_cut.environment(disk, root, log, fault)
    command = [sys.executable, "-c", _START + program, str(root), str(log), str(fault)]
    subprocess.run(command, env={**os.environ, **variables}, check=True)
    return log


def batches_found(root: Path) -> set[int]:
    with closing(Drain(root)) as drain:
        drain.all()
        assert drain.set_aside == []
    found = Counter(number // 100 for number in drain.clicks)
    assert set(found.values()) <= {20}, "a batch came in part, or twice"
    return set(found)


def promised(log: Path) -> set[int]:
    events = power_cut.events(log)
    return {int(event.second) for event in events if event.kind is Kind.ACKNOWLEDGE}


def test_a_full_disk_takes_what_it_has_room_for_and_recovers(disk: Path, tmp_path: Path) -> None:
    log = run(
        disk,
        tmp_path,
        """
fault.write_text("full")
accepted = 0
while offer():
    accepted += 1
assert accepted > 5, "what is written ahead can still be used"
assert not offer()
try:
    writer.mark(clock.now())
except SpoolUnavailableError:
    assert writer.fault
else:
    sys.exit("a full disk was called well")
fault.unlink()
writer.mark(clock.now())
assert not writer.fault
for _ in range(30):
    assert offer()
writer.close()
""",
    )
    # Room is asked for before anything is written: a refused batch leaves nothing.
    assert batches_found(tmp_path / "root") == promised(log)


def test_a_commit_that_failed_is_not_found_once_its_writer_went_on(
    disk: Path, tmp_path: Path
) -> None:
    log = run(
        disk,
        tmp_path,
        """
assert all([offer() for _ in range(3)])
for _ in range(3):
    fault.write_text("sync")
    assert not offer()
    assert not offer()
    fault.unlink()
    assert all([offer() for _ in range(3)])
writer.close()
""",
    )
    assert batches_found(tmp_path / "root") == promised(log)


def test_a_commit_that_failed_just_before_the_end_is_found_or_not(
    disk: Path, tmp_path: Path
) -> None:
    log = run(
        disk,
        tmp_path,
        """
assert all([offer() for _ in range(3)])
fault.write_text("sync")
assert not offer()
os._exit(0)
""",
    )
    assert promised(log) == {1, 2, 3}
    assert batches_found(tmp_path / "root") in ({1, 2, 3}, {1, 2, 3, 4})


def test_the_power_fails_on_a_disk_that_failed_before(disk: Path, tmp_path: Path) -> None:
    log = run(
        disk,
        tmp_path,
        """
for _ in range(4):
    offer()
    fault.write_text("sync")
    offer()
    fault.unlink()
    offer()
os._exit(0)
""",
    )
    replay = Replay()
    cuts = 0
    for event in power_cut.events(log):
        replay.play(event)
        if event.kind is Kind.ACKNOWLEDGE:
            replay.cut(tmp_path / "cut")
            found = batches_found(tmp_path / "cut")
            assert {int(text) for text in replay.acknowledged} <= found
            cuts += 1
    assert cuts == 8
