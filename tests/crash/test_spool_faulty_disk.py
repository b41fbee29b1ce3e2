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
    before = writer._spool._segment.number
    fault.write_text("sync")
    assert not offer()
    assert not offer()
    fault.unlink()
    assert all([offer() for _ in range(3)])
    assert writer._spool._segment.number > before, "a segment whose sync failed is left"
writer.close()
""",
    )
    assert batches_found(tmp_path / "root") == promised(log)


def test_a_commit_that_failed_is_not_found_while_its_writer_lives(
    disk: Path, tmp_path: Path
) -> None:
    """Its frames are in the log; whoever rebuilt the log's index now would find it."""
    log = run(
        disk,
        tmp_path,
        """
import time
from contextlib import closing
from clickledger.spool.reader import Spools

def seen():
    with closing(Spools(root)) as spools:
        chunk = spools.list()[0].read(0, 10_000)
        return [batch.sequence for batch in chunk.batches]

assert all([offer() for _ in range(3)])
fault.write_text("sync")
assert not offer()
fault.unlink()
time.sleep(0.1)
assert seen() == [1, 2, 3], seen()
assert offer()
assert seen() == [1, 2, 3, 6], seen()
writer.close()
""",
    )
    assert batches_found(tmp_path / "root") == promised(log)


def test_a_release_removes_nothing_before_the_receipts_are_on_disk(
    disk: Path, tmp_path: Path
) -> None:
    log = run(
        disk,
        tmp_path,
        """
from contextlib import closing
from clickledger.testing.spools import Drain

for _ in range(40):
    assert offer()
    until_ready(writer)
with closing(Drain(root)) as drain:
    drain.all()
writer.close()
""",
    )
    events = list(power_cut.events(log))
    removed = [
        (at, event.first.decode())
        for at, event in enumerate(events)
        if event.kind is Kind.UNLINK and b".segment" in event.first and b"making" not in event.first
    ]
    # The last one to go is the one that nobody had written to.
    segments = sorted(name for _, name in removed if name.endswith(".segment"))
    assert len(segments) > 3
    for name in segments[:-1]:
        ends = [path.removeprefix(name) for _, path in removed if path.startswith(name)]
        assert ends == ["", "-wal", "-shm"], "a reader takes a segment for gone before its log is"
    files = {
        event.inode: event.first.decode()
        for event in events
        if event.kind in (Kind.CREATE, Kind.OPEN)
    }
    last_written = last_synced = 0
    for at, event in enumerate(events):
        if files.get(event.inode) == "receipts.db-wal":
            last_written = at if event.kind is Kind.WRITE else last_written
            last_synced = at if event.kind is Kind.SYNC_END else last_synced
        elif (at, event.first.decode(errors="replace")) in removed:
            assert last_synced > last_written > 0


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


def test_what_a_loader_has_read_of_a_dead_spool_survives_a_power_cut(
    disk: Path, tmp_path: Path
) -> None:
    """Also a commit that nobody confirmed: it is in the lake now, and must not be gone here."""
    log = run(
        disk,
        tmp_path,
        """
assert all([offer() for _ in range(3)])
fault.write_text("sync")
assert not offer()
fault.unlink()
os._exit(0)
""",
    )
    loader = """
import sys
from contextlib import closing
from pathlib import Path
from clickledger.testing import power_cut
from clickledger.testing.spools import Drain

root, log = map(Path, sys.argv[1:])
with closing(Drain(root)) as drain:
    drain.step(release=False)
    for batch in {number // 100 for number in drain.clicks}:
        power_cut.acknowledge(log, b"%d" % batch)
"""
    variables = power_cut.environment(disk, tmp_path / "root", log)
    command = [sys.executable, "-c", loader, str(tmp_path / "root"), str(log)]
    subprocess.run(command, env={**os.environ, **variables}, check=True)
    assert promised(log) == {1, 2, 3, 4}, "the page cache still had it"

    replay = Replay()
    for event in power_cut.events(log):
        replay.play(event)
    replay.cut(tmp_path / "cut")

    assert batches_found(tmp_path / "cut") == {1, 2, 3, 4}


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
