"""XML: ``ImpactRadiusResponse/Clicks/Click``, one row a line, paging as attributes of Clicks.

Absent is an empty element. CR is written ``&#13;``, since a parser turns a bare one into LF.
"""

from collections.abc import Sequence

from clickledger.exports.cells import Cell, Kind
from clickledger.exports.formats.model import Format
from clickledger.exports.formats.text import ROW_AS_TEXT, concat, literal


def _select(cells: Sequence[Cell], formula_guard: bool) -> str:
    del formula_guard
    parts: list[str] = [literal("<Click>")]
    for cell in cells:
        parts += _element(cell)
    return concat([*parts, literal("</Click>")])


def _element(cell: Cell) -> list[str]:
    empty, start, end = (
        literal(f"<{cell.name}/>"),
        literal(f"<{cell.name}>"),
        literal(f"</{cell.name}>"),
    )
    match cell.kind:
        case Kind.NUMBER | Kind.BOOLEAN:
            return [start, f"{cell.sql}::varchar", end]
        case Kind.PLAIN:
            return [start, cell.sql, end]
        case Kind.ABSENT:
            return [empty]
        case Kind.TEXT:
            return [f"coalesce({start} || {_escaped(cell.sql)} || {end}, {empty})"]


def _escaped(sql: str) -> str:
    for character, entity in (
        ("'&'", "&amp;"),
        ("'<'", "&lt;"),
        ("'>'", "&gt;"),
        ("chr(13)", "&#13;"),
    ):
        sql = f"replace({sql}, {character}, '{entity}')"
    return sql


def _head(names: Sequence[str], rows: int) -> bytes:
    del names
    paging = {
        "page": 1,
        "numpages": 1,
        "pagesize": rows,
        "total": rows,
        "start": 0,
        "end": max(rows - 1, 0),
    }
    attributes = " ".join(f'{name}="{value}"' for name, value in paging.items())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ImpactRadiusResponse>\n<Clicks {attributes}>\n'
    ).encode()


def _foot(rows: int) -> bytes:
    del rows
    return b"</Clicks>\n</ImpactRadiusResponse>\n"


FORMAT = Format(
    content_type="text/xml; charset=UTF-8",
    extension="xml",
    copy_options=ROW_AS_TEXT,
    select=_select,
    head=_head,
    foot=_foot,
)
