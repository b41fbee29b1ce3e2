"""Comparing lake and spool batch by batch: nothing lost, nothing twice.

What a batch held is known from its receipt, or from its header while it is still in the spool.
Set-based and in bounded memory: each side goes into the query engine, problems come out.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import duckdb
import pyarrow as pa
import structlog

from clickledger.clock import MINUTE, Micros, wall_clock
from clickledger.lake.engine import connection, files_sql
from clickledger.lake.store import Lake
from clickledger.lake.table import Table
from clickledger.spool import layout
from clickledger.spool.contents import Contents
from clickledger.spool.receipts import Receipts

_log = structlog.get_logger(__name__)

#: More are only counted.
_PROBLEMS_SHOWN = 1000
_ROWS_AT_A_TIME = 50_000
#: Longer than a batch takes from the first click to the lake when nothing is wrong.
_UNDER_WAY: Micros = MINUTE

_EXPECTED = pa.schema([("spool_id", pa.string()), ("sequence", pa.int64()), ("clicks", pa.int64())])
_THROUGH = pa.schema([("spool_id", pa.string()), ("through", pa.int64())])

_COMPARE = """
WITH expected_once AS (
    SELECT spool_id, sequence, max(clicks) AS expected FROM expected GROUP BY ALL
), in_lake AS (
    SELECT spool_id, sequence, sum(clicks) AS clicks, sum(positions) AS positions,
           max(last) AS last, max(newest) AS newest
    FROM stored GROUP BY ALL
), compared AS (
    SELECT spool_id, sequence, expected, coalesce(in_lake.clicks, 0) AS clicks,
           coalesce(in_lake.positions, 0) AS positions, coalesce(last, -1) AS last, newest,
           coalesce(dead.clicks, 0) AS dead, coalesce(dead.letters, 0) AS letters,
           coalesce(dead.places, 0) AS places, coalesce(through, 0) AS through
    FROM expected_once
    FULL JOIN in_lake USING (spool_id, sequence)
    LEFT JOIN dead USING (spool_id, sequence)
    LEFT JOIN loaded USING (spool_id)
)
SELECT spool_id, sequence, CASE
    WHEN clicks <> positions THEN 'twice: ' || clicks || ' rows with ' || positions || ' row keys'
    WHEN letters <> places THEN 'dead letters twice: ' || letters || ' of ' || places || ' clicks'
    WHEN expected IS NULL THEN 'no receipt for ' || clicks || ' rows'
    WHEN sequence > through AND clicks > 0
        THEN clicks || ' rows, although loaded only through batch ' || through
    WHEN sequence <= through AND clicks + dead <> expected
        THEN expected || ' clicks accepted, ' || clicks || ' in the lake, '
             || dead || ' dead letters'
    WHEN last >= expected THEN 'a row at position ' || last || ' of ' || expected || ' clicks'
END AS problem
FROM compared
WHERE problem IS NOT NULL AND (expected IS NOT NULL OR newest BETWEEN $oldest AND $newest)
ORDER BY spool_id, sequence
"""

_TOTALS = """
SELECT (SELECT count(*) FROM (SELECT DISTINCT spool_id, sequence FROM expected)),
       (SELECT coalesce(sum(clicks), 0) FROM stored),
       (SELECT coalesce(sum(clicks), 0) FROM dead),
       (SELECT coalesce(sum(clicks), 0) FROM (
            SELECT spool_id, sequence, max(clicks) AS clicks FROM expected GROUP BY ALL
        ) LEFT JOIN loaded USING (spool_id) WHERE sequence > coalesce(through, 0))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One batch that the lake does not hold as it was accepted."""

    spool_id: str
    sequence: int
    #: A phrase for people.
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was compared, and what is wrong."""

    version: int
    #: Batches whose content is known from a receipt or from the spool.
    batches: int
    #: Clicks in the lake, in dead letters, and in the spool but not loaded yet.
    clicks: int
    dead_letters: int
    spooled: int
    #: The first ones, in the order of spool and batch.
    problems: tuple[Problem, ...]
    #: All of them.
    problems_total: int


def verify(
    lake: Lake,
    spool_root: Path,
    scratch: Path,
    *,
    receipts_since: Micros,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    clock: Callable[[], Micros] = wall_clock,
) -> Findings:
    """Compare everything; safe while serving.

    ``receipts_since``: receipts of batches received since then are kept. ``on_progress`` gets
    days read and days in all.
    """
    started = clock()
    with connection(scratch, threads=2) as engine:
        # Spool before receipts: what is released meanwhile is found in one of the two, or both.
        # Both before the lake: all that was released is in it.
        engine.execute("CREATE TABLE expected (spool_id TEXT, sequence BIGINT, clicks BIGINT)")
        _insert(engine, "expected", _EXPECTED, _in_spools(spool_root))
        _insert(engine, "expected", _EXPECTED, _in_receipts(spool_root / layout.RECEIPTS))
        table = lake.clicks()
        version = table.version
        _insert_loaded(engine, table)
        _insert_stored(engine, table, on_progress)
        _insert_dead(engine, lake.dead_letters())
        found = engine.execute(_COMPARE, {"oldest": receipts_since, "newest": started - _UNDER_WAY})
        shown = [
            Problem(spool_id=spool_id, sequence=sequence, detail=detail)
            for spool_id, sequence, detail in found.fetchmany(_PROBLEMS_SHOWN)
        ]
        more = 0
        while rows := found.fetchmany(_ROWS_AT_A_TIME):
            more += len(rows)
        batches, clicks, dead, spooled = engine.execute(_TOTALS).fetchone() or (0, 0, 0, 0)
    return Findings(
        version=version,
        batches=int(batches),
        clicks=int(clicks),
        dead_letters=int(dead),
        spooled=int(spooled),
        problems=tuple(shown),
        problems_total=len(shown) + more,
    )


def _in_spools(root: Path) -> Iterator[tuple[str, int, int]]:
    for folder in layout.spool_folders(root):
        yield from _in_spool(folder)


def _in_spool(folder: Path) -> list[tuple[str, int, int]]:
    while folder.exists():
        with suppress(FileNotFoundError), closing(Contents(folder)) as contents:
            settled = not layout.is_locked(folder / layout.LOCK)
            return [
                (folder.name, header.sequence, header.clicks)
                for header in contents.headers(settled=settled)
            ]
    return []  # loaded and removed meanwhile: the receipts have it


def _in_receipts(path: Path) -> Iterator[tuple[str, int, int]]:
    if not path.exists():
        return
    with Receipts(path, read_only=True) as receipts:
        for receipt in receipts.iterate():
            yield receipt.spool_id, receipt.sequence, receipt.clicks


def _insert_loaded(engine: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Note through which batch of each spool the lake says that it is loaded."""
    engine.execute("CREATE TABLE loaded (spool_id TEXT, through BIGINT)")
    spools = engine.execute("SELECT DISTINCT spool_id FROM expected").fetchall()
    _insert(engine, "loaded", _THROUGH, ((spool, table.loaded(spool)) for (spool,) in spools))


def _insert_stored(
    engine: duckdb.DuckDBPyConnection, table: Table, on_progress: Callable[[int, int], None]
) -> None:
    """Count the rows of each batch day by day: the same row twice is twice on the same day."""
    engine.execute(
        "CREATE TABLE stored (spool_id TEXT, sequence BIGINT, clicks BIGINT, positions BIGINT,"
        " last BIGINT, newest BIGINT)"
    )
    files = sorted(table.files(), key=lambda file: str(file.event_date))
    days = [list(of_day) for _, of_day in groupby(files, key=lambda file: file.event_date)]
    for done, of_day in enumerate(days, start=1):
        paths = [table.path / file.path for file in of_day]
        readable = [path for path in paths if _is_readable(engine, path)]
        if readable:
            engine.execute(
                "INSERT INTO stored SELECT spool_id, sequence, count(*), count(DISTINCT position),"
                " max(position), max(epoch_us(received_time))"
                f" FROM {files_sql(readable)} GROUP BY spool_id, sequence"
            )
        on_progress(done, len(days))


def _is_readable(engine: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Tell whether a file is there and whole enough to be read; what it held is missed if not."""
    try:
        engine.execute(f"SELECT 1 FROM {files_sql([path])} LIMIT 1").fetchone()
    except duckdb.Error as error:
        _log.error("lake_file_unreadable", path=str(path), reason=str(error))
        return False
    return True


def _insert_dead(engine: duckdb.DuckDBPyConnection, table: Table) -> None:
    engine.execute(
        "CREATE TABLE dead (spool_id TEXT, sequence BIGINT, clicks BIGINT, letters BIGINT,"
        " places BIGINT)"
    )
    paths = [table.path / file.path for file in table.files()]
    if paths:
        engine.execute(
            "INSERT INTO dead SELECT spool_id, sequence, sum(clicks), count(*),"
            f" count(DISTINCT (position, reason, detail)) FROM {files_sql(paths)}"
            " GROUP BY spool_id, sequence"
        )


def _insert(
    engine: duckdb.DuckDBPyConnection,
    table: str,
    schema: pa.Schema,
    rows: Iterable[tuple[object, ...]],
) -> None:
    rest = iter(rows)
    while part := list(islice(rest, _ROWS_AT_A_TIME)):
        columns = zip(*part, strict=True)
        arrow = pa.table(
            [
                pa.array(list(column), kind)
                for column, kind in zip(columns, schema.types, strict=True)
            ],
            schema=schema,
        )
        engine.register("incoming", arrow)
        engine.execute(f"INSERT INTO {table} SELECT * FROM incoming")
        engine.unregister("incoming")
