"""Whatever happens to a job, in whatever order, it moves as documented and loses nothing."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from sqlalchemy import create_engine, select
from sqlalchemy.pool import StaticPool
from structlog.testing import capture_logs

from clickledger.clock import SECOND, SteadyClock, to_datetime
from clickledger.db.tables import accounts, deliveries, metadata, notifications
from clickledger.errors import ConflictError, ForbiddenError
from clickledger.jobs import rules
from clickledger.jobs.model import Attempt, ClickExportRequest, Job, SliceDone, State
from clickledger.jobs.runs import Runs
from clickledger.jobs.store import Jobs

TRIES = 3
RETRY_S = 60.0
#: What the world is told of.
ENDS = frozenset({State.COMPLETED, State.FAILED})


class JobMachine(RuleBasedStateMachine):
    """Drives two jobs by every call that web, operator and worker have, valid or stale."""

    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_700_000_000 * SECOND
        clock = SteadyClock(lambda: self.now)
        self.engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            connection.execute(
                accounts.insert().values(
                    sid="IR1", kind="advertiser", name="a", token_hash=b"", created_at=self.moment
                )
            )
            connection.execute(
                notifications.insert().values(
                    id="n",
                    account_sid="IR1",
                    name="all ends",
                    kind="JOB_COMPLETION",
                    draft={"url": "https://hooks.example/"},
                    secret="",
                    created_at=self.moment,
                    changed_at=self.moment,
                )
            )
        self.jobs = Jobs(self.engine, clock)
        self.runs = Runs(self.engine, clock, tries=TRIES, retry_s=RETRY_S)
        self.ids = [
            self.jobs.schedule(
                ClickExportRequest(
                    account_sid="IR1", program_id=n, date=date(2026, 1, 1), time_zone="UTC"
                )
            ).id
            for n in (1, 2)
        ]
        #: Job and state of every end of a run so far, in order.
        self.ends: list[tuple[str, str]] = []
        self.before = {job_id: self.jobs.find(job_id) for job_id in self.ids}
        self.logs: list[Any] = []
        self.capture = capture_logs()
        self.logs = self.capture.__enter__()

    def teardown(self) -> None:
        self.capture.__exit__(None, None, None)
        self.engine.dispose()

    @property
    def moment(self) -> datetime:
        return to_datetime(self.now)

    @rule(seconds=st.sampled_from([1, 59, 60, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(target=attempts, which=st.integers(0, 1))
    def claim_what_is_due(self, which: int) -> Attempt:
        due = [
            job
            for job in self.runs.unfinished()
            if job.id == self.ids[which] and rules.due(job.state, job.retry_at, self.moment)
        ]
        attempt = self.runs.claim(due[0]) if due else None
        if due:
            assert attempt is not None
            assert self.runs.claim(due[0]) is None, "one claim only"
        return attempt or Attempt(job_id=self.ids[which], run=99, number=1)

    @rule(target=attempts, which=st.integers(0, 1))
    def replace_what_was_lost(self, which: int) -> Attempt:
        running = [
            job
            for job in self.runs.unfinished()
            if job.id == self.ids[which] and job.state is State.RUNNING
        ]
        attempt = self.runs.replace(running[0]) if running else None
        return attempt or Attempt(job_id=self.ids[which], run=99, number=1)

    def current(self, attempt: Attempt) -> bool:
        job = self.jobs.find(attempt.job_id)
        return (job.state, job.run, job.attempt) == (State.RUNNING, attempt.run, attempt.number)

    @rule(attempt=attempts)
    def pin(self, attempt: Attempt) -> None:
        current = self.current(attempt)
        pinned = self.runs.pin(
            attempt,
            lake_version=7,
            complete_through=self.moment,
            plan={"slices": 4},
            replaces=None,
            message="x" * 5000,
        )
        assert pinned is current
        work = self.runs.work(attempt)
        assert (work is not None) is current
        if work is not None:
            assert (work.lake_version, work.plan, work.finished) == (7, {"slices": 4}, ())
            assert list(self.jobs.pins()) == [7]

    @rule(attempt=attempts, count=st.integers(1, 4))
    def progress(self, attempt: Attempt, count: int) -> None:
        current = self.current(attempt)
        done = [SliceDone(index=n, rows=10, bytes=99) for n in range(count)]
        assert self.runs.progress(attempt, done, count * 20, moved=True) is current
        work = self.runs.work(attempt)
        if work is not None:
            assert work.finished == tuple(done)
            assert (work.records, work.percent) == (count * 10, count * 20)

    @rule(attempt=attempts)
    def complete(self, attempt: Attempt) -> None:
        current = self.current(attempt)
        assert self.runs.complete(attempt, rows=40, message="done", sha256="ab") is current
        if current:
            job = self.jobs.find(attempt.job_id)
            assert (job.result_run, job.percent, job.records) == (attempt.run, 100, 40)

    @rule(attempt=attempts)
    def fail(self, attempt: Attempt) -> None:
        current = self.current(attempt)
        state = self.runs.fail(attempt, "no disk")
        assert (state is not None) is current
        if current:
            job = self.jobs.find(attempt.job_id)
            assert job.failed_at == self.moment
            assert state is (State.FAILED if attempt.number >= TRIES else State.ERROR)
            due = self.moment + timedelta(seconds=RETRY_S)
            assert job.retry_at == (due if state is State.ERROR else None)

    @rule(attempt=attempts)
    def abandon(self, attempt: Attempt) -> None:
        current = self.current(attempt)
        self.runs.abandon(attempt)
        if current:
            assert self.jobs.find(attempt.job_id).abandoned_at == self.moment

    @rule(which=st.integers(0, 1))
    def replay(self, which: int) -> None:
        job = self.jobs.find(self.ids[which])
        if job.state in rules.UNFINISHED:
            with pytest.raises(ForbiddenError):
                self.jobs.replay("IR1", job.id)
            return
        again = self.jobs.replay("IR1", job.id)
        assert (again.state, again.run, again.attempt) == (State.QUEUED, job.run + 1, 0)
        assert (again.requested_at, again.created_at) == (self.moment, job.created_at)
        assert (again.records, again.percent, again.retry_at) == (0, 0, None)
        assert again.result_run == job.result_run
        assert (again.completed_at, again.failed_at) == (job.completed_at, job.failed_at)

    @rule(which=st.integers(0, 1))
    def cancel(self, which: int) -> None:
        job = self.jobs.find(self.ids[which])
        if job.state not in rules.UNFINISHED:
            with pytest.raises(ConflictError):
                self.jobs.cancel(job.id)
            return
        cancelled = self.jobs.cancel(job.id)
        assert (cancelled.state, cancelled.cancelled_at) == (State.CANCELLED, self.moment)

    @invariant()
    def every_transition_is_documented_and_logged(self) -> None:
        for job_id in self.ids:
            was, job = self.before[job_id], self.jobs.find(job_id)
            path = [State(line["state"]) for line in self.logs if line.get("job") == job_id]
            if (job.state, job.run, job.attempt) != (was.state, was.run, was.attempt):
                assert path[-1] is job.state
            else:
                assert path == []
            self.check_path(was, path)
            self.ends += [(job_id, state.value) for state in path if state in ENDS]
            self.before[job_id] = job
        self.logs.clear()

        self.every_end_has_been_told_once()

    def every_end_has_been_told_once(self) -> None:
        rows = deliveries.c.order_key, deliveries.c.event
        with self.engine.connect() as connection:
            told = connection.execute(select(*rows).order_by(deliveries.c.id)).all()
        assert [(row.order_key, row.event) for row in told] == [
            (job_id, f"CLICK_EXPORT_{state}") for job_id, state in self.ends
        ]

    @staticmethod
    def check_path(was: Job, path: list[State]) -> None:
        for source, target in zip([was.state, *path], path, strict=False):
            assert target in rules.TRANSITIONS[source], f"{source} to {target}"

    @invariant()
    def a_pin_is_held_only_for_what_is_unfinished(self) -> None:
        states = {self.jobs.find(job_id).state for job_id in self.ids}
        if not states & rules.UNFINISHED:
            assert list(self.jobs.pins()) == []


JobMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestJobMachine = JobMachine.TestCase


def test_the_transitions_are_those_of_the_wire() -> None:
    """Impact-api 3.3, with CANCELLED only from what is unfinished."""
    written = {(source, target) for source, to in rules.TRANSITIONS.items() for target in to}
    assert written == {
        (State.QUEUED, State.RUNNING),
        (State.RUNNING, State.COMPLETED),
        (State.RUNNING, State.ERROR),
        (State.ERROR, State.RUNNING),
        (State.ERROR, State.FAILED),
        (State.QUEUED, State.CANCELLED),
        (State.RUNNING, State.CANCELLED),
        (State.ERROR, State.CANCELLED),
        (State.COMPLETED, State.QUEUED),
        (State.FAILED, State.QUEUED),
        (State.CANCELLED, State.QUEUED),
    }
