"""Compaction, closed days and vacuum: the same clicks, in better files, beside everything else."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clickledger.clock import DAY, MINUTE, Micros
from clickledger.errors import GoneError, UnavailableError
from clickledger.lake import closing
from clickledger.lake.closing import Closer
from clickledger.lake.files import ROWS, SORT_COLUMNS, SORTED, FileWriter
from clickledger.lake.lease import Lease
from clickledger.lake.letters import DeadLetters, Letter
from clickledger.lake.maintenance import Maintenance
from clickledger.lake.rewrite import replace
from clickledger.lake.store import Lake, Snapshot
from clickledger.lake.table import CHECKPOINT_EVERY, DataFile, Table
from clickledger.testing.lake_days import LakeDays, click, judged
from clickledger.testing.loading import stored

DAY_ONE = 20_000 * DAY
DATE_ONE = date(1970, 1, 1) + timedelta(days=20_000)
DAY_TWO = DAY_ONE + DAY


def maintenance(root: Path, stopping: threading.Event | None = None) -> Maintenance:
    return Maintenance(
        lake=Lake.open(str(root)),
        lease=Lease(root.parent / "lease"),
        scratch=root.parent / "tmp",
        stopping=stopping or threading.Event(),
    )


def closer(root: Path, *, slice_rows: int = 7, file_rows: int = 20) -> Closer:
    lease = Lease(root.parent / "lease")
    scratch = root.parent / "tmp"
    return Closer(Lake.open(str(root)), lease, scratch, slice_rows=slice_rows, file_rows=file_rows)


def some(first: int, count: int, start: Micros, **values: object) -> list[dict[str, object]]:
    """Clicks of three programs, a minute apart, three a visitor."""
    return [
        click(n, start + (n - first) * MINUTE, **({"program_id": 1000 + n // 3 * 7 % 4} | values))
        for n in range(first, first + count)
    ]


def plain(lake: Lake) -> list[dict[str, object]]:
    return [{**row, "unique_click": None} for row in stored(lake)]


def test_compaction_keeps_every_row_as_it_is(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    for n in range(12):
        days.load(some(n * 5, 5, DAY_ONE + n * 5 * MINUTE))
    days.close(some(500, 5, DAY_TWO))
    before = stored(days.lake)
    assert maintenance(tmp_path / "lake").compact() == 12
    files = days.lake.snapshot().all_files
    assert [file.rows for file in files] == [60, 5]
    assert [file.sorted for file in files] == [False, True]
    assert (files[0].min_time, files[0].max_time) == (DAY_ONE, DAY_ONE + 59 * MINUTE)
    assert stored(days.lake) == before
    assert maintenance(tmp_path / "lake").compact(thorough=True) == 0


def test_dead_letters_are_compacted_as_well(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    table = DeadLetters(lake.dead_letters())
    for n in range(9):
        letter = Letter(spool_id="s", sequence=n, position=0, clicks=1, received=None,
                        reason="bad_id", detail="", raw=b"x")  # fmt: skip
        table.record([letter], {"s": n}, DAY_ONE + n)
    assert maintenance(tmp_path / "lake").compact() == 9
    (file,) = lake.dead_letters().files()
    assert file.rows == 9


def merged(table: Table, files: Sequence[DataFile]) -> DataFile:
    writer = FileWriter(table.path, ROWS, statistics=table.statistics, event_date=DATE_ONE)
    for file in files:
        writer.write(pq.read_table(table.path / file.path, partitioning=None).cast(ROWS))
    return writer.close()


def test_a_file_that_somebody_else_rewrote_is_left_to_them(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    for n in range(3):
        days.load(some(n * 5, 5, DAY_ONE))
    table = days.lake.clicks()
    old = table.files()
    mine = merged(table, old)
    maintenance(tmp_path / "lake").compact(thorough=True)
    lease = Lease(tmp_path / "lease")
    assert not replace(table, lease, old=old, new=[mine], why="late", data_change=False)
    assert not (table.path / mine.path).exists()
    assert len(stored(days.lake)) == 15


def test_a_file_that_arrives_during_a_rewrite_stays(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    for n in range(2):
        days.load(some(n * 5, 5, DAY_ONE))
    table = days.lake.clicks()
    old = table.files()
    mine = merged(table, old)
    days.load(some(100, 5, DAY_ONE))
    lease = Lease(tmp_path / "lease")
    assert replace(table, lease, old=old, new=[mine], why="test", data_change=False)
    assert len(stored(days.lake)) == 15


def assert_closed(lake: Lake, day: date, expected: Sequence[dict[str, object]]) -> None:
    """Order, verdicts, statistics and footers of a closed day."""
    files = lake.snapshot().day(day)
    assert all(file.sorted for file in files)
    found = pa.concat_tables([pq.read_table(file.path, partitioning=None) for file in files])
    wanted = judged(pa.Table.from_pylist(list(expected), schema=ROWS))
    assert found.select(ROWS.names).cast(ROWS).to_pylist() == wanted.to_pylist()
    for file in files:
        rows = pq.read_table(file.path, partitioning=None, columns=list(SORT_COLUMNS)).to_pylist()
        assert file.order is not None
        assert file.order.first.program_id == rows[0]["program_id"]
        assert (file.order.last.sequence, file.order.last.position) == (
            rows[-1]["sequence"],
            rows[-1]["position"],
        )
        footer = pq.read_metadata(file.path).metadata
        assert footer[SORTED] == b"program_id,event_time,spool_id,sequence,position"
    for before, after in pairwise(files):
        assert before.order is not None
        assert after.order is not None
        assert before.order.last < after.order.first


@pytest.mark.parametrize("slice_rows", [1, 7, 100_000])
def test_a_closed_day_is_in_order_with_its_unique_clicks(tmp_path: Path, slice_rows: int) -> None:
    days = LakeDays(tmp_path / "lake")
    rows = some(0, 60, DAY_ONE)
    for part in (rows[40:], rows[:25], rows[25:40]):
        days.load(part)
    assert closer(tmp_path / "lake", slice_rows=slice_rows).close_days(DAY_TWO) == [DATE_ONE]
    assert_closed(days.lake, DATE_ONE, rows)
    assert {row["unique_click"] for row in stored(days.lake)} == {True, False}
    assert list((tmp_path / "tmp").iterdir()) == [], "nothing is left behind"


def test_a_closed_day_is_not_closed_again(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    days.load(some(0, 30, DAY_ONE))
    days.load(some(30, 30, DAY_TWO))
    found = closer(tmp_path / "lake")
    assert len(found.close_days(DAY_TWO + DAY)) == 2
    version = days.lake.version()
    assert found.close_days(DAY_TWO + DAY) == []
    assert closer(tmp_path / "lake").close_days(DAY_TWO + DAY) == [], "nor by another process"
    assert days.lake.version() == version


def test_an_open_day_is_left_alone(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    days.load(some(0, 10, DAY_ONE))
    assert closer(tmp_path / "lake").close_days(DAY_TWO - 1) == []


def test_the_day_before_counts_within_the_window(tmp_path: Path) -> None:
    same: dict[str, object] = {"program_id": 1, "profile_id": "p", "profile_carried": True}
    late = click(1, DAY_TWO - 10 * MINUTE, **same)
    early = click(2, DAY_TWO + 10 * MINUTE, **same)
    days = LakeDays(tmp_path / "lake")
    days.load([late, early])
    closer(tmp_path / "lake").close_days(DAY_TWO + DAY)
    assert [row["unique_click"] for row in stored(days.lake, "unique_click")] == [True, False]


def test_late_clicks_make_their_day_and_the_next_one_be_sorted_again(tmp_path: Path) -> None:
    same: dict[str, object] = {"program_id": 1, "profile_id": "p", "profile_carried": True}
    days = LakeDays(tmp_path / "lake")
    rows = some(0, 30, DAY_ONE)
    early = click(100, DAY_TWO + 10 * MINUTE, **same)
    days.load([*rows, early])
    found = closer(tmp_path / "lake")
    found.close_days(DAY_TWO + DAY)
    assert stored(days.lake, "unique_click")[-1]["unique_click"] is True
    late = click(99, DAY_TWO - 10 * MINUTE, **same)
    days.load([late])
    assert len(found.close_days(DAY_TWO + DAY)) == 2
    assert_closed(days.lake, DATE_ONE, [*rows, late])
    verdicts = {row["sequence"]: row["unique_click"] for row in stored(days.lake, "unique_click")}
    assert stored(days.lake, "unique_click")[-1]["unique_click"] is False, verdicts


def test_late_clicks_far_from_midnight_leave_the_next_day_alone(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    days.load(some(0, 30, DAY_ONE))
    days.load([click(90, DAY_TWO - 5 * MINUTE), *some(100, 30, DAY_TWO)])
    found = closer(tmp_path / "lake")
    found.close_days(DAY_TWO + DAY)
    days.load(some(50, 3, DAY_ONE + 60 * MINUTE))
    assert found.close_days(DAY_TWO + DAY) == [DATE_ONE]
    assert found.close_days(DAY_TWO + DAY) == []
    assert closer(tmp_path / "lake").close_days(DAY_TWO + DAY) == []


SAME: dict[str, object] = {"program_id": 1, "profile_id": "p", "profile_carried": True}
#: Comes late, and makes a repeat of ``REPEAT``.
LATE = click(1, DAY_TWO - 5 * MINUTE, **SAME)
REPEAT = click(2, DAY_TWO + 5 * MINUTE, **SAME)


class MeanwhileLake(Lake):
    """Does something else whenever a rewrite has planned and is about to begin."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def clicks(self) -> Table:
        self.meanwhile()
        return super().clicks()


class PastLake(Lake):
    """Another process that looked at the lake a while ago."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._past = super().snapshot()

    def snapshot(self, version: int | None = None) -> Snapshot:
        return super().snapshot(version) if version is not None else self._past


def assert_never_stale(lake: Lake, first: int) -> None:
    """In every version with the late click, nobody believes that the other is unique."""
    for version in range(first, lake.version() + 1):
        snapshot = lake.snapshot(version)
        near = snapshot.files(DAY_TWO - 25 * MINUTE, DAY_TWO + 5 * MINUTE + 1)
        tables = [pq.read_table(file.path, partitioning=None) for file in near if file.sorted]
        stored_verdicts = [
            row["unique_click"]
            for table in tables
            for row in table.to_pylist()
            if (row["sequence"], row["position"]) == (REPEAT["sequence"], REPEAT["position"])
        ]
        if all(file.sorted for file in near):
            assert stored_verdicts == [False], version


def closed_with_a_late_click(root: Path) -> tuple[LakeDays, int]:
    days = LakeDays(root)
    days.load([click(0, DAY_ONE), REPEAT])
    closer(root).close_days(DAY_TWO + DAY)
    days.load([LATE])
    return days, days.lake.version()


@pytest.mark.parametrize("rewrites", [0, 1, 2])
def test_a_stop_between_two_days_leaves_no_stale_verdict(tmp_path: Path, rewrites: int) -> None:
    days, first = closed_with_a_late_click(tmp_path / "lake")
    stopping = threading.Event()
    lake = MeanwhileLake(tmp_path / "lake")
    begun = iter([False] * rewrites + [True])

    def stop_in_time() -> None:
        if next(begun):
            stopping.set()

    lake.meanwhile = stop_in_time
    one = Closer(lake, Lease(tmp_path / "lease"), tmp_path / "tmp", stopping=stopping)
    assert len(one.close_days(DAY_TWO + DAY)) == rewrites
    assert_never_stale(days.lake, first)
    closer(tmp_path / "lake").close_days(DAY_TWO + DAY)
    assert all(file.sorted for file in days.lake.snapshot().all_files)
    assert_never_stale(days.lake, first)


def test_a_day_waits_for_the_next_one_that_does_not_count_it(tmp_path: Path) -> None:
    """Because the next day's rewrite was given up, or is not due."""
    days, first = closed_with_a_late_click(tmp_path / "lake")
    assert closer(tmp_path / "lake").close_days(DAY_TWO) == []
    days.load(some(10, 2, DAY_TWO + DAY // 2))
    days.load(some(12, 2, DAY_TWO + DAY // 2))
    lake = MeanwhileLake(tmp_path / "lake")
    lake.meanwhile = lambda: maintenance(tmp_path / "lake").compact(thorough=True)
    one = Closer(lake, Lease(tmp_path / "lease"), tmp_path / "tmp")
    assert one.close_days(DAY_TWO + DAY) == []
    assert_never_stale(days.lake, first)
    assert len(one.close_days(DAY_TWO + DAY)) == 2
    assert_never_stale(days.lake, first)


def test_another_closer_in_between_leaves_no_stale_verdict(tmp_path: Path) -> None:
    """Whichever of the two days it sorts, and whichever of them is committed first."""
    for number, (mine, theirs) in enumerate([(DAY_TWO + DAY, DAY_TWO), (DAY_TWO, DAY_TWO + DAY)]):
        root = tmp_path / str(number) / "lake"
        days = LakeDays(root)
        days.load([click(0, DAY_ONE)])
        closer(root).close_days(DAY_TWO)
        days.load([REPEAT])
        past = Closer(PastLake(root), Lease(root.parent / "lease"), root.parent / "tmp")
        lake = MeanwhileLake(root)
        one = Closer(lake, Lease(root.parent / "lease"), root.parent / "tmp")
        others = [past] if number else [closer(root)]

        def meanwhile(
            days: LakeDays = days,
            others: list[Closer] = others,
            number: int = number,
            theirs: Micros = theirs,
        ) -> None:
            if others:
                if not number:
                    days.load([LATE])
                others.pop().close_days(theirs)

        lake.meanwhile = meanwhile
        first = days.lake.version() + 1
        if number:
            days.load([LATE])
        one.close_days(mine)
        assert_never_stale(days.lake, first)
        assert not others, "it came in between"


def test_closing_gives_up_without_loss_when_told_to_stop(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    days.load(some(0, 30, DAY_ONE))
    before = stored(days.lake)
    stopping = threading.Event()
    stopping.set()
    one = Closer(days.lake, Lease(tmp_path / "lease"), tmp_path / "tmp", stopping=stopping)
    assert one.close_days(DAY_TWO) == []
    day = closing._day(days.lake.snapshot(), DATE_ONE)
    assert one._close(day, frozenset()) is None, "also in the middle"
    assert stored(days.lake) == before
    assert not list((days.lake.clicks_path).rglob("sorted-*"))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_rewrites_wait_for_the_lease(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    days.load(some(0, 30, DAY_ONE))
    lease = Lease(tmp_path / "lease")
    done = threading.Event()

    def close() -> None:
        closer(tmp_path / "lake").close_days(DAY_TWO)
        done.set()

    with lease.held():
        worker = threading.Thread(target=close)
        worker.start()
        assert not done.wait(0.5)
        version = days.lake.version()
    worker.join(20)
    assert done.is_set()
    assert days.lake.version() == version + 1


def age(lake: Lake, hours: int) -> None:
    """Pretend that all files were written so long ago."""
    for path in lake.clicks_path.rglob("*.parquet"):
        if "_delta_log" not in path.parts:
            then = path.stat().st_mtime - hours * 3600
            os.utime(path, (then, then))


def test_vacuum_keeps_what_a_job_reads(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    days.load(some(0, 5, DAY_ONE))
    pinned = days.lake.version()
    pinned_files = [file.path for file in days.lake.snapshot(pinned).all_files]
    days.load(some(5, 5, DAY_ONE))
    after = {file.path for file in days.lake.snapshot().all_files} - set(pinned_files)
    upkeep = maintenance(tmp_path / "lake")
    upkeep.compact(thorough=True)
    assert upkeep.vacuum(1) == 0, "too young"
    assert upkeep.vacuum(0, [pinned]) == 1
    assert all(path.exists() for path in pinned_files)
    assert not any(path.exists() for path in after)
    assert upkeep.vacuum(0) == 1
    assert not any(path.exists() for path in pinned_files)
    assert len(stored(days.lake)) == 10


def test_vacuum_removes_files_that_were_never_committed(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    days.load(some(0, 5, DAY_ONE))
    orphan = days.lake.clicks_path / f"event_date={DATE_ONE}" / "part-orphan.parquet"
    orphan.write_bytes(b"")
    assert maintenance(tmp_path / "lake").vacuum(48) == 0
    age(days.lake, 49)
    assert maintenance(tmp_path / "lake").vacuum(48) == 1
    assert not orphan.exists()
    assert len(stored(days.lake)) == 5


def test_vacuum_does_without_a_pinned_version_that_is_gone(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    days.load(some(0, 5, DAY_ONE))
    assert maintenance(tmp_path / "lake").vacuum(0, [99]) == 0


class LastLease(Lease):
    """The end is told while it is held."""

    def __init__(self, path: Path, stopping: threading.Event) -> None:
        super().__init__(path)
        self._stopping = stopping

    @contextmanager
    def held(self, timeout_s: float = 30.0) -> Iterator[None]:
        assert not self._stopping.is_set(), "nothing begins after the end was told"
        with super().held(timeout_s):
            self._stopping.set()
            yield


def test_vacuum_ends_between_two_steps_when_told_to_stop(tmp_path: Path) -> None:
    """The step in progress is finished, the others are left for the next time."""
    days = LakeDays(tmp_path / "lake")
    for table in (days.lake.clicks_path, days.lake.dead_letters_path):
        (table / "part-orphan.parquet").write_bytes(b"")
    stopping = threading.Event()
    upkeep = Maintenance(
        lake=days.lake,
        lease=LastLease(tmp_path / "lease", stopping),
        scratch=tmp_path / "tmp",
        stopping=stopping,
    )
    assert upkeep.vacuum(0) == 1
    assert not (days.lake.clicks_path / "part-orphan.parquet").exists()
    assert upkeep.vacuum(0) == 0
    assert (days.lake.dead_letters_path / "part-orphan.parquet").exists()
    assert maintenance(tmp_path / "lake").vacuum(0) == 1


def test_versions_are_read_as_they_were(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    days.load(some(0, 5, DAY_ONE))
    first = days.lake.snapshot()
    days.load(some(5, 5, DAY_ONE))
    assert days.lake.version() == first.version + 1
    assert Lake.open(str(tmp_path / "lake")).snapshot(first.version) == first
    assert days.lake.snapshot(first.version) is first
    with pytest.raises(GoneError):
        days.lake.snapshot(99)


def test_the_log_of_old_versions_goes_and_the_lake_stays(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    days.lake.clicks().commit([], why="test", loaded={"spool": 7})
    for n in range(CHECKPOINT_EVERY):
        days.load(some(n, 1, DAY_ONE))
    log = days.lake.clicks_path / "_delta_log"
    for path in log.iterdir():
        then = path.stat().st_mtime - 50 * 3600
        os.utime(path, (then, then))
    upkeep = maintenance(tmp_path / "lake")
    upkeep.vacuum(72)
    assert (log / f"{1:020d}.json").exists(), "the setting is the rule"
    upkeep.vacuum(48)
    assert not (log / f"{0:020d}.json").exists()
    again = Lake.open(str(tmp_path / "lake"))
    assert again.clicks().loaded("spool") == 7, "what is loaded is known for ever"
    assert len(stored(again)) == CHECKPOINT_EVERY
    with pytest.raises(GoneError):
        again.snapshot(1)
    LakeDays(tmp_path / "lake").load(some(100, 1, DAY_ONE))
    assert len(stored(again)) == CHECKPOINT_EVERY + 1


def test_the_lake_says_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="s3: is not supported yet"):
        Lake.open("s3://bucket/lake")
    with pytest.raises(Exception, match="there is no table"):
        Lake.open(str(tmp_path / "none"), create=False)
    assert Lake.open((tmp_path / "a b").as_uri()).root == tmp_path / "a b"


def test_waiters_for_the_lease_take_turns(tmp_path: Path) -> None:
    """A loader that takes the lease again at once does not shut out the rest."""
    lease = Lease(tmp_path / "lease")
    stop, got = threading.Event(), threading.Event()

    def greedy() -> None:
        while not stop.is_set():
            with lease.held():
                stop.wait(0.01)

    def patient() -> None:
        with lease.held(timeout_s=10):
            got.set()

    threads = [threading.Thread(target=greedy), threading.Thread(target=patient)]
    for thread in threads:
        thread.start()
    assert got.wait(10)
    stop.set()
    for thread in threads:
        thread.join()
    with lease.held(), pytest.raises(UnavailableError), lease.held(timeout_s=0.02):
        pass
