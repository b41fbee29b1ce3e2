"""The state machine of a job: which transitions there are, retries, and what a job says of itself.

Pure: no clock, no database. States as in impact-api 3.3, replay as in 3.5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from clickledger.errors import ConflictError, ForbiddenError
from clickledger.jobs.model import REPLAYABLE, State

#: Every transition there is. A step that seems to skip a state passes through it: a try that
#: fails for the last time goes RUNNING, ERROR, FAILED within one transaction.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED}),
    State.RUNNING: frozenset({State.COMPLETED, State.ERROR, State.CANCELLED}),
    State.ERROR: frozenset({State.RUNNING, State.FAILED, State.CANCELLED}),
    State.COMPLETED: frozenset({State.QUEUED}),
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset({State.QUEUED}),
}

#: States of a job that still has work before it, or may have.
UNFINISHED = frozenset({State.QUEUED, State.RUNNING, State.ERROR})


def check_replay(state: State) -> None:
    """Allow a replay, or raise ForbiddenError saying why not."""
    if state in REPLAYABLE:
        return
    if state is State.ERROR:
        raise ForbiddenError(
            "The job is in ERROR and is tried again by itself; it can be replayed when it is "
            "COMPLETED, FAILED or CANCELLED."
        )
    raise ForbiddenError(
        f"The job is {state.value}; it can be replayed when it is COMPLETED, FAILED or CANCELLED."
    )


def check_cancel(state: State) -> None:
    """Allow a cancellation, or raise ConflictError: a finished job has nothing to stop."""
    if state not in UNFINISHED:
        raise ConflictError(f"The job is {state.value}; only an unfinished job can be cancelled.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a failed try leads to."""

    #: States that the job passes through; the last one stays.
    path: tuple[State, ...]
    #: When the next try is due; None when there is none.
    retry_at: datetime | None
    message: str


def after_failure(
    reason: str, *, attempt: int, tries: int, now: datetime, retry_s: float
) -> Failure:
    """Decide what the failure of try ``attempt`` (from 1) leads to: another try, or FAILED."""
    if attempt >= tries:
        return Failure(
            path=(State.ERROR, State.FAILED),
            retry_at=None,
            message=f"Gave up after {_tries(attempt)}: {reason}",
        )
    retry_at = now + timedelta(seconds=retry_s)
    due = instant_text(retry_at)
    return Failure(
        path=(State.ERROR,),
        retry_at=retry_at,
        message=f"Try {attempt} of {tries} failed, the next is due {due}: {reason}",
    )


class Workflow(Enum):
    """What the workflow engine knows of one try."""

    #: It was never told of it.
    UNKNOWN = "unknown"
    #: It runs it, or will after a restart.
    PENDING = "pending"
    #: It is done with it, or belongs to a version of us whose tries it does not take up.
    ENDED = "ended"


class Adoption(Enum):
    """What the dispatcher does with a job that is RUNNING without a thread of its process."""

    #: The workflow engine has it.
    LEAVE = "leave"
    #: Hand the claimed try to the workflow engine.
    LAUNCH = "launch"
    #: Begin another try in the place of one that ended without a word.
    REPLACE = "replace"
    #: It was the last try: the job is FAILED.
    GIVE_UP = "give up"


def due(state: State, retry_at: datetime | None, now: datetime) -> bool:
    """Tell whether a try of this job can begin now."""
    if state is State.QUEUED:
        return True
    return state is State.ERROR and retry_at is not None and retry_at <= now


def adoption(workflow: Workflow, *, attempt: int, tries: int) -> Adoption:
    """Decide about a job that is RUNNING although no thread of this process is at it.

    The row is claimed before the workflow is started, so a kill between the two leaves a
    claimed try that the engine never heard of.
    """
    if workflow is Workflow.UNKNOWN:
        return Adoption.LAUNCH
    if workflow is Workflow.PENDING:
        return Adoption.LEAVE
    return Adoption.REPLACE if attempt < tries else Adoption.GIVE_UP


def percent(*, rows: int, expected_rows: int, slices: int, expected_slices: int) -> int:
    """Tell how far a run is: 0 to 99, for 100 means that the file is there."""
    if expected_rows > 0:
        return min(99, rows * 100 // expected_rows)
    if expected_slices > 0:
        return min(99, slices * 100 // expected_slices)
    return 0


def success_message(
    *,
    rows: int,
    complete_through: datetime,
    day_start: datetime,
    day_end: datetime,
    replaced: int | None = None,
) -> str:
    """Say what a finished file holds, and whether the day could still gain clicks."""
    count = "1 click" if rows == 1 else f"{rows} clicks"
    said = [f"{count}, complete through {instant_text(complete_through)}."]
    if complete_through <= day_start < day_end:
        said.append("The day had not begun then; Replay brings its clicks.")
    elif complete_through < day_end:
        said.append("The day was still open then; Replay brings the rest.")
    if replaced is not None:
        said.append(
            f"Lake version {replaced}, pinned at first, could no longer be read; "
            "all of the file is from a newer one."
        )
    return " ".join(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What a job's row says of the files of its runs."""

    #: The run it is at, and whether that still has work before it.
    run: int
    unfinished: bool
    #: The newest run that can be downloaded, and since when.
    result_run: int | None
    result_at: datetime | None


def keep_result(
    *, run: int, written_at: datetime, holder: Holder | None, now: datetime, grace: timedelta
) -> bool:
    """Decide whether the files of one run stay; ``holder`` None: there is no such job.

    What a replay has superseded stays for ``grace`` after the newer result, for links already
    given out; what nothing speaks of (cancelled, failed, expired) stays for ``grace`` after it
    was written.
    """
    if holder is None:
        return now - written_at < grace
    if run == holder.result_run or (run == holder.run and holder.unfinished):
        return True
    if holder.result_run is not None and holder.result_at is not None and run < holder.result_run:
        return now - holder.result_at < grace
    return now - written_at < grace


def job_path(account_sid: str, job_id: str) -> str:
    """Return the path of a job, without a host."""
    return f"/Advertisers/{account_sid}/Jobs/{job_id}"


def _tries(count: int) -> str:
    return "1 try" if count == 1 else f"{count} tries"


def instant_text(moment: datetime) -> str:
    """Write an instant for people: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
