"""The named queries over the lake."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path

import duckdb

from clickledger import ids
from clickledger.clock import DAY, Micros
from clickledger.lake import unique
from clickledger.lake.engine import connection, files_sql
from clickledger.lake.files import ROWS, SORT_COLUMNS
from clickledger.lake.store import LakeFile, Snapshot

#: A click lies at most this far from the instant in its id: PageLoad may report another one.
_AROUND_ID: Micros = DAY
_ORDER = SORT_COLUMNS[1:]


def count(
    snapshot: Snapshot,
    scratch: Path,
    *,
    first: Micros | None = None,
    end: Micros | None = None,
    program_id: int | None = None,
) -> int:
    """Count the clicks with ``first <= event_time < end``, of one program or of all.

    Files that lie wholly inside are counted by the table's log; only the others are read.
    """
    total = 0
    partial: list[Path] = []
    for file in snapshot.files(first, end):
        if program_id is not None and not file.min_program <= program_id <= file.max_program:
            continue
        if (
            (first is None or first <= file.min_time)
            and (end is None or file.max_time < end)
            and (program_id is None or file.min_program == file.max_program)
        ):
            total += file.rows
        else:
            partial.append(file.path)
    if not partial:
        return total
    conditions, values = ["TRUE"], []
    for condition, value in (
        ("epoch_us(event_time) >= ?", first),
        ("epoch_us(event_time) < ?", end),
        ("program_id = ?", program_id),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    with connection(scratch) as engine:
        row = engine.execute(
            f"SELECT count(*) FROM {files_sql(partial)} WHERE {' AND '.join(conditions)}", values
        ).fetchone()
    return total + (int(row[0]) if row else 0)


def find_click(
    snapshot: Snapshot, program_id: int, click_id: str, *, scratch: Path
) -> Mapping[str, object] | None:
    """Return the first row, by event time and row key, of the journey that an id names.

    All columns of the lake but the partition; instants are aware UTC datetimes. ``unique_click`` is
    computed unless the day is closed and no late click near it waits to be counted, as in an
    export. None: this version holds no such click.
    ``click_id``: one of ours (``ids.ClickIds.genuine``); its time says where to look.
    """
    minted = ids.click_time_ms(click_id) * 1000
    nearest = (minted, minted + 1000)
    around = (minted - _AROUND_ID, minted + _AROUND_ID)
    with connection(scratch, memory_mb=256) as engine:
        # A tracking link's click carries the very millisecond; everything else is rare.
        for first, end in (nearest, around):
            files = [
                file
                for file in snapshot.files(first, end)
                if file.min_program <= program_id <= file.max_program
            ]
            row = _first_row(engine, files, (first, end), program_id, click_id)
            if row is not None:
                row["unique_click"] = _is_unique(engine, snapshot, program_id, row)
                return row
    return None


def _first_row(
    engine: duckdb.DuckDBPyConnection,
    files: Sequence[LakeFile],
    within: tuple[Micros, Micros],
    program_id: int,
    click_id: str,
) -> dict[str, object] | None:
    if not files:
        return None
    query = (
        f"SELECT {', '.join(ROWS.names)} FROM {files_sql([file.path for file in files])}"
        " WHERE program_id = $program_id AND click_id = $click_id"
        " AND event_time >= make_timestamptz($first) AND event_time < make_timestamptz($end)"
    )
    first, end = within
    values = {"program_id": program_id, "click_id": click_id, "first": first, "end": end}
    # A journey has few rows; letting the engine find the first would double the time.
    rows = engine.sql(query, params=values).to_arrow_table().cast(ROWS).to_pylist()
    return min(rows, key=itemgetter(*_ORDER), default=None)


def _is_unique(
    engine: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    program_id: int,
    row: Mapping[str, object],
) -> bool:
    """Tell whether one click is unique: as stored where that is true to date, else by the rule.

    Of the rule's clicks only those of its own profile and visitor matter.
    """
    (instant,) = engine.execute("SELECT epoch_us(?)", [row["event_time"]]).fetchone() or (0,)
    files = [
        file
        for file in snapshot.files(instant - unique.WINDOW, instant + 1)
        if file.min_program <= program_id <= file.max_program
    ]
    if row["unique_click"] is not None and all(file.sorted for file in files):
        return bool(row["unique_click"])
    source = (
        f"(SELECT {', '.join(unique.COLUMNS)} FROM {files_sql([file.path for file in files])}"
        " WHERE program_id = $program_id"
        " AND event_time >= make_timestamptz($first) AND event_time < make_timestamptz($end)"
        " AND (profile_id = $profile_id OR visitor = $visitor))"
    )
    query = (
        f"SELECT unique_click FROM ({unique.unique_sql(source, instant)})"
        " WHERE spool_id = $spool_id AND sequence = $sequence AND position = $position"
    )
    values = {
        "first": instant - unique.WINDOW,
        "end": instant + 1,
        **{
            name: row[name]
            for name in (
                "program_id",
                "profile_id",
                "visitor",
                "spool_id",
                "sequence",
                "position",
            )
        },
    }
    found = engine.execute(query, values).fetchone()
    return bool(found[0]) if found else True
