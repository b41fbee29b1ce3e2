"""What a file format is: the SQL text of a row, and what stands around the rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clickledger.exports.cells import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One file format.

    The bytes of a row never depend on where a slice begins, so that the same clicks are the
    same bytes however the day was cut.
    """

    content_type: str
    #: Ending of the file's name, without a dot.
    extension: str
    #: Options of DuckDB's COPY, which writes the rows.
    copy_options: str
    #: Build the select list of a row; ``formula_guard`` matters to spreadsheets only.
    select: Callable[[Sequence[Cell], bool], str]
    #: What stands before the rows, given column names and the number of rows.
    head: Callable[[Sequence[str], int], bytes]
    #: What stands after the rows, given their number.
    foot: Callable[[int], bytes]
    #: Replaces the first byte of the first row: there is no row before it to separate it from.
    first_byte: bytes = b""
