"""Taking out and letting go: receipts first, whole segments only, nothing twice, nothing early."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from clickledger.clock import SECOND, SteadyClock
from clickledger.errors import UnavailableError
from clickledger.spool import layout
from clickledger.spool.model import NOTHING_FOLLOWS, Receipt
from clickledger.spool.reader import Source, Spools
from clickledger.spool.receipts import Receipts
from clickledger.spool.writer import Writer
from clickledger.testing.spools import Drain, HandClock, click, until_ready

START = 1_700_000_000_000_000


class Filling:
    """A writer that goes on to the next segment when it is told to."""

    def __init__(self, root: Path) -> None:
        self._hand = HandClock(START)
        self.writer = Writer.open(
            root, segment_bytes=1_000_000, segment_age_s=1, clock=SteadyClock(self._hand.read)
        )
        self._number = 0

    def append(self, batches: int) -> None:
        """Append batches of two clicks, one received a microsecond after the other."""
        for _ in range(batches):
            self._number += 2
            pair = [click(self._number - 1, START), click(self._number, START + 1)]
            self.writer.append(pair, START)

    def rotate(self) -> None:
        """Let the next batch begin a segment."""
        until_ready(self.writer)
        self._hand.now += SECOND

    def close(self) -> None:
        self.writer.close()


def only(spools: Spools) -> Source:
    (source,) = spools.list()
    return source


def segments(root: Path) -> list[int]:
    (folder,) = layout.spool_folders(root)
    return layout.segment_numbers(folder)


def test_only_complete_segments_that_are_loaded_are_removed(tmp_path: Path) -> None:
    filling = Filling(tmp_path)
    with (
        closing(filling),
        closing(Spools(tmp_path)) as spools,
        Receipts(tmp_path / "receipts.db") as receipts,
    ):
        for _ in range(3):
            filling.append(2)
            filling.rotate()
        source = only(spools)

        assert source.release(1, receipts, now=9).segments == 0, "batch 2 is not loaded"
        assert segments(tmp_path)[0] == 1
        done = source.release(3, receipts, now=9)
        assert (done.segments, done.batches, done.clicks, done.spool_removed) == (1, 2, 4, False)
        assert segments(tmp_path)[0] == 2
        done = source.release(6, receipts, now=9)
        assert (done.segments, done.batches) == (1, 2), "the third is still the one being written"
        assert segments(tmp_path)[0] == 3
        assert [receipt.sequence for receipt in receipts.iterate()] == [1, 2, 3, 4]
        assert [batch.sequence for batch in source.read(4, 100).batches] == [5, 6]


def test_a_receipt_says_what_was_there(tmp_path: Path) -> None:
    filling = Filling(tmp_path)
    filling.append(1)
    filling.close()
    with (
        closing(Spools(tmp_path)) as spools,
        Receipts(tmp_path / "receipts.db") as receipts,
    ):
        (batch,) = only(spools).read(0, 10).batches
        only(spools).release(1, receipts, now=77)

        assert list(receipts.iterate()) == [
            Receipt(
                spool_id=batch.spool_id,
                sequence=1,
                clicks=2,
                checksum=batch.checksum,
                first_received=START,
                last_received=START + 1,
                released=77,
            )
        ]
        assert spools.list() == []


def test_a_dead_spool_goes_only_when_all_of_it_is_loaded(tmp_path: Path) -> None:
    filling = Filling(tmp_path)
    filling.append(2)
    filling.rotate()
    filling.append(2)
    filling.close()
    with (
        closing(Spools(tmp_path)) as spools,
        Receipts(tmp_path / "receipts.db") as receipts,
    ):
        source = only(spools)
        done = source.release(3, receipts, now=9)
        assert (done.segments, done.spool_removed) == (1, False)
        done = source.release(4, receipts, now=9)
        assert (done.segments, done.spool_removed) == (1, True)

        # The loader may still ask: there is nothing, and nothing to wait for.
        chunk = source.read(4, 100)
        assert (chunk.batches, chunk.exhausted) == ((), True)
        assert chunk.low_water == NOTHING_FOLLOWS
        assert not source.release(4, receipts, now=9).spool_removed
        assert {path.name for path in tmp_path.iterdir()} <= {
            "receipts.db",
            "receipts.db-wal",
            "receipts.db-shm",
        }


def test_a_dead_spool_without_a_batch_goes_too(tmp_path: Path) -> None:
    Filling(tmp_path).close()
    with (
        closing(Spools(tmp_path)) as spools,
        Receipts(tmp_path / "receipts.db") as receipts,
    ):
        assert only(spools).read(0, 10).low_water == NOTHING_FOLLOWS
        assert only(spools).release(0, receipts, now=9).spool_removed
        assert spools.list() == []


def test_a_release_that_was_cut_short_is_finished_by_the_next(tmp_path: Path) -> None:
    """Receipts are there and some files are gone: the same call does the rest."""
    filling = Filling(tmp_path)
    with closing(filling), closing(Drain(tmp_path)) as drain:
        for _ in range(3):
            filling.append(2)
            filling.rotate()
        drain.step(release=False)
        folder = layout.spool_folders(tmp_path)[0]
        # As a crash may leave it: the first segment's file is gone and its log is not.
        layout.segment_path(folder, 1).unlink()
        assert layout.orphans(folder)

        drain.all()

        assert layout.orphans(folder) == []
        assert segments(tmp_path)[0] == 3
        assert drain.clicks == list(range(1, 13))
        assert drain.set_aside == []


def test_a_receipt_that_is_there_already_stays_as_it_is(tmp_path: Path) -> None:
    filling = Filling(tmp_path)
    filling.append(2)
    filling.close()
    with (
        closing(Spools(tmp_path)) as spools,
        Receipts(tmp_path / "receipts.db") as receipts,
    ):
        first = Receipt(
            spool_id=filling.writer.spool_id,
            sequence=1,
            clicks=2,
            checksum=b"as it was",
            first_received=1,
            last_received=2,
            released=3,
        )
        receipts.add([first])
        only(spools).release(2, receipts, now=9)

        assert [(found.sequence, found.released) for found in receipts.iterate()] == [
            (1, 3),
            (2, 9),
        ]


def test_nothing_is_removed_when_the_receipts_cannot_be_written(tmp_path: Path) -> None:
    filling = Filling(tmp_path)
    filling.append(2)
    filling.close()
    receipts = Receipts(tmp_path / "receipts.db")
    receipts.close()
    with closing(Spools(tmp_path)) as spools:
        with pytest.raises(UnavailableError):
            only(spools).release(2, receipts, now=9)
        assert [batch.sequence for batch in only(spools).read(0, 9).batches] == [1, 2]


def test_another_loader_removes_what_this_one_is_about_to_read(tmp_path: Path) -> None:
    filling = Filling(tmp_path)
    with (
        closing(filling),
        closing(Spools(tmp_path)) as one,
        closing(Spools(tmp_path)) as two,
        Receipts(tmp_path / "receipts.db") as receipts,
    ):
        filling.append(2)
        filling.rotate()
        filling.append(2)
        slow = only(one)
        assert slow.read(0, 1).last_sequence == 1
        only(two).release(2, receipts, now=9)

        assert [batch.sequence for batch in slow.read(2, 10).batches] == [3, 4]
        assert slow.release(2, receipts, now=9).segments == 0
    with (
        closing(Spools(tmp_path)) as one,
        closing(Spools(tmp_path)) as two,
        Receipts(tmp_path / "receipts.db") as receipts,
    ):
        late = only(two)
        assert late.owner_alive() is False
        late.close()
        assert only(one).release(4, receipts, now=9).spool_removed
        assert late.read(4, 10).low_water == NOTHING_FOLLOWS


def test_removal_races_a_restart_and_no_click_is_lost(tmp_path: Path) -> None:
    """A worker ends and another begins while the loader removes what the first one left."""
    with closing(Drain(tmp_path)) as drain:
        expected = []
        for round_ in range(5):
            old = Filling(tmp_path)
            old.writer.append([click(round_ * 10 + 1)], START)
            drain.step()
            old.writer.append([click(round_ * 10 + 2)], START)
            old.close()
            new = Filling(tmp_path)
            drain.step()
            new.writer.append([click(round_ * 10 + 3)], START)
            drain.step()
            drain.step()
            new.writer.append([click(round_ * 10 + 4)], START)
            new.close()
            expected += [round_ * 10 + number for number in range(1, 5)]
        drain.all()

        assert sorted(drain.clicks) == expected
        assert layout.spool_folders(tmp_path) == []


def test_a_folder_without_a_lock_file_is_left_alone(tmp_path: Path) -> None:
    """Nobody can tell whether its process runs."""
    filling = Filling(tmp_path)
    filling.append(1)
    filling.close()
    (folder,) = layout.spool_folders(tmp_path)
    (folder / layout.LOCK).unlink()
    with (
        closing(Spools(tmp_path)) as spools,
        Receipts(tmp_path / "receipts.db") as receipts,
    ):
        assert only(spools).owner_alive()
        assert only(spools).read(0, 9).low_water < NOTHING_FOLLOWS
        assert not only(spools).release(1, receipts, now=9).spool_removed


def test_foreign_files_are_not_spools(tmp_path: Path) -> None:
    for name in ("notes.txt", "0190a1b2c3d4-0123456789abcdef.old"):
        (tmp_path / name).touch()
    (tmp_path / layout.SET_ASIDE).mkdir()
    with closing(Spools(tmp_path)) as spools:
        assert spools.list() == []


def test_a_missing_folder_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    with closing(Spools(tmp_path / "none")) as spools:
        with pytest.raises(UnavailableError, match="none"):
            spools.list()
        (tmp_path / "none").mkdir()
        assert spools.list() == []


def test_a_loader_that_is_closed_leaves_no_file_open(tmp_path: Path) -> None:
    filling = Filling(tmp_path)
    filling.append(1)
    filling.close()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
    with closing(Spools(tmp_path)) as spools:
        only(spools).read(0, 9)
        assert len(os.listdir("/proc/self/fd")) > before  # noqa: PTH208 - the same
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - the same
