"""`lake verify` compares batch by batch and names the batch that is not as it was accepted."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clickledger.clock import DAY, wall_clock
from clickledger.lake.files import ROWS, FileWriter
from clickledger.lake.table import DataFile, Table
from clickledger.lake.verify import Findings, verify
from clickledger.spool import layout
from clickledger.spool.model import Receipt
from clickledger.testing.loading import Feed, feed
from clickledger.testing.spools import click

LONG_AGO = wall_clock() - DAY


def check(one: Feed, *, receipts_since: int = 0) -> Findings:
    return verify(one.lake, one.folder.spool, one.folder.tmp, receipts_since=receipts_since)


def loaded(one: Feed) -> str:
    """Load two batches of two clicks and three."""
    spool_id = one.spool(
        [click(n, LONG_AGO + n) for n in range(2)], [click(n, LONG_AGO + n) for n in range(2, 5)]
    )
    one.load()
    return spool_id


def test_a_sound_lake(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        loaded(one)
        one.spool([click(9, LONG_AGO, program_id=-1), click(10, LONG_AGO)])
        one.load()
        writer = one.writer()
        writer.append([click(11, LONG_AGO)], LONG_AGO)
        found = check(one)
        writer.close()
        assert found.problems == ()
        assert (found.batches, found.clicks, found.dead_letters, found.spooled) == (4, 6, 1, 1)


def test_an_empty_lake_is_sound(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        found = check(one)
        assert (found.problems_total, found.batches, found.clicks) == (0, 0, 0)


def rewrite(one: Feed, change: Callable[[pa.Table], pa.Table]) -> None:
    """Replace the rows of the lake's only file, as nobody should."""
    table = one.lake.clicks()
    (old,) = table.files()
    rows = pq.read_table(table.path / old.path, partitioning=None)
    new = _write(table, old, change(rows))
    table.commit([new], remove=[old], why="tampering")


def _write(table: Table, like: DataFile, rows: pa.Table) -> DataFile:
    writer = FileWriter(table.path, ROWS, statistics=table.statistics, event_date=like.event_date)
    writer.write(rows.cast(ROWS))
    return writer.close()


TAMPERING: dict[str, tuple[Callable[[pa.Table], pa.Table], int, str]] = {
    "a row is gone": (lambda rows: rows.slice(0, 4), 2, "3 clicks accepted, 2 in the lake"),
    "a batch is gone": (lambda rows: rows.slice(2), 1, "2 clicks accepted, 0 in the lake"),
    "a row is there twice": (
        lambda rows: pa.concat_tables([rows, rows.slice(1, 1)]),
        1,
        "twice: 3 rows with 2 row keys",
    ),
    "one row in the place of another": (
        lambda rows: pa.concat_tables([rows.slice(0, 4), rows.slice(3, 1)]),
        2,
        "twice: 3 rows with 2 row keys",
    ),
    "a position that never was": (
        lambda rows: rows.set_column(2, ROWS.field(2), pa.array([0, 1, 0, 1, 7], pa.int32())),
        2,
        "position 7 of 3",
    ),
    "rows that nobody accepted": (
        lambda rows: rows.set_column(1, ROWS.field(1), pa.array([1, 1, 2, 2, 77], pa.int64())),
        77,
        "no receipt for 1 rows",
    ),
}


@pytest.mark.parametrize(("change", "sequence", "detail"), TAMPERING.values(), ids=TAMPERING.keys())
def test_each_difference_names_its_batch(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table], sequence: int, detail: str
) -> None:
    with feed(tmp_path) as one:
        spool_id = loaded(one)
        rewrite(one, change)
        problems = {p.sequence: p for p in check(one).problems}
        assert problems[sequence].spool_id == spool_id
        assert detail in problems[sequence].detail


def test_clicks_before_the_receipts_begin_need_none(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        loaded(one)
        one.receipts.purge(wall_clock() + DAY)
        assert check(one, receipts_since=LONG_AGO + DAY).problems_total == 0
        assert check(one, receipts_since=0).problems_total == 2


def test_rows_ahead_of_the_transaction_version_are_told(tmp_path: Path) -> None:
    """A row of a batch that the lake does not call loaded would be loaded again."""
    with feed(tmp_path) as one:
        loaded(one)
        ghost = Receipt(
            spool_id=one.rows("spool_id")[0]["spool_id"],  # type: ignore[arg-type] # a text
            sequence=3,
            clicks=1,
            checksum=b"",
            first_received=LONG_AGO,
            last_received=LONG_AGO,
            released=LONG_AGO,
        )
        one.receipts.add([ghost])
        assert check(one).problems == (), "not loaded yet: still to come"
        rewrite(
            one,
            lambda rows: rows.set_column(1, ROWS.field(1), pa.array([1, 1, 2, 2, 3], pa.int64())),
        )
        details = {p.sequence: p.detail for p in check(one).problems}
        assert details[3] == "1 rows, although loaded only through batch 2"


def test_days_are_counted_as_they_are_read(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        one.spool([click(1, LONG_AGO), click(2, LONG_AGO - DAY)])
        one.load()
        seen: list[tuple[int, int]] = []
        verify(
            one.lake,
            one.folder.spool,
            one.folder.tmp,
            receipts_since=0,
            on_progress=lambda done, total: seen.append((done, total)),
        )
        assert seen == [(1, 2), (2, 2)]


def test_verify_changes_nothing_and_needs_no_receipts(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        loaded(one)
    (tmp_path / "spool" / layout.RECEIPTS).unlink()
    with feed(tmp_path) as again:
        version = again.lake.version()
        assert check(again, receipts_since=wall_clock()).problems_total == 0
        assert again.lake.version() == version
