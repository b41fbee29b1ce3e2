"""What one try of a job does, step by step; each step can be done again at any time.

Nothing here knows the workflow engine: a step reads the row, does its part, writes the row.
"""

import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from clickledger.clock import Micros, to_datetime, to_micros
from clickledger.errors import (
    ClickledgerError,
    GoneError,
    NotCompleteError,
    UnavailableError,
)
from clickledger.jobs import results, rules
from clickledger.jobs.model import Attempt, ClickExportRequest, SliceDone, Work
from clickledger.jobs.runs import Runs
from clickledger.programs import days

_log = structlog.get_logger(__name__)

#: Seconds between two looks at the lake's mark.
_MARK_POLL_S = 0.1

#: How often one try replaces a pin: a new pin that is gone at once means that something removes
#: the lake's files under our hands, and another would not help.
_PINS_PER_TRY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan over one version of the lake."""

    lake_version: int
    #: Plain JSON; only the exporter reads it.
    plan: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a plan expects to write."""

    rows: int
    slices: int


class Exporter(Protocol):
    """What a job needs of the lake and of the exports."""

    def complete_through(self) -> Micros | None:
        """Read the lake's mark; None: nothing is known yet."""

    def held_by(self) -> str:
        """Name what holds the mark back, for people."""

    def prepare(
        self, request: ClickExportRequest, complete_through: Micros, replaces: int | None
    ) -> Prepared:
        """Plan the export over the newest version; ``replaces``: a pinned one that is gone."""

    def size(self, plan: Mapping[str, object]) -> Size:
        """Tell how much the plan expects to write."""

    def run(
        self,
        plan: Mapping[str, object],
        finished: Sequence[SliceDone],
        folder: Path,
        on_slice: Callable[[SliceDone], None],
        cancelled: Callable[[], bool],
    ) -> int | None:
        """Write what is unfinished, the manifest last; return all rows, None: cancelled.

        ``on_slice`` is called once a slice is durable, one call at a time.

        Raises:
            GoneError: the pinned version can no longer be read.
        """

    def sha256(self, folder: Path) -> str:
        """Tell the checksum of the whole result in this folder, in hexadecimal."""


class Halted(BaseException):
    """The worker stops; the try is left as it is and goes on at the next start.

    Not an Exception, so that the workflow engine records no outcome for it.
    """


#: What a step came to: ("go", ""), ("stop", "") or ("fail", reason). The engine stores it.
Outcome = tuple[str, str]
GO: Outcome = ("go", "")
STOP: Outcome = ("stop", "")


class Steps:
    """The steps of a try. ``halt`` is set when the worker stops."""

    def __init__(
        self,
        *,
        runs: Runs,
        exporter: Exporter,
        results_folder: Path,
        wait_s: float,
        halt: threading.Event,
    ) -> None:
        self._runs = runs
        self._exporter = exporter
        self._results = results_folder
        self._wait_s = wait_s
        self._halt = halt

    def pin(self, attempt: Attempt, stop: threading.Event) -> Outcome:
        """Wait until the lake holds everything that was asked for; fix version and plan."""
        return self._guarded(attempt, lambda: self._pin(attempt, stop))

    def export(self, attempt: Attempt, stop: threading.Event) -> Outcome:
        """Write the slices that are not finished yet, and the manifest."""
        return self._guarded(attempt, lambda: self._export(attempt, stop))

    def finish(self, attempt: Attempt) -> Outcome:
        """Show the file to the world."""
        return self._guarded(attempt, lambda: self._finish(attempt))

    def _pin(self, attempt: Attempt, stop: threading.Event) -> Outcome:
        work = self._runs.work(attempt)
        if work is None:
            return STOP
        if work.plan is not None:  # an earlier try pinned; what it finished is still good
            return GO
        mark = self._wait_for_mark(attempt, to_micros(work.requested_at), stop)
        if mark is None:
            return STOP
        return self._fix(attempt, work, mark, None)

    def _wait_for_mark(
        self, attempt: Attempt, requested: Micros, stop: threading.Event
    ) -> Micros | None:
        """Return a mark that covers the request; None: told to stop."""
        give_up = time.monotonic() + self._wait_s
        told = False
        while True:
            mark = self._exporter.complete_through()
            if mark is not None and mark >= requested:
                return mark
            if time.monotonic() >= give_up:
                through = "nothing yet" if mark is None else f"through {_text(mark)}"
                # A loader that meets a fault cannot name a spool.
                holder = self._exporter.held_by()
                raise NotCompleteError(
                    f"after {self._wait_s:g} s the lake is complete {through}; this was asked for "
                    f"at {_text(requested)}" + (f"; held back by {holder}" if holder else "")
                )
            if not told:
                told = True
                waiting = f"Waiting until the lake is complete through {_text(requested)}."
                if not self._runs.say(attempt, waiting):
                    return None
            if stop.wait(_MARK_POLL_S):
                return None
            self._check_halt()

    def _fix(self, attempt: Attempt, work: Work, mark: Micros, replaces: int | None) -> Outcome:
        """Pin the newest version. ``mark`` was read before: the version holds at least that."""
        prepared = self._exporter.prepare(work.request, mark, replaces)
        shutil.rmtree(self._folder(attempt), ignore_errors=True)
        message = f"Reading lake version {prepared.lake_version}, complete through {_text(mark)}."
        pinned = self._runs.pin(
            attempt,
            lake_version=prepared.lake_version,
            complete_through=to_datetime(mark),
            plan=prepared.plan,
            replaces=replaces,
            message=message,
        )
        return GO if pinned else STOP

    def _export(self, attempt: Attempt, stop: threading.Event) -> Outcome:
        for _ in range(_PINS_PER_TRY):
            work = self._runs.work(attempt)
            if work is None:
                return STOP
            try:
                return self._write(attempt, work, stop)
            except GoneError as error:
                _log.warning(
                    "pin gone",
                    job=attempt.job_id,
                    run=attempt.run,
                    version=work.lake_version,
                    reason=str(error),
                )
                mark = self._exporter.complete_through() or 0
                if work.complete_through is not None:  # a newer version holds no less
                    mark = max(mark, to_micros(work.complete_through))
                if self._fix(attempt, work, mark, work.lake_version) == STOP:
                    return STOP
        raise UnavailableError("the lake's files vanish while they are read")

    def _write(self, attempt: Attempt, work: Work, stop: threading.Event) -> Outcome:
        assert work.plan is not None  # noqa: S101 - the step before this one pinned
        size = self._exporter.size(work.plan)
        finished = {done.index: done for done in work.finished}
        shown = (work.records, work.percent)

        def on_slice(done: SliceDone) -> None:
            nonlocal shown
            finished[done.index] = done  # perhaps anew: its file may not have been there any more
            records = sum(each.rows for each in finished.values())
            percent = rules.percent(
                rows=records,
                expected_rows=size.rows,
                slices=len(finished),
                expected_slices=size.slices,
            )
            moved = (records, percent) != shown
            shown = (records, percent)
            if not self._runs.progress(attempt, [*finished.values()], percent, moved=moved):
                stop.set()

        def cancelled() -> bool:
            return stop.is_set() or self._halt.is_set()

        rows = self._exporter.run(
            work.plan, work.finished, self._folder(attempt), on_slice, cancelled
        )
        if rows is not None:
            return GO
        self._check_halt()
        return STOP

    def _finish(self, attempt: Attempt) -> Outcome:
        work = self._runs.work(attempt)
        if work is None:
            return STOP
        assert work.complete_through is not None  # noqa: S101 - pinned
        bounds = days.day_bounds(work.request.date, work.request.time_zone)
        message = rules.success_message(
            rows=work.records,
            complete_through=work.complete_through,
            day_start=to_datetime(bounds.start),
            day_end=to_datetime(bounds.end),
            replaced=work.replaces,
        )
        completed = self._runs.complete(
            attempt,
            rows=work.records,
            message=message,
            sha256=self._exporter.sha256(self._folder(attempt)),
        )
        return GO if completed else STOP

    def _guarded(self, attempt: Attempt, step: Callable[[], Outcome]) -> Outcome:
        """Turn what goes wrong into an outcome that the job's message can show."""
        self._check_halt()
        try:
            return step()
        except Exception as error:  # noqa: BLE001 - a failed try is an outcome, whatever failed
            report("try failed", error, job=attempt.job_id, run=attempt.run)
            return ("fail", reason_of(error))

    def _check_halt(self) -> None:
        if self._halt.is_set():
            raise Halted

    def _folder(self, attempt: Attempt) -> Path:
        return results.run_folder(self._results, attempt.job_id, attempt.run)


def reason_of(error: Exception) -> str:
    """Say what went wrong, to somebody who may not see paths and internals; never empty."""
    if isinstance(error, ClickledgerError) and str(error):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"an unexpected {type(error).__name__}; the worker's log says more"


def report(event: str, error: Exception, **facts: object) -> None:
    """Log a failure: what we raise on purpose in one line, a surprise with its traceback."""
    if isinstance(error, ClickledgerError):
        _log.warning(event, reason=str(error), **facts)
    else:
        _log.error(event, exc_info=error, **facts)


def _text(instant: Micros) -> str:
    return rules.instant_text(to_datetime(instant))
