"""The worker's side of jobs: a dispatcher that starts what is due, the removal of old results.

The Job row is the truth. DBOS remembers which tries were started, and takes up again by itself
what a killed process left. The dispatcher starts whatever is QUEUED or due again, and whatever
is RUNNING although neither a thread of this process nor DBOS has it; so there may be one worker
for a control database. It calls `start_workflow` itself rather than use DBOS's queues: over SQLite
they have executed one workflow twice.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog
from sqlalchemy import Engine

from clickledger.clock import SteadyClock, to_datetime
from clickledger.config import DataFolder, Settings
from clickledger.errors import UnavailableError
from clickledger.jobs import results, rules
from clickledger.jobs.lease import Lease
from clickledger.jobs.model import Attempt, State, Unfinished
from clickledger.jobs.runs import Runs
from clickledger.jobs.steps import Exporter, Halted, Outcome, Steps, reason_of, report
from clickledger.jobs.workflows import Workflows
from clickledger.metrics import Metrics

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

#: Seconds between two looks at the job rows; also how soon a cancelled export is noticed.
_POLL_S = 0.25
#: Runs under way at a time: one may wait for the lake while another writes. Each export has
#: processes of its own; more of them would only take the loader's share of the machine.
_PARALLEL_RUNS = 2
#: Seconds between two questions to a control database that is away.
_AWAY_RETRY_S = 1.0
#: Seconds that `stop` waits for tries to let go.
_STOP_S = 6.0
#: Seconds between two removals of what is old.
_PURGE_S = 24 * 3600.0
#: A superseded result stays at least this long, for a slow download under way.
_GRACE = timedelta(days=1)
#: What DBOS remembers of a try that ended is of no use after this.
_REMEMBER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class _Running:
    """A try that a thread of this process is at."""

    attempt: Attempt
    #: Set when the try must end because the row has moved on.
    stop: threading.Event


class JobWorker:
    """Drives the jobs of one data folder; one per folder and per process at a time."""

    def __init__(
        self,
        *,
        engine: Engine,
        exporter: Exporter,
        folder: DataFolder,
        settings: Settings,
        metrics: Metrics,
        clock: SteadyClock,
        poll_s: float = _POLL_S,
    ) -> None:
        self._poll_s = poll_s
        self._folder = folder
        self._clock = clock
        self._metrics = metrics
        self._keep = timedelta(days=settings.result_keep_days)
        self._grace = max(_GRACE, timedelta(seconds=settings.signed_url_ttl_s))
        self._tries = settings.job_tries
        self._runs = Runs(
            engine,
            clock,
            tries=settings.job_tries,
            retry_s=settings.job_retry_s,
            origin=_origin(settings),
        )
        self._halt = threading.Event()
        self._steps = Steps(
            runs=self._runs,
            exporter=exporter,
            results_folder=folder.results,
            wait_s=settings.export_wait_s,
            halt=self._halt,
        )
        self._workflows = Workflows(folder.workflows_db, self._try)
        self._lease = Lease(folder.locks / "worker")
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._threads: tuple[threading.Thread, ...] = ()
        self._trouble = ""

    def start(self) -> None:
        """Open the workflows and begin to dispatch.

        Raises:
            UnavailableError: another worker process serves this data folder.
            CorruptedError: the workflows' database cannot be read.
        """
        self._folder.results.mkdir(parents=True, exist_ok=True)
        self._lease.acquire()
        try:
            self._workflows.open()
        except BaseException:
            self._lease.release()
            raise
        self._threads = tuple(
            threading.Thread(target=loop, name=f"jobs-{name}", daemon=True)
            for name, loop in (("dispatcher", self._dispatch_loop), ("purge", self._purge_loop))
        )
        for thread in self._threads:
            thread.start()

    def halt(self) -> None:
        """Begin to stop: returns at once."""
        self._halt.set()

    def stop(self) -> None:
        """Stop within 10 s; running exports end without a trace and go on at the next start."""
        self.halt()
        until = time.monotonic() + _STOP_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        while self._running and time.monotonic() < until:
            time.sleep(0.02)
        if self._running:
            _log.warning("tries do not let go", jobs=sorted(self._running))
        self._workflows.close()
        self._lease.release()

    def status(self) -> Mapping[str, object]:
        """Tell how the worker is doing, for probes: plain JSON values."""
        return {
            "dispatching": bool(self._threads) and self._threads[0].is_alive(),
            "running": sorted(running.attempt.workflow_id for running in self._jobs_running()),
            "trouble": self._trouble,
        }

    def purge(self) -> None:
        """Remove results whose time is over, and what DBOS remembers of old tries."""
        removed = results.purge(
            self._runs, self._folder.results, self._clock, keep=self._keep, grace=self._grace
        )
        forgotten = self._workflows.forget(to_datetime(self._clock.now()) - _REMEMBER)
        if removed or forgotten:
            _log.info("jobs purged", results=len(removed), workflows=forgotten)

    def _purge_loop(self) -> None:
        while not self._halt.is_set():
            try:
                self.purge()
            except Exception as error:  # noqa: BLE001 - the next day tries again, whatever it was
                report("purge failed", error)
            self._halt.wait(_PURGE_S)

    def _dispatch_loop(self) -> None:
        while not self._halt.is_set():
            try:
                self._dispatch()
                self._trouble = ""
            except Exception as error:  # noqa: BLE001 - one bad look must not end the looking
                if not self._trouble:
                    report("dispatch failed", error)
                self._trouble = reason_of(error)
            self._halt.wait(self._poll_s)

    def _dispatch(self) -> None:
        """Look at every unfinished job once: end what is over, start what is due."""
        unfinished = self._runs.unfinished()
        here = {running.attempt.job_id: running for running in self._jobs_running()}
        current = {
            (job.id, job.run, job.attempt) for job in unfinished if job.state is State.RUNNING
        }
        for running in here.values():
            attempt = running.attempt
            if (attempt.job_id, attempt.run, attempt.number) not in current:
                running.stop.set()
        elsewhere = [job for job in unfinished if job.id not in here]
        self._each(self._adopt, [job for job in elsewhere if job.state is State.RUNNING])
        free = max(0, _PARALLEL_RUNS - len({job_id for job_id, *_ in current} | here.keys()))
        now = to_datetime(self._clock.now())
        due = [job for job in elsewhere if rules.due(job.state, job.retry_at, now)]
        self._each(self._begin, sorted(due, key=lambda job: job.due_since)[:free])

    def _each(self, see_to: Callable[[Unfinished], None], jobs: Sequence[Unfinished]) -> None:
        """See to each job; trouble with one does not keep the others waiting."""
        troubles: list[Exception] = []
        for job in jobs:
            try:
                see_to(job)
            except Exception as error:  # noqa: BLE001 - raised again below
                troubles.append(error)
        if troubles:
            raise troubles[0]

    def _begin(self, job: Unfinished) -> None:
        attempt = self._runs.claim(job)
        if attempt is not None:
            self._workflows.start(attempt)

    def _adopt(self, job: Unfinished) -> None:
        """See to a job that is RUNNING although no thread of this process is at it."""
        attempt = Attempt(job_id=job.id, run=job.run, number=job.attempt)
        known = self._workflows.state(attempt)
        match rules.adoption(known, attempt=job.attempt, tries=self._tries):
            case rules.Adoption.LAUNCH:
                self._workflows.start(attempt)
            case rules.Adoption.REPLACE:
                replacement = self._runs.replace(job)
                if replacement is not None:
                    self._workflows.start(replacement)
            case rules.Adoption.GIVE_UP:
                self._fail(attempt, "the worker ended in the middle of it, again and again")
            case rules.Adoption.LEAVE:
                pass

    def _try(self, attempt: Attempt) -> None:
        """Do one try, in a thread of DBOS's; it ends only when the row knows how it ended."""
        if self._halt.is_set():
            raise Halted
        if not self._patiently(lambda: self._runs.work(attempt) is not None):
            # Taken up again by DBOS, which had no time to note that it ended. Not to be taken for
            # a run under way: the job's next run may be about to begin.
            return
        running = _Running(attempt, threading.Event())
        with self._lock:
            busy = attempt.job_id in self._running
            if not busy:
                self._running[attempt.job_id] = running
        if busy:
            self._runs.abandon(attempt)
            _log.warning("job already running", job=attempt.job_id, run=attempt.run)
            return
        try:
            self._walk(attempt, running.stop)
        finally:
            with self._lock:
                del self._running[attempt.job_id]

    def _walk(self, attempt: Attempt, stop: threading.Event) -> None:
        steps: tuple[tuple[str, Callable[[], Outcome]], ...] = (
            ("pin", lambda: self._steps.pin(attempt, stop)),
            ("export", lambda: self._steps.export(attempt, stop)),
            ("finish", lambda: self._steps.finish(attempt)),
        )
        for name, step in steps:
            kind, reason = self._workflows.step(name, step)
            if kind == "fail":
                self._fail(attempt, reason)
                return
            if kind == "stop":
                _log.info("job moved on", job=attempt.job_id, run=attempt.run)
                return
        self._metrics.jobs_finished.labels(State.COMPLETED.value).inc()

    def _fail(self, attempt: Attempt, reason: str) -> None:
        if self._patiently(lambda: self._runs.fail(attempt, reason)) is State.FAILED:
            self._metrics.jobs_finished.labels(State.FAILED.value).inc()

    def _patiently(self, ask: Callable[[], _T]) -> _T:
        """Ask the control database, again and again while it is away."""
        while True:
            try:
                return ask()
            except UnavailableError as error:
                _log.warning("job row out of reach", reason=str(error))
            if self._halt.wait(_AWAY_RETRY_S):
                raise Halted

    def _jobs_running(self) -> Sequence[_Running]:
        with self._lock:
            return list(self._running.values())


def _origin(settings: Settings) -> str:
    """Name what links to this server start with: nobody calls here whose own words would do."""
    return settings.public_url.rstrip("/") if "public_url" in settings.model_fields_set else ""
