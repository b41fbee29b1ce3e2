"""Cells of an export row: what each column's SQL is, before a format dresses it.

Text in the lake holds no character that a format cannot carry (``enrich.text``); bytes kept as
received may, and are made so here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from clickledger.clock import SECOND
from clickledger.exports.model import Column
from clickledger.programs import days


class Kind(Enum):
    """How a format has to treat a cell."""

    #: Never null, and nothing in it needs quoting or escaping.
    PLAIN = auto()
    #: A whole number, never null.
    NUMBER = auto()
    #: ``true`` or ``false``, never null.
    BOOLEAN = auto()
    #: Any text; null: absent, shown as an empty cell.
    TEXT = auto()
    #: Always absent.
    ABSENT = auto()


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell."""

    name: str
    kind: Kind
    #: An expression over the columns of the lake; of type VARCHAR, BIGINT or BOOLEAN by kind.
    sql: str


_SUB_IDS = frozenset({"sub_id1", "sub_id2", "sub_id3"})
_NUMBERS = frozenset({"program_id", "media_id", "ad_id"})
_MONEY = frozenset({"cpc_bid", "payout"})
_TIMES = frozenset({"event_time", "received_time"})

#: Columns that ``row_key`` is made of.
ROW_KEY = ("spool_id", "sequence", "position")


def cells(columns: Iterable[Column], offset_seconds: int, *, hide_sub_ids: bool) -> list[Cell]:
    """Build the cells of a row whose times are shown at this offset from UTC."""
    return [_cell(column, offset_seconds, hide_sub_ids) for column in columns]


def _cell(column: Column, offset_seconds: int, hide_sub_ids: bool) -> Cell:
    source = column.source
    kind, sql = Kind.TEXT, source
    if source in _TIMES:
        kind, sql = Kind.PLAIN, _time(source, offset_seconds)
    elif source in _NUMBERS:
        kind = Kind.NUMBER
    elif source == "unique_click":
        kind = Kind.BOOLEAN
    elif source in _MONEY:  # decimal as text; absent as the wire shows it (impact-api 2.2)
        kind, sql = Kind.PLAIN, f"coalesce({source}::varchar, '0.0')"
    elif source == "row_key":
        kind, sql = Kind.PLAIN, " || '/' || ".join(f'"{part}"' for part in ROW_KEY)
    elif source == "reasons":
        sql = "array_to_string(reasons, ';')"
    elif source == "user_agent":
        sql = _text(source)
    elif hide_sub_ids and source in _SUB_IDS:
        kind, sql = Kind.ABSENT, "null::varchar"
    return Cell(column.name, kind, sql)


def _time(source: str, offset_seconds: int) -> str:
    """ISO 8601 with the offset as literal text: half the cost of casting a zoned timestamp."""
    shifted = f"make_timestamp(epoch_us({source}) + {offset_seconds * SECOND})"
    return f"strftime({shifted}, '%Y-%m-%dT%H:%M:%S{days.offset_text(offset_seconds)}')"


def _text(source: str) -> str:
    """Read bytes as UTF-8; where they are not, each byte beyond ASCII becomes U+FFFD."""
    # blob::varchar writes what is not printable ASCII, and \ " ', as \xHH
    ascii_only = rf"regexp_replace({source}::varchar, '\\x[89A-F][0-9A-F]', chr(65533), 'g')"
    for code in (0x09, 0x0A, 0x0D, 0x22, 0x27, 0x7F):
        ascii_only = rf"replace({ascii_only}, '\x{code:02X}', chr({code}))"
    ascii_only = rf"regexp_replace({ascii_only}, '\\x[01][0-9A-F]', chr(65533), 'g')"
    ascii_only = rf"replace({ascii_only}, '\x5C', chr(92))"
    forbidden = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x{FFFE}\x{FFFF}]"
    return (
        f"regexp_replace(coalesce(try(decode({source})), {ascii_only}), '{forbidden}', "
        "chr(65533), 'g')"
    )
