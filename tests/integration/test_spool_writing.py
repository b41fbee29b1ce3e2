"""The writer's promises over real files: one sequence, rotation, marks, one owner for life."""

import threading
from contextlib import closing
from pathlib import Path

import pytest

from clickledger.clock import SECOND, SteadyClock
from clickledger.errors import SpoolUnavailableError
from clickledger.spool import format as spool_format
from clickledger.spool import layout
from clickledger.spool.model import NOTHING_FOLLOWS
from clickledger.spool.reader import Source, Spools
from clickledger.spool.writer import Writer
from clickledger.testing.spools import Drain, HandClock, click, until_ready

MEGABYTE = 1_000_000
START = 1_700_000_000_000_000


def writer(
    root: Path, hand: HandClock | None = None, *, size: int = MEGABYTE, age_s: float = 600
) -> Writer:
    clock = SteadyClock((hand or HandClock()).read)
    return Writer.open(root, segment_bytes=size, segment_age_s=age_s, clock=clock)


def only(spools: Spools) -> Source:
    (source,) = spools.list()
    return source


def _folder(spool: Writer) -> str:
    assert spool._spool is not None
    return str(spool._spool._folder)


def test_what_was_appended_is_read_in_order_with_its_facts(tmp_path: Path) -> None:
    with closing(writer(tmp_path)) as spool, closing(Spools(tmp_path)) as spools:
        first = [click(1, START + 5), click(2, START + 3)]
        assert spool.append(first, START + 7) == 1
        assert spool.append([click(3, START + 9)], START + 9) == 2

        chunk = only(spools).read(0, 100)

        one, two = chunk.batches
        assert spool_format.decode_clicks(one.payload) == first
        assert (one.spool_id, one.sequence, one.clicks) == (spool.spool_id, 1, 2)
        assert (one.first_received, one.last_received) == (START + 3, START + 5)
        assert (one.low_water, two.low_water) == (START + 7, START + 9)
        assert (two.sequence, chunk.last_sequence, chunk.exhausted) == (2, 2, True)
        assert chunk.corrupted == ()


def test_a_read_stops_when_it_has_enough_and_goes_on_from_there(tmp_path: Path) -> None:
    with closing(writer(tmp_path)) as spool, closing(Spools(tmp_path)) as spools:
        for number in range(5):
            spool.append([click(2 * number), click(2 * number + 1)], START + number)
        source = only(spools)

        first, second, third = source.read(0, 3), source.read(2, 4), source.read(4, 100)

        assert [batch.sequence for batch in first.batches] == [1, 2]
        assert (first.exhausted, first.last_sequence, first.low_water) == (False, 2, START + 1)
        assert [batch.sequence for batch in second.batches] == [3, 4]
        assert [batch.sequence for batch in third.batches] == [5]
        assert third.exhausted
        assert source.read(5, 100).batches == ()


def test_a_new_writer_makes_a_new_spool_and_leaves_the_old_one_alone(tmp_path: Path) -> None:
    with closing(writer(tmp_path)) as old:
        old.append([click(1)], START)
        until_ready(old)
        before = {path: path.read_bytes() for path in Path(_folder(old)).iterdir()}
        with closing(writer(tmp_path)) as new:
            assert new.append([click(2)], START) == 1

            assert new.spool_id != old.spool_id
            after = {path: path.read_bytes() for path in Path(_folder(old)).iterdir()}
            assert before == after
            assert len(layout.spool_folders(tmp_path)) == 2


def test_the_sequence_goes_on_through_segments_and_removals(tmp_path: Path) -> None:
    with closing(writer(tmp_path, size=20_000)) as spool, closing(Drain(tmp_path)) as drain:
        numbers = []
        for round_ in range(8):
            for batch in range(10):
                at = round_ * 100 + batch * 10
                numbers.append(spool.append([click(at + i) for i in range(10)], START))
            drain.all()
            until_ready(spool)

        assert numbers == list(range(1, 81))
        assert len(drain.clicks) == len(set(drain.clicks)) == 800
        assert layout.segment_numbers(Path(_folder(spool)))[0] > 3, "segments came and went"
        receipts = drain.receipts()
        assert [receipt.sequence for receipt in receipts] == list(range(1, len(receipts) + 1))
        assert 0 < len(receipts) < 80, "the segment being written has none yet"


def test_a_segment_is_left_at_its_size(tmp_path: Path) -> None:
    with closing(writer(tmp_path, size=100_000)) as spool, closing(Spools(tmp_path)) as spools:
        until_ready(spool)
        for number in range(40):
            spool.append([click(number * 10 + i) for i in range(10)], START)
            until_ready(spool)

        folder = Path(_folder(spool))
        logs = [
            layout.companions(layout.segment_path(folder, number))[0].stat().st_size
            for number in layout.segment_numbers(folder)
        ]
        assert len(logs) > 3
        assert max(logs) <= 2 * 100_000
        assert len(only(spools).read(0, 1000).batches) == 40


def test_a_segment_is_left_at_its_age_with_the_next_click(tmp_path: Path) -> None:
    hand = HandClock()
    with closing(writer(tmp_path, hand, age_s=60)) as spool, closing(Drain(tmp_path)) as drain:
        until_ready(spool)
        spool.append([click(1)], START)
        hand.now += 59 * SECOND
        spool.append([click(2)], START)
        drain.all()
        assert drain.receipts() == [], "both are in the segment that is being written"

        hand.now += 1 * SECOND
        spool.append([click(3)], START)
        drain.all()

        assert [receipt.sequence for receipt in drain.receipts()] == [1, 2]
        assert drain.clicks == [1, 2, 3]


def test_a_rotation_waits_for_nothing(tmp_path: Path) -> None:
    """While no next segment is ready, the present one grows; commits go on."""
    with closing(writer(tmp_path, size=20_000)) as spool, closing(Spools(tmp_path)) as spools:
        until_ready(spool)
        assert spool._spool is not None
        spool._spool._keeper.stop()  # from now on nothing gets ready
        for number in range(40):
            spool.append([click(number * 10 + i) for i in range(10)], START)

        assert layout.segment_numbers(Path(_folder(spool))) == [1]
        assert len(only(spools).read(0, 10_000).batches) == 40


def test_more_clicks_than_a_batch_holds_are_one_commit(tmp_path: Path) -> None:
    with closing(writer(tmp_path)) as spool, closing(Spools(tmp_path)) as spools:
        spool.append([click(1)], START + 1)
        many = [click(number) for number in range(spool_format.MAX_CLICKS + 1)]

        assert spool.append(many, START + 2) == 3

        one, two, three = only(spools).read(0, 10**9).batches
        assert (two.clicks, three.clicks) == (spool_format.MAX_CLICKS, 1)
        found = spool_format.decode_clicks(two.payload) + spool_format.decode_clicks(three.payload)
        assert found == many
        # The rest of the same call may be as old as the call before allowed.
        assert (one.low_water, two.low_water, three.low_water) == (START + 1, START + 1, START + 2)


def test_the_mark_of_a_living_spool(tmp_path: Path) -> None:
    hand = HandClock()
    with closing(writer(tmp_path, hand)) as spool, closing(Spools(tmp_path)) as spools:
        source = only(spools)
        # Visible before it takes any click, and complete through its beginning.
        assert source.read(0, 1).low_water == START

        spool.append([click(1, START + 10)], START + 10)
        spool.append([click(2, START + 20)], START + 20)
        assert source.read(0, 1).low_water == START + 10, "the second batch is not loaded yet"
        assert source.read(1, 1).low_water == START + 20

        spool.mark(START + 30)
        assert source.read(0, 1).low_water == START + 10
        assert source.read(1, 9).low_water == START + 30
        assert source.read(2, 9).low_water == START + 30


def test_the_mark_of_a_dead_spool_holds_until_all_of_it_is_loaded(tmp_path: Path) -> None:
    with closing(Spools(tmp_path)) as spools:
        with closing(writer(tmp_path)) as spool:
            spool.append([click(1, START + 10)], START + 10)
            spool.append([click(2, START + 20)], START + 20)
            spool.mark(START + 30)
            assert only(spools).owner_alive()
        source = only(spools)

        assert not source.owner_alive()
        assert source.read(0, 1).low_water == START + 10
        assert source.read(0, 9).low_water == NOTHING_FOLLOWS
        assert source.read(2, 9).low_water == NOTHING_FOLLOWS


def test_a_mark_writes_no_log(tmp_path: Path) -> None:
    with closing(writer(tmp_path)) as spool:
        until_ready(spool)
        before = {path.name: path.read_bytes() for path in Path(_folder(spool)).iterdir()}
        spool.mark(START + 1)
        after = {path.name: path.read_bytes() for path in Path(_folder(spool)).iterdir()}

        assert {name for name in after if after[name] != before.get(name)} == {layout.MARK}


def test_two_processes_never_own_one_spool(tmp_path: Path) -> None:
    with closing(writer(tmp_path)) as spool, closing(Spools(tmp_path)) as spools:
        assert only(spools).owner_alive()
        spool.append([click(1)], START)
    with closing(Spools(tmp_path)) as one, closing(Spools(tmp_path)) as two:
        assert not only(one).owner_alive()
        assert only(two).owner_alive(), "the first one has it now"
        # The second believes no more than what a living spool promises.
        assert only(two).read(0, 9).low_water < NOTHING_FOLLOWS


def test_an_empty_batch_is_a_mistake(tmp_path: Path) -> None:
    with closing(writer(tmp_path)) as spool, pytest.raises(ValueError, match="at least one"):
        spool.append([], START)


def test_a_closed_writer_takes_nothing(tmp_path: Path) -> None:
    spool = writer(tmp_path)
    spool.close()
    with pytest.raises(SpoolUnavailableError, match="closed"):
        spool.append([click(1)], START)
    with pytest.raises(SpoolUnavailableError, match="closed"):
        spool.mark(START)
    spool.close()  # twice is once


def test_closing_leaves_no_thread_and_no_segment_without_batches(tmp_path: Path) -> None:
    before = threading.active_count()
    spool = writer(tmp_path)
    spool.append([click(1)], START)
    folder = Path(_folder(spool))
    spool.close()

    assert threading.active_count() == before
    assert layout.segment_numbers(folder) == [1]
    assert layout.companions(layout.segment_path(folder, 1))[0].exists(), "its log is the data"


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """They hold addresses of people."""
    with closing(writer(tmp_path / "spool")) as spool:
        folder = Path(_folder(spool))
        assert folder.stat().st_mode & 0o077 == 0
        assert folder.parent.stat().st_mode & 0o077 == 0
