"""The Job: a request for a file, as the wire shows it and as the worker drives it."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class State(StrEnum):
    """States of a job (impact-api 3.3)."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    ERROR = "ERROR"
    FAILED = "FAILED"


#: States from which a replay may start (impact-api 3.5).
REPLAYABLE = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})

CLICK_EXPORT = "ClickExport"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job. All instants are aware UTC."""

    id: str
    account_sid: str
    type: str
    program_id: int
    request: ClickExportRequest
    state: State
    message: str
    #: 1 for the first, one more with each replay.
    run: int
    #: Tries of this run so far.
    attempt: int
    requested_at: datetime
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    abandoned_at: datetime | None
    cancelled_at: datetime | None
    failed_at: datetime | None
    progress_at: datetime | None
    retry_at: datetime | None
    records: int
    percent: int
    #: The newest run whose file can be downloaded; None while there is none.
    result_run: int | None
