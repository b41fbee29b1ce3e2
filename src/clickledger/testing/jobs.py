"""A data folder with jobs, a worker that can be started again, and an exporter that can fail."""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Generic, TypeVar

from clickledger.clock import Micros, SteadyClock, to_datetime, wall_clock
from clickledger.config import DataFolder, Settings
from clickledger.db.engine import control_url, open_engine
from clickledger.db.revisions import migrate
from clickledger.db.tables import accounts
from clickledger.errors import GoneError, UnavailableError
from clickledger.jobs import results
from clickledger.jobs.model import ClickExportRequest, Job, SliceDone, State
from clickledger.jobs.runs import Runs
from clickledger.jobs.steps import Exporter, Prepared, Size
from clickledger.jobs.store import Jobs
from clickledger.jobs.work import JobWorker
from clickledger.metrics import Metrics

ExporterT = TypeVar("ExporterT", bound=Exporter)

#: The account that every job of a ``JobNode`` belongs to.
SID = "IR1"

#: A day that is over.
LONG_AGO = date(2020, 1, 1)

_ROWS_PER_SLICE = 10
_POLL_S = 0.01


def nothing(index: int) -> None:
    """Let slice ``index`` be written."""


@dataclass
class FileExporter:
    """Writes slices of ten rows, one small file each; a slot for everything that can go wrong."""

    slices: int = 3
    #: Seconds that a slice takes.
    pause_s: float = 0.0
    #: The lake's mark.
    mark: Callable[[], Micros | None] = wall_clock
    #: What holds the mark back.
    holder: str = "spool 00ab of a dead process"
    #: The newest version of the lake.
    version: int = 1
    #: Versions that can no longer be read.
    gone: set[int] = field(default_factory=set)
    #: Rows that it expects of a slice; it always writes ten.
    expected_rows: int = _ROWS_PER_SLICE
    #: Called before each slice with its index; raises what shall go wrong.
    before: Callable[[int], None] = nothing
    #: Version and index of every slice written, in order.
    written: list[tuple[int, int]] = field(default_factory=list)
    #: The calls that read the mark and the version, in order.
    calls: list[str] = field(default_factory=list)
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def complete_through(self) -> Micros | None:
        """Read the slot ``mark``."""
        self.calls.append("mark")
        return self.mark()

    def held_by(self) -> str:
        """Read the slot ``holder``."""
        return self.holder

    def prepare(
        self, request: ClickExportRequest, complete_through: Micros, replaces: int | None
    ) -> Prepared:
        """Plan ``slices`` slices of the newest version."""
        self.calls.append("prepare")
        plan = {
            "date": request.date.isoformat(),
            "complete_through": complete_through,
            "version": self.version,
            "slices": self.slices,
            "replaces": replaces,
        }
        return Prepared(lake_version=self.version, plan=plan)

    def size(self, plan: Mapping[str, object]) -> Size:
        """Expect ``expected_rows`` a slice."""
        slices = _integer(plan, "slices")
        return Size(rows=self.expected_rows * slices, slices=slices)

    def run(
        self,
        plan: Mapping[str, object],
        finished: Sequence[SliceDone],
        folder: Path,
        on_slice: Callable[[SliceDone], None],
        cancelled: Callable[[], bool],
    ) -> int | None:
        """Write what is not there, in order."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self._run(plan, finished, folder, on_slice, cancelled)
        finally:
            with self._lock:
                self._at_once -= 1

    def _run(
        self,
        plan: Mapping[str, object],
        finished: Sequence[SliceDone],
        folder: Path,
        on_slice: Callable[[SliceDone], None],
        cancelled: Callable[[], bool],
    ) -> int | None:
        version, slices = _integer(plan, "version"), _integer(plan, "slices")
        folder.mkdir(parents=True, exist_ok=True)
        done = {each.index for each in finished if (folder / f"part-{each.index:05}").exists()}
        for index in sorted(set(range(slices)) - done):
            if version in self.gone:
                raise GoneError(f"version {version} can no longer be read")
            self.before(index)
            until = time.monotonic() + self.pause_s
            while time.monotonic() < until:
                if cancelled():
                    return None
                time.sleep(_POLL_S)
            text = content(version, index)
            temporary = folder / f".part-{index:05}"
            temporary.write_text(text)
            temporary.replace(folder / f"part-{index:05}")
            self.written.append((version, index))
            on_slice(SliceDone(index=index, rows=_ROWS_PER_SLICE, bytes=len(text)))
        if cancelled():
            return None
        (folder / results.MANIFEST).write_text(json.dumps(dict(plan)))
        return _ROWS_PER_SLICE * slices

    def sha256(self, folder: Path) -> str:
        """Compute it anew."""
        return hashlib.sha256(read(folder).encode()).hexdigest()


def content(version: int, *indexes: int) -> str:
    """Return what a ``FileExporter`` writes for some slices of a version."""
    return "".join(f"version {version} slice {index}\n" for index in indexes)


def read(folder: Path) -> str:
    """Read a result as a download would: its parts in order."""
    return "".join(part.read_text() for part in sorted(folder.glob("part-*")))


def age(folder: Path, by: timedelta) -> None:
    """Make a folder look as if it had been written that long ago."""
    then = time.time() - by.total_seconds()
    os.utime(folder, (then, then))


class JobNode(Generic[ExporterT]):
    """One data folder with its control database, and a worker that can be started again.

    Several processes may each have one of the same folder; the first makes it. ``now`` can be
    replaced at any time; ``settings`` are those of ``Settings``, by name.
    """

    def __init__(self, root: Path, exporter: ExporterT, **settings: float | str) -> None:
        self.folder = DataFolder(root)
        self.exporter = exporter
        self.settings = Settings.model_validate(
            {"job_retry_s": 3600.0, "export_wait_s": 30.0, **settings}
        )
        self.now: Callable[[], Micros] = wall_clock
        self.clock = SteadyClock(self._read_clock)
        self.metrics = Metrics()
        self.engine = open_engine(control_url(self.settings, self.folder), wait_s=0.3)
        if not self.folder.control_db.exists():
            self._make()
        self.jobs = Jobs(self.engine, self.clock)
        self.runs = Runs(
            self.engine,
            self.clock,
            tries=self.settings.job_tries,
            retry_s=self.settings.job_retry_s,
        )

    def _make(self) -> None:
        migrate(self.engine)
        with self.engine.begin() as connection:
            connection.execute(
                accounts.insert().values(
                    sid=SID,
                    kind="advertiser",
                    name="Brand",
                    token_hash=b"",
                    created_at=to_datetime(wall_clock()),
                )
            )

    def worker(self) -> JobWorker:
        """Make a worker that is not started."""
        return JobWorker(
            engine=self.engine,
            exporter=self.exporter,
            folder=self.folder,
            settings=self.settings,
            metrics=self.metrics,
            clock=self.clock,
            poll_s=0.05,
        )

    @contextmanager
    def working(self) -> Iterator[JobWorker]:
        """Run a worker meanwhile."""
        worker = self.worker()
        worker.start()
        try:
            yield worker
        finally:
            worker.stop()

    def schedule(self, program_id: int = 1, day: date = LONG_AGO) -> Job:
        """Ask for a day of a program."""
        return self.jobs.schedule(
            ClickExportRequest(account_sid=SID, program_id=program_id, date=day, time_zone="UTC")
        )

    def until(self, job: Job, wanted: Callable[[Job], bool], timeout_s: float = 20.0) -> Job:
        """Wait until the job is as wanted, and return it; raises when it does not become so."""
        deadline = time.monotonic() + timeout_s
        while True:
            now = self.jobs.find(job.id)
            if wanted(now):
                return now
            if time.monotonic() > deadline:
                raise UnavailableError(f"the job did not come so far: {now}")
            time.sleep(_POLL_S)

    def until_state(self, job: Job, state: State) -> Job:
        """Wait for a state."""
        return self.until(job, lambda now: now.state is state)

    def result(self, job: Job) -> str:
        """Read the result as a download would give it."""
        folder = results.result_folder(self.folder.results, self.jobs.find(job.id))
        if folder is None:
            raise UnavailableError("there is nothing to download")
        return read(folder)

    def ended(self, state: State) -> float:
        """Read the metric of runs that ended in this state."""
        sample = self.metrics.registry.get_sample_value(
            "clickledger_jobs_finished_total", {"state": state.value}
        )
        return sample or 0.0

    def _read_clock(self) -> Micros:
        return self.now()


def _integer(plan: Mapping[str, object], key: str) -> int:
    value = plan[key]
    if not isinstance(value, int):
        raise TypeError(f"{key} is no integer")
    return value
