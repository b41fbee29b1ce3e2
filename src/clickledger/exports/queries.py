"""The SQL over the lake's files that an export runs: counting a day, reading a slice.

COPY takes no bound values, so numbers and paths are written into the text: numbers from typed
fields, paths as quoted literals.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from clickledger.clock import Micros
from clickledger.exports.cells import ROW_KEY
from clickledger.exports.formats.text import literal
from clickledger.exports.model import ClickExportRequest, Plan, Slice
from clickledger.lake import engine, unique

#: The order of an export: event time, then row key.
_ORDER = ", ".join(f'"{column}"' for column in ("event_time", *ROW_KEY))


def counts(
    files: Sequence[Path], request: ClickExportRequest, start: Micros, end: Micros, step: Micros
) -> str:
    """Count clicks by file and stretch of time.

    Columns: path of the file, number of the stretch, clicks of the program, clicks asked for,
    those of them that the stored ``unique_click`` lets through, first and last event time.
    """
    wanted = " and ".join(["true", *_asked_for(request)])
    kept = " and ".join([wanted, *_unique(request)])
    return f"""
        select filename, (epoch_us(event_time) - {start}) // {step} as stretch,
            count(*), count(*) filter ({wanted}), count(*) filter ({kept}),
            min(epoch_us(event_time)), max(epoch_us(event_time))
        from {engine.files_sql(files)}
        where {_between(request.program_id, start, end)}
        group by all
    """


def slice_rows(plan: Plan, piece: Slice, select: str) -> str:
    """Select the rows of one slice, in the order of the export."""
    request = plan.request
    files = [Path(plan.files[file]) for file in piece.files]
    conditions = [_between(request.program_id, piece.start, piece.end), *_asked_for(request)]
    if not piece.direct:
        source = _with_unique(plan, piece, files, conditions)
        conditions = []
    else:
        source = engine.files_sql(files)
    conditions += _unique(request)
    where = f"where {' and '.join(conditions)}" if conditions else ""
    order = "" if piece.direct else f"order by {_ORDER}"
    return f"select {select} from {source} {where} {order}"


def copy(rows: str, path: str, options: str) -> str:
    """Write rows to a file; the answer is their number."""
    return f"copy ({rows}) to {literal(path)} ({options}, use_tmp_file false)"


def _with_unique(plan: Plan, piece: Slice, files: Sequence[Path], conditions: Iterable[str]) -> str:
    """Read clicks with their ``unique_click`` computed, not as stored.

    The rule's window functions see narrow rows only; the wide ones meet them by row key.
    """
    looked_at = [Path(plan.files[file]) for file in piece.unique_files]
    since = piece.start - unique.WINDOW
    narrow = (
        f"(select {', '.join(map(_quoted, unique.COLUMNS))} from {engine.files_sql(looked_at)} "
        f"where {_between(plan.request.program_id, since, piece.end)})"
    )
    key = ", ".join(map(_quoted, ROW_KEY))
    wide = (
        f"select * exclude (unique_click) from {engine.files_sql(files)} "
        f"where {' and '.join(conditions)}"
    )
    return (
        f"(select * from ({wide}) join (select {key}, unique_click "
        f"from ({unique.unique_sql(narrow, piece.start)})) using ({key}))"
    )


def _between(program_id: int, start: Micros, end: Micros) -> str:
    return (
        f"program_id = {program_id} and event_time >= make_timestamptz({start}) "
        f"and event_time < make_timestamptz({end})"
    )


def _asked_for(request: ClickExportRequest) -> list[str]:
    return [
        f"{column} in ({', '.join(map(str, ids))})"
        for column, ids in (("ad_id", request.ad_ids), ("media_id", request.media_ids))
        if ids
    ]


def _unique(request: ClickExportRequest) -> list[str]:
    if request.unique_click is None:
        return []
    return [f"unique_click is not distinct from {str(request.unique_click).lower()}"]


def _quoted(column: str) -> str:
    return f'"{column}"'
