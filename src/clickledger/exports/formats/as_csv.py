"""CSV (RFC 4180): a header, then one line per click, LF line ends, UTF-8 without a mark."""

from collections.abc import Sequence

from clickledger.exports.cells import Cell, Kind
from clickledger.exports.formats.model import Format

#: What a spreadsheet takes for the start of a formula: = + - @ TAB CR LF, and their wide forms.
_FORMULA_STARTS = (61, 43, 45, 64, 9, 13, 10, 0xFF1D, 0xFF0B, 0xFF0D, 0xFF20)


def _select(cells: Sequence[Cell], formula_guard: bool) -> str:
    return ", ".join(f'{_value(cell, formula_guard)} as "{cell.name}"' for cell in cells)


def _value(cell: Cell, formula_guard: bool) -> str:
    """Leave quoting and nulls to DuckDB: absent is nothing between two commas."""
    if not (formula_guard and cell.kind is Kind.TEXT):
        return cell.sql
    starts = ", ".join(map(str, _FORMULA_STARTS))
    return f"case when ascii({cell.sql}) in ({starts}) then '''' || {cell.sql} else {cell.sql} end"


def _head(names: Sequence[str], rows: int) -> bytes:
    del rows
    return (",".join(names) + "\n").encode()


def _foot(rows: int) -> bytes:
    del rows
    return b""


FORMAT = Format(
    content_type="text/csv; charset=utf-8; header=present",
    extension="csv",
    copy_options="format csv, header false",
    select=_select,
    head=_head,
    foot=_foot,
)
