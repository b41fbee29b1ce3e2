"""The Job row as the worker drives it: every write is fenced by run, try and state.

A write that finds another run, another try or another state changes nothing and says so:
the job was cancelled or replaced meanwhile, and whoever wrote has to stop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Engine, select, update

from clickledger.clock import SteadyClock, to_datetime
from clickledger.db.tables import jobs
from clickledger.jobs import events, rules
from clickledger.jobs.identity import from_parameters
from clickledger.jobs.model import Attempt, SliceDone, State, Unfinished, Work
from clickledger.jobs.store import log_transition
from clickledger.postbacks import outbox

#: As declared by the table.
_MESSAGE_CHARS = 2000


class Runs:
    """The worker's side of all jobs; safe to share between threads.

    ``tries``: before a job is FAILED. ``retry_s``: seconds from a failure to the next try.
    ``origin``: what links in postbacks start with, without a slash at the end; empty: they are
    paths.
    """

    def __init__(
        self, engine: Engine, clock: SteadyClock, *, tries: int, retry_s: float, origin: str = ""
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._tries = tries
        self._retry_s = retry_s
        self._origin = origin

    def unfinished(self) -> Sequence[Unfinished]:
        """List every unfinished job."""
        columns = (
            jobs.c.id,
            jobs.c.run,
            jobs.c.attempt,
            jobs.c.state,
            jobs.c.requested_at,
            jobs.c.retry_at,
        )
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(*columns).where(
                    jobs.c.state.in_([state.value for state in rules.UNFINISHED])
                )
            ).mappings()
            return [Unfinished(**{**row, "state": State(row["state"])}) for row in rows]

    def claim(self, job: Unfinished) -> Attempt | None:
        """Begin the next try of a job that is QUEUED or in ERROR; None: it has moved on."""
        return self._begin(job, "The worker is on it.")

    def replace(self, job: Unfinished) -> Attempt | None:
        """Begin another try in the place of one that ended without a word.

        The row passes through ERROR. What was pinned and finished stays.
        """
        return self._begin(
            job, "The try before this one ended without a word; going on from there.", lost=True
        )

    def work(self, attempt: Attempt) -> Work | None:
        """Read what this try has before it; None: cancelled or replaced."""
        columns = (
            jobs.c.account_sid,
            jobs.c.parameters,
            jobs.c.requested_at,
            jobs.c.lake_version,
            jobs.c.complete_through,
            jobs.c.plan,
            jobs.c.finished,
            jobs.c.records,
            jobs.c.percent,
        )
        with self._engine.connect() as connection:
            row = (
                connection.execute(select(*columns).where(*_fence(attempt)))
                .mappings()
                .one_or_none()
            )
        if row is None:
            return None
        pin = row["plan"] or {"plan": None, "replaces": None}
        return Work(
            request=from_parameters(row["account_sid"], row["parameters"]),
            requested_at=row["requested_at"],
            lake_version=row["lake_version"],
            complete_through=row["complete_through"],
            plan=pin["plan"],
            replaces=pin["replaces"],
            finished=tuple(SliceDone(**done) for done in row["finished"] or ()),
            records=row["records"],
            percent=row["percent"],
        )

    def say(self, attempt: Attempt, message: str) -> bool:
        """Tell whoever looks at the job what is going on; False: cancelled or replaced."""
        return self._write(attempt, message=message[:_MESSAGE_CHARS])

    def pin(
        self,
        attempt: Attempt,
        *,
        lake_version: int,
        complete_through: datetime,
        plan: Mapping[str, object],
        replaces: int | None,
        message: str,
    ) -> bool:
        """Fix what this run reads, all of it in one write; drops what an earlier pin finished.

        False: cancelled or replaced.
        """
        return self._write(
            attempt,
            lake_version=lake_version,
            complete_through=complete_through,
            plan={"plan": dict(plan), "replaces": replaces},
            finished=[],
            records=0,
            percent=0,
            message=message[:_MESSAGE_CHARS],
        )

    def progress(
        self, attempt: Attempt, finished: Sequence[SliceDone], percent: int, *, moved: bool
    ) -> bool:
        """Store the finished slices; False: cancelled or replaced.

        ``moved``: whether the numbers the wire shows are other than before.
        """
        values: dict[str, object] = {
            "finished": [asdict(done) for done in finished],
            "records": sum(done.rows for done in finished),
            "percent": percent,
        }
        if moved:
            values["progress_at"] = self._now()
        return self._write(attempt, **values)

    def complete(self, attempt: Attempt, *, rows: int, message: str, sha256: str) -> bool:
        """Finish a run whose file is there, and tell of it; False: cancelled or replaced.

        ``sha256``: of the whole result, in hexadecimal.
        """
        now = self._now()
        with self._engine.begin() as connection:
            written = _write(
                connection,
                attempt,
                state=State.COMPLETED.value,
                message=message[:_MESSAGE_CHARS],
                completed_at=now,
                progress_at=now,
                records=rows,
                percent=100,
                result_run=attempt.run,
            )
            if written:
                self._announce(connection, attempt, now, sha256)
        if written:
            log_transition(attempt.job_id, attempt.run, State.COMPLETED, rows=rows)
        return written

    def fail(self, attempt: Attempt, reason: str) -> State | None:
        """Record that this try failed; return the state it leads to, None: it has moved on.

        FAILED is told to the world, ERROR is not: the job goes on.
        """
        now = self._now()
        failure = rules.after_failure(
            reason, attempt=attempt.number, tries=self._tries, now=now, retry_s=self._retry_s
        )
        with self._engine.begin() as connection:
            written = _write(
                connection,
                attempt,
                state=failure.path[-1].value,
                message=failure.message[:_MESSAGE_CHARS],
                failed_at=now,
                retry_at=failure.retry_at,
            )
            if written and failure.path[-1] is State.FAILED:
                self._announce(connection, attempt, now, "")
        if not written:
            return None
        for state in failure.path:
            log_transition(
                attempt.job_id, attempt.run, state, attempt=attempt.number, reason=reason
            )
        return failure.path[-1]

    def abandon(self, attempt: Attempt) -> None:
        """Note that a start was attempted while the job was running already (impact-api 3.2)."""
        self._write(attempt, abandoned_at=self._now())

    def expire(self, keep: timedelta) -> None:
        """Let go of the results of runs that completed longer ago than ``keep``."""
        with self._engine.begin() as connection:
            connection.execute(
                update(jobs)
                .where(jobs.c.result_run.is_not(None), jobs.c.completed_at < self._now() - keep)
                .values(result_run=None)
            )

    def holder(self, job_id: str) -> rules.Holder | None:
        """Read what a job's row says of the files of its runs; None: there is no such job."""
        columns = (jobs.c.run, jobs.c.state, jobs.c.result_run, jobs.c.completed_at)
        with self._engine.connect() as connection:
            row = connection.execute(select(*columns).where(jobs.c.id == job_id)).one_or_none()
        if row is None:
            return None
        return rules.Holder(
            run=row.run,
            unfinished=State(row.state) in rules.UNFINISHED,
            result_run=row.result_run,
            result_at=row.completed_at,
        )

    def _begin(self, job: Unfinished, message: str, *, lost: bool = False) -> Attempt | None:
        attempt = Attempt(job_id=job.id, run=job.run, number=job.attempt + 1)
        now = self._now()
        values: dict[str, object] = {"failed_at": now} if lost else {}
        with self._engine.begin() as connection:
            begun = connection.execute(
                update(jobs)
                .where(
                    jobs.c.id == job.id,
                    jobs.c.run == job.run,
                    jobs.c.attempt == job.attempt,
                    jobs.c.state == job.state.value,
                )
                .values(
                    state=State.RUNNING.value,
                    attempt=attempt.number,
                    started_at=now,
                    retry_at=None,
                    message=message,
                    **values,
                )
            )
        if begun.rowcount != 1:
            return None
        if lost:
            log_transition(job.id, job.run, State.ERROR, attempt=job.attempt, reason="lost")
        log_transition(job.id, job.run, State.RUNNING, attempt=attempt.number)
        return attempt

    def _write(self, attempt: Attempt, **values: object) -> bool:
        with self._engine.begin() as connection:
            return _write(connection, attempt, **values)

    def _announce(
        self, connection: Connection, attempt: Attempt, now: datetime, sha256: str
    ) -> None:
        """Queue the postbacks about a run that has just ended, within its transaction."""
        row = connection.execute(
            select(
                jobs.c.account_sid,
                jobs.c.type,
                jobs.c.program_id,
                jobs.c.parameters,
                jobs.c.state,
                jobs.c.message,
                jobs.c.records,
            ).where(jobs.c.id == attempt.job_id)
        ).one()
        event = events.completion(
            job_id=attempt.job_id,
            account_sid=row.account_sid,
            job_type=row.type,
            program_id=row.program_id,
            day=from_parameters(row.account_sid, row.parameters).date.isoformat(),
            state=State(row.state),
            message=row.message,
            run=attempt.run,
            rows=row.records,
            sha256=sha256,
            origin=self._origin,
            at=now,
        )
        outbox.put(connection, event, now)

    def _now(self) -> datetime:
        return to_datetime(self._clock.now())


def _write(connection: Connection, attempt: Attempt, **values: object) -> bool:
    written = connection.execute(update(jobs).where(*_fence(attempt)).values(**values))
    return written.rowcount == 1


def _fence(attempt: Attempt) -> tuple[ColumnElement[bool], ...]:
    return (
        jobs.c.id == attempt.job_id,
        jobs.c.run == attempt.run,
        jobs.c.attempt == attempt.number,
        jobs.c.state == State.RUNNING.value,
    )
