"""Writing one Parquet file of the lake: layout, statistics, and what its footer says.

Layout, measured on 100,000 made-up clicks with ids, profiles and sub ids of their own
(``bench/lake_size.py`` prints the present figures): 251 bytes per click with the library's
defaults, 163 with Zstandard, 151 with the encodings below, at the same speed. Higher levels of
Zstandard gain 3 % and cost three times the time: most bytes are random ids.
"""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clickledger import durable
from clickledger.clock import Micros
from clickledger.lake.schema import CLICKS
from clickledger.lake.table import DataFile

#: What a file of ``clicks`` holds: the partition column stands in the folder's name.
ROWS = pa.schema([field for field in CLICKS if field.name != "event_date"])
#: The order of a closed day's files, and the total order of clicks.
SORT_COLUMNS = ("program_id", "event_time", "spool_id", "sequence", "position")

#: Rows that are compressed together: the least that a reader decodes.
ROW_GROUP = 100_000

_FOOTER = b"clickledger."
#: Said only by files that closing a day wrote.
SORTED = _FOOTER + b"sorted"
_FIRST = _FOOTER + b"first"
_LAST = _FOOTER + b"last"
_MARGIN = _FOOTER + b"margin"
#: Only names that start so are looked into for the words above.
SORTED_PREFIX = "sorted-"

#: Nearly every value is another: a dictionary would only be in the way. Lengths apart from text.
_DISTINCT_TEXT = (
    "click_id",
    "landing_page_url",
    "raw_query",
    "sub_id1",
    "sub_id2",
    "sub_id3",
    "search_text",
)
_ASCENDING = ("event_time", "received_time", "sequence", "position")
#: Per visitor, not per click: a dictionary as long as a row group halves them.
_DICTIONARY_BYTES = 8 * 1024 * 1024
_ZSTD_LEVEL = 3
_BLOOM_FALSE_POSITIVES = 0.01


@dataclass(frozen=True, slots=True)
class SortKey:
    """Where a row stands in the order of closed days."""

    program_id: int
    event_time: Micros
    spool_id: str
    sequence: int
    position: int

    def __lt__(self, other: "SortKey") -> bool:
        return self.astuple() < other.astuple()

    def astuple(self) -> tuple[int, Micros, str, int, int]:
        """Return the parts in order."""
        return (
            self.program_id,
            self.event_time,
            self.spool_id,
            self.sequence,
            self.position,
        )


@dataclass(frozen=True, slots=True)
class Margin:
    """What a closed day's unique clicks were computed with: the end of the day before."""

    #: Clicks of the day before that lie within the window before midnight.
    rows: int
    #: Digest of the files they were in: while it is the same, ``rows`` is.
    files: str


@dataclass(frozen=True, slots=True)
class Sorted:
    """What a closed day's file says about itself."""

    first: SortKey
    last: SortKey
    margin: Margin


class FileWriter:
    """Writes one file of a table; it is on disk, and not yet part of the table, when closed."""

    def __init__(
        self,
        table: Path,
        schema: pa.Schema,
        *,
        statistics: tuple[str, ...],
        event_date: date | None = None,
        prefix: str = "part-",
        expected_rows: int = ROW_GROUP,
    ) -> None:
        folder = f"event_date={event_date.isoformat()}/" if event_date else ""
        self._path = f"{folder}{prefix}{uuid.uuid4().hex}.parquet"
        self._table = table
        self._file = table / self._path
        self._event_date = event_date
        self._statistics = statistics
        self._rows = 0
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._least: dict[str, int] = {}
        self._most: dict[str, int] = {}
        self._file.parent.mkdir(exist_ok=True)
        names = schema.names
        encodings = {
            **{name: "DELTA_BINARY_PACKED" for name in _ASCENDING if name in names},
            **{name: "DELTA_LENGTH_BYTE_ARRAY" for name in _DISTINCT_TEXT if name in names},
        }
        blooms = {"ndv": min(expected_rows, ROW_GROUP), "fpp": _BLOOM_FALSE_POSITIVES}
        self._writer = pq.ParquetWriter(
            self._file,
            schema,
            compression="zstd",
            compression_level=_ZSTD_LEVEL,
            use_dictionary=[
                field.name
                for field in schema
                if field.name not in encodings and not pa.types.is_list(field.type)
            ],
            column_encoding=encodings,
            dictionary_pagesize_limit=_DICTIONARY_BYTES,
            write_statistics=list(statistics),
            # Equality is how a click is looked up; its id's order is not the order of time.
            bloom_filter_options={"click_id": blooms} if "click_id" in names else None,
            store_schema=False,
            version="2.6",
        )

    def write(self, rows: pa.Table) -> None:
        """Append rows; they are kept in memory until a row group is full."""
        self._pending.append(rows)
        self._pending_rows += len(rows)
        while self._pending_rows >= ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        """Make a row group of what is in memory, full or not."""
        if not self._pending_rows:
            return
        rows = pa.concat_tables(self._pending)
        rest = rows.slice(ROW_GROUP)
        self._pending, self._pending_rows = [rest] if len(rest) else [], len(rest)
        rows = rows.slice(0, ROW_GROUP)
        self._writer.write_table(rows, row_group_size=ROW_GROUP)
        self._rows += len(rows)
        for name in self._statistics:
            column = rows[name]
            if pa.types.is_timestamp(column.type):
                column = column.cast(pa.int64())
            found = pc.min_max(column).as_py()
            if found["min"] is not None:
                self._least[name] = min(self._least.get(name, found["min"]), found["min"])
                self._most[name] = max(self._most.get(name, found["max"]), found["max"])

    def close(self, footer: Mapping[bytes, bytes] | None = None) -> DataFile:
        """Finish the file with ``footer`` in its metadata and make it durable."""
        self.flush()
        if footer:
            self._writer.add_key_value_metadata(dict(footer))
        self._writer.close()
        handle = os.open(self._file, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        durable.sync_folder(self._file.parent)
        durable.sync_folder(self._table)  # the folder may be new, whoever made it
        return DataFile(
            path=self._path,
            size=self._file.stat().st_size,
            rows=self._rows,
            event_date=self._event_date,
            least=self._least,
            most=self._most,
        )

    def abandon(self) -> None:
        """Remove the file."""
        self._writer.close()
        self._file.unlink(missing_ok=True)


def sorted_footer(first: SortKey, last: SortKey, margin: Margin) -> dict[bytes, bytes]:
    """Make the footer of a closed day's file."""
    return {
        SORTED: ",".join(SORT_COLUMNS).encode(),
        _FIRST: json.dumps(first.astuple()).encode(),
        _LAST: json.dumps(last.astuple()).encode(),
        _MARGIN: json.dumps([margin.rows, margin.files]).encode(),
    }


def read_sorted(file: Path) -> Sorted | None:
    """Read what a file says about its order; None: it says nothing."""
    if not file.name.startswith(SORTED_PREFIX):
        return None
    footer = pq.read_metadata(file).metadata or {}
    if footer.get(SORTED) != ",".join(SORT_COLUMNS).encode():
        return None
    rows, files = json.loads(footer[_MARGIN])
    return Sorted(
        first=SortKey(*json.loads(footer[_FIRST])),
        last=SortKey(*json.loads(footer[_LAST])),
        margin=Margin(rows=rows, files=files),
    )
