"""JSON: one object with the flat rows in ``Clicks``, then the paging keys, one row a line.

Ids of program, partner and ad are numbers, UniqueClick is true or false, everything else is
text and ``""`` when absent. The paging keys are text, as lists of the wire have them.
"""

import json
from collections.abc import Sequence

from clickledger.exports.cells import Cell, Kind
from clickledger.exports.formats.model import Format
from clickledger.exports.formats.text import ROW_AS_TEXT, concat, literal


def _select(cells: Sequence[Cell], formula_guard: bool) -> str:
    """Build the row by hand: a third faster than to_json of the whole row."""
    del formula_guard
    # Each row begins with the comma that separates it from the one before.
    parts: list[str] = []
    for cell in cells:
        parts += [literal("," if parts else ",{"), literal(f'"{cell.name}":'), *_value(cell)]
    return concat([*parts, literal("}")])


def _value(cell: Cell) -> list[str]:
    match cell.kind:
        case Kind.NUMBER | Kind.BOOLEAN:
            return [f"{cell.sql}::varchar"]
        case Kind.PLAIN:
            return [literal('"'), cell.sql, literal('"')]
        case Kind.ABSENT:
            return [literal('""')]
        case Kind.TEXT:
            return [f"coalesce(to_json({cell.sql})::varchar, '\"\"')"]


def _head(names: Sequence[str], rows: int) -> bytes:
    del names, rows
    return b'{"Clicks":[\n'


def _foot(rows: int) -> bytes:
    paging = {
        "@page": "1",
        "@numpages": "1",
        "@pagesize": str(rows),
        "@total": str(rows),
        "@start": "0",
        "@end": str(max(rows - 1, 0)),
    }
    return b"]," + json.dumps(paging, separators=(",", ":"))[1:].encode() + b"\n"


FORMAT = Format(
    content_type="application/json",
    extension="json",
    copy_options=ROW_AS_TEXT,
    select=_select,
    head=_head,
    foot=_foot,
    first_byte=b" ",
)
