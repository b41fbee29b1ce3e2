"""The SQL over the lake's files that an export runs: counting a day, reading a slice.

COPY takes no bound values, so numbers and paths are written into the text: numbers from typed
fields, paths as quoted literals.
"""

from collections.abc import Sequence
from pathlib import Path

from clickledger.clock import Micros
from clickledger.exports.cells import ROW_KEY
from clickledger.exports.formats.text import literal
from clickledger.exports.model import ClickExportRequest, Plan, Slice
from clickledger.lake import engine, unique

_KEY = ", ".join(f'"{column}"' for column in ROW_KEY)
#: The order of an export: event time, then row key.
_ORDER = f"event_time, {_KEY}"


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


def judge(plan: Plan, pieces: Sequence[Slice]) -> str:
    """Make the table of row keys that are repeats, for slices that follow each other."""
    files = sorted({file for piece in pieces for file in piece.unique_files})
    first, end = pieces[0].start, pieces[-1].end
    looked_at = (
        f"(select {', '.join(map(_quoted, unique.COLUMNS))} "
        f"from {engine.files_sql([Path(plan.files[file]) for file in files])} "
        f"where {_between(plan.request.program_id, first - unique.WINDOW, end)})"
    )
    return (
        f"create or replace temp table repeats as select {_KEY}, true as is_repeat "
        f"from ({unique.unique_sql(looked_at, first)}) where not unique_click"
    )


def slice_rows(plan: Plan, piece: Slice, select: str) -> str:
    """Select the rows of one slice, in the order of the export.

    A slice that is not ``direct`` needs the table that ``judge`` makes.
    """
    request = plan.request
    clicks = engine.files_sql([Path(plan.files[file]) for file in piece.files])
    conditions = " and ".join(
        [_between(request.program_id, piece.start, piece.end), *_asked_for(request)]
    )
    kept = " and ".join(["true", *_unique(request)])
    if piece.direct:
        return f"select {select} from {clicks} where {conditions} and {kept}"
    rows = f"select * exclude (unique_click) from {clicks} where {conditions}"
    judged = (
        f"select * exclude (is_repeat), is_repeat is null as unique_click "
        f"from ({rows}) left join repeats using ({_KEY})"
    )
    return f"select {select} from ({judged}) where {kept} order by {_ORDER}"


def copy(rows: str, path: str, options: str) -> str:
    """Write rows to a file; the answer is their number."""
    return f"copy ({rows}) to {literal(path)} ({options}, use_tmp_file false)"


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
