"""The Job row as the web and the operator see it: schedule, look up, replay, cancel.

The row is the truth about a job. Nothing here talks to the worker: it finds what is QUEUED.
"""

import re
from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    false,
    func,
    insert,
    null,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from clickledger import ids
from clickledger.clock import SteadyClock, to_datetime
from clickledger.db.tables import jobs
from clickledger.errors import NotFoundError
from clickledger.jobs import rules
from clickledger.jobs.identity import from_parameters, identity, to_parameters
from clickledger.jobs.model import CLICK_EXPORT, ClickExportRequest, Job, State

_log = structlog.get_logger(__name__)

#: Anything else cannot be an id of ours and is not shown to the database.
_JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: The columns of a Job; not the plan, which can be long and is the worker's.
_JOB = (
    jobs.c.id,
    jobs.c.account_sid,
    jobs.c.type,
    jobs.c.program_id,
    jobs.c.parameters,
    jobs.c.state,
    jobs.c.message,
    jobs.c.run,
    jobs.c.attempt,
    jobs.c.requested_at,
    jobs.c.created_at,
    jobs.c.started_at,
    jobs.c.completed_at,
    jobs.c.abandoned_at,
    jobs.c.cancelled_at,
    jobs.c.failed_at,
    jobs.c.progress_at,
    jobs.c.retry_at,
    jobs.c.records,
    jobs.c.percent,
    jobs.c.result_run,
)


class Jobs:
    """Jobs of all accounts; safe to share between threads."""

    def __init__(self, engine: Engine, clock: SteadyClock) -> None:
        self._engine = engine
        self._clock = clock

    def schedule(self, request: ClickExportRequest, job_type: str = CLICK_EXPORT) -> Job:
        """Return the job of this request: the earlier one as it is now, or a new one, QUEUED.

        The unique constraint over account and identity decides between identical calls that
        race, in whatever processes.
        """
        key = identity(request, job_type)
        same = (jobs.c.account_sid == request.account_sid, jobs.c.identity == key)
        earlier = self._find(*same)
        if earlier is not None:
            return earlier
        now = self._now()
        job_id = ids.new_job_id()
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    insert(jobs).values(
                        id=job_id,
                        account_sid=request.account_sid,
                        type=job_type,
                        program_id=request.program_id,
                        identity=key,
                        parameters=to_parameters(request),
                        state=State.QUEUED.value,
                        message="Waiting for the worker.",
                        run=1,
                        attempt=0,
                        requested_at=now,
                        created_at=now,
                        records=0,
                        percent=0,
                    )
                )
        except IntegrityError:
            earlier = self._find(*same)
            if earlier is None:  # another constraint: the account does not exist
                raise
            return earlier
        log_transition(job_id, 1, State.QUEUED)
        return self.find(job_id)

    def get(self, account_sid: str, job_id: str) -> Job:
        """Return a job of this account; NotFoundError when there is none, or it is another's."""
        return _present(self._find(_is(job_id), jobs.c.account_sid == account_sid), job_id)

    def find(self, job_id: str) -> Job:
        """Return a job of any account, for the operator; NotFoundError when there is none."""
        return _present(self._find(_is(job_id)), job_id)

    def list(
        self,
        account_sid: str | None = None,
        *,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page: int = 1,
        page_size: int = 1000,
    ) -> tuple[Sequence[Job], int]:
        """Return one page of jobs, newest first, and how many there are on all pages.

        ``account_sid`` None: of every account, for the operator. A job created exactly at
        ``created_after`` is in, one created exactly at ``created_before`` is not.
        """
        wanted: tuple[ColumnElement[bool], ...] = ()
        if account_sid is not None:
            wanted += (jobs.c.account_sid == account_sid,)
        if created_after is not None:
            wanted += (jobs.c.created_at >= created_after,)
        if created_before is not None:
            wanted += (jobs.c.created_at < created_before,)
        with self._engine.connect() as connection:
            total = connection.execute(
                select(func.count()).select_from(jobs).where(*wanted)
            ).scalar_one()
            rows = connection.execute(
                select(*_JOB)
                .where(*wanted)
                .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
                .limit(page_size)
                .offset((page - 1) * page_size)
            ).mappings()
            return tuple(map(_from_row, rows)), total

    def replay(self, account_sid: str, job_id: str) -> Job:
        """Queue a finished job once more, as a new run; ForbiddenError when it is not finished.

        The dates of earlier runs stay: they say when it last completed, failed, was cancelled.
        """
        with self._engine.begin() as connection:
            same = (_is(job_id), jobs.c.account_sid == account_sid)
            job = _present(_locked(connection, *same), job_id)
            rules.check_replay(job.state)
            now = self._now()
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(
                    state=State.QUEUED.value,
                    message="Waiting for the worker.",
                    run=job.run + 1,
                    attempt=0,
                    requested_at=now,
                    retry_at=None,
                    lake_version=None,
                    complete_through=None,
                    plan=null(),
                    finished=null(),
                    records=0,
                    percent=0,
                    progress_at=now if job.records or job.percent else job.progress_at,
                )
            )
        log_transition(job_id, job.run + 1, State.QUEUED)
        return self.find(job_id)

    def cancel(self, job_id: str) -> Job:
        """Cancel an unfinished job of any account, for the operator; ConflictError when finished.

        A running export notices within a second: the worker looks at the row all the time.
        """
        with self._engine.begin() as connection:
            job = _present(_locked(connection, _is(job_id)), job_id)
            rules.check_cancel(job.state)
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(
                    state=State.CANCELLED.value,
                    message="Cancelled by an operator.",
                    cancelled_at=self._now(),
                    retry_at=None,
                )
            )
        log_transition(job_id, job.run, State.CANCELLED)
        return self.find(job_id)

    def pins(self) -> Sequence[int]:
        """Name the lake versions that unfinished jobs still read, each once, in order."""
        with self._engine.connect() as connection:
            versions = connection.execute(
                select(jobs.c.lake_version)
                .where(jobs.c.state.in_([state.value for state in rules.UNFINISHED]))
                .where(jobs.c.lake_version.is_not(None))
                .distinct()
            ).scalars()
            return sorted(versions)

    def _find(self, *wanted: ColumnElement[bool]) -> Job | None:
        with self._engine.connect() as connection:
            row = connection.execute(select(*_JOB).where(*wanted)).mappings().one_or_none()
        return None if row is None else _from_row(row)

    def _now(self) -> datetime:
        return to_datetime(self._clock.now())


def log_transition(job_id: str, run: int, state: State, **facts: object) -> None:
    """Write one line for a job that has changed its state; only after the commit."""
    _log.info("job", job=job_id, run=run, state=state.value, **facts)


def _is(job_id: str) -> ColumnElement[bool]:
    return jobs.c.id == job_id if _JOB_ID.fullmatch(job_id) else false()


def _locked(connection: Connection, *wanted: ColumnElement[bool]) -> Job | None:
    """Read a row that this transaction is going to change."""
    rows = connection.execute(select(*_JOB).where(*wanted).with_for_update())
    row = rows.mappings().one_or_none()
    return None if row is None else _from_row(row)


def _present(job: Job | None, job_id: str) -> Job:
    if job is None:
        raise NotFoundError(f"There is no job {job_id}.")
    return job


def _from_row(row: RowMapping) -> Job:
    values = dict(row)
    request = from_parameters(row["account_sid"], values.pop("parameters"))
    return Job(request=request, **{**values, "state": State(row["state"])})
