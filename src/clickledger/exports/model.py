"""Records of an export: what is asked for, how it will be written, what came of it."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from clickledger.clock import Micros


class ResultFormat(StrEnum):
    """File formats of an export."""

    CSV = "CSV"
    JSON = "JSON"
    XML = "XML"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickExportRequest:
    """Parameters of one ClickExport after normalising; equal requests are one job."""

    account_sid: str
    program_id: int
    #: A day of ``time_zone``; an omitted date has been resolved to the program's today.
    date: date
    #: IANA name.
    time_zone: str
    #: Sorted and distinct; empty: all.
    ad_ids: tuple[int, ...] = ()
    media_ids: tuple[int, ...] = ()
    #: True: only unique clicks; False: only repeats; None: both.
    unique_click: bool | None = None
    result_format: ResultFormat = ResultFormat.CSV
    #: Names of extra columns (ours), in order; empty: exactly the 42.
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the file."""

    #: Name on the wire.
    name: str
    #: Column of the lake it comes from.
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A stretch of the day that is written at one go; half open."""

    start: Micros
    end: Micros
    #: East of UTC, whole minutes; the same for every click of the slice.
    offset_seconds: int
    #: Positions in ``Plan.files`` of the files that hold clicks of the slice, in time order.
    files: tuple[int, ...]
    #: The files' rows follow each other in the order of the export and ``unique_click`` is
    #: stored and true to date. False: sort, and compute it.
    direct: bool
    #: Files that tell which clicks of the slice are repeats: those above, and earlier ones.
    #: Empty when ``direct``.
    unique_files: tuple[int, ...]
    #: Clicks that will be written; an upper bound when UniqueClick is asked for and computed.
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything the bytes of an export depend on; fixed when the lake's version is pinned."""

    request: ClickExportRequest
    lake_version: int
    #: The program's day in UTC, half open.
    start: Micros
    end: Micros
    #: The lake held every click received before this instant; None: unknown.
    complete_through: Micros | None
    columns: tuple[Column, ...]
    #: SubId1 to SubId3 stay empty.
    hide_sub_ids: bool
    #: CSV cells that a spreadsheet would run as a formula get a quote mark in front.
    formula_guard: bool
    #: Files of the lake, readable by DuckDB.
    files: tuple[str, ...]
    #: In time order; together they hold every click of the day that is asked for, once.
    slices: tuple[Slice, ...]
    warnings: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Clicks that will be written, at most."""
        return sum(one.rows for one in self.slices)

    @property
    def exact(self) -> bool:
        """Whether ``rows`` is exact: known before anything is written."""
        return self.request.unique_click is None or not any(one.unique_files for one in self.slices)


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceDone:
    """One finished slice of a run: what a resume does not do again."""

    index: int
    rows: int
    bytes: int
