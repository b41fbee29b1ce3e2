"""Records of an export: what is asked for, and how far the writing has come."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


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
class SliceDone:
    """One finished slice of a run: what a resume does not do again."""

    index: int
    rows: int
    bytes: int
