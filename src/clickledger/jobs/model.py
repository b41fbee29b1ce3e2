"""The Job: a request for a file, as the wire shows it and as the worker drives it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from clickledger.exports.model import ClickExportRequest, ResultFormat, SliceDone

#: What a job asks for belongs to the part that fulfils it; jobs stand above exports.
__all__ = [
    "CLICK_EXPORT",
    "REPLAYABLE",
    "ClickExportRequest",
    "Job",
    "ResultFormat",
    "SliceDone",
    "State",
]


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
