"""The Job: a request for a file, as the wire shows it and as the worker drives it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from clickledger.exports.model import ClickExportRequest, ResultFormat, SliceDone

#: What a job asks for belongs to the part that fulfils it; jobs stand above exports.
__all__ = [
    "CLICK_EXPORT",
    "REPLAYABLE",
    "Attempt",
    "ClickExportRequest",
    "Job",
    "ResultFormat",
    "SliceDone",
    "State",
    "Unfinished",
    "Work",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of one run of one job: what every write of the worker is fenced by."""

    job_id: str
    run: int
    #: From 1.
    number: int

    @property
    def workflow_id(self) -> str:
        """Name this try to the workflow engine.

        Every try has an id of its own: to start an id again would return its first result
        and run nothing.
        """
        first = f"{self.job_id}:{self.run}"
        return first if self.number == 1 else f"{first}:{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """An unfinished job as the dispatcher looks at it."""

    id: str
    run: int
    #: Tries of this run so far.
    attempt: int
    state: State
    requested_at: datetime
    retry_at: datetime | None

    @property
    def due_since(self) -> datetime:
        """Since when it could be tried: since asked for, after a failure since the retry is due."""
        return self.requested_at if self.retry_at is None else self.retry_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one try has before it, as the row has it now."""

    request: ClickExportRequest
    requested_at: datetime
    #: Pinned version of the lake; this and the next two are None until pinned.
    lake_version: int | None
    #: The lake's mark when the version was pinned.
    complete_through: datetime | None
    #: The exporter's own JSON.
    plan: Mapping[str, object] | None
    #: The version that this pin took the place of, because it could no longer be read.
    replaces: int | None
    finished: tuple[SliceDone, ...]
    records: int
    percent: int
