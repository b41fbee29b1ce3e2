"""Single steps of a try: what each does when the job has moved on, or the worker stops."""

import threading
from pathlib import Path

import pytest

from clickledger.clock import Micros, to_datetime, wall_clock
from clickledger.errors import GoneError
from clickledger.jobs import results
from clickledger.jobs.model import Attempt, ClickExportRequest, Job, SliceDone
from clickledger.jobs.steps import GO, STOP, Halted, Prepared, Steps, reason_of
from clickledger.testing.jobs import FileExporter, JobNode, content, read


class Try:
    """One claimed try, and its steps without a worker around them."""

    def __init__(self, root: Path, exporter: FileExporter, wait_s: float = 5.0) -> None:
        self.node = JobNode(root, exporter)
        self.exporter = exporter
        self.job: Job = self.node.schedule()
        self.attempt = self.claim()
        self.halt, self.stop = threading.Event(), threading.Event()
        self.steps = Steps(
            runs=self.node.runs,
            exporter=exporter,
            results_folder=self.node.folder.results,
            wait_s=wait_s,
            halt=self.halt,
        )

    def claim(self) -> Attempt:
        attempt = self.node.runs.claim(self.node.runs.unfinished()[0])
        assert attempt is not None
        return attempt

    def cancel(self) -> None:
        self.node.jobs.cancel(self.job.id)

    @property
    def folder(self) -> Path:
        return results.run_folder(self.node.folder.results, self.job.id, 1)


def test_every_step_can_be_done_again(tmp_path: Path) -> None:
    it = Try(tmp_path, FileExporter())
    for _ in range(2):
        assert it.steps.pin(it.attempt, it.stop) == GO
    for _ in range(2):
        assert it.steps.export(it.attempt, it.stop) == GO
    assert it.exporter.calls == ["mark", "prepare"]
    assert it.exporter.written == [(1, 0), (1, 1), (1, 2)]
    assert it.steps.finish(it.attempt) == GO
    assert it.steps.finish(it.attempt) == STOP, "it is COMPLETED already"
    assert read(it.folder) == content(1, 0, 1, 2)


def test_no_step_touches_a_job_that_has_moved_on(tmp_path: Path) -> None:
    it = Try(tmp_path, FileExporter())
    it.cancel()
    cancelled = it.node.jobs.find(it.job.id)
    assert it.steps.pin(it.attempt, it.stop) == STOP
    assert it.steps.export(it.attempt, it.stop) == STOP
    assert it.steps.finish(it.attempt) == STOP
    assert (it.exporter.calls, it.exporter.written) == ([], [])
    assert it.node.jobs.find(it.job.id) == cancelled


def test_a_cancellation_while_waiting_is_seen_in_the_row(tmp_path: Path) -> None:
    def cancel_once() -> Micros | None:
        if len(it.exporter.calls) == 1:
            it.cancel()
        return None

    it = Try(tmp_path, FileExporter(mark=cancel_once))
    assert it.steps.pin(it.attempt, it.stop) == STOP


@pytest.mark.parametrize(
    ("holder", "told"),
    [("spool 00ab", "; held back by spool 00ab"), ("", "")],
    ids=["a spool", "nobody can say what"],
)
def test_a_run_that_waited_in_vain_says_what_for(tmp_path: Path, holder: str, told: str) -> None:
    it = Try(tmp_path, FileExporter(mark=lambda: 0, holder=holder), wait_s=0.0)
    asked = it.job.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    reason = (
        "after 0 s the lake is complete through 1970-01-01T00:00:00Z; "
        f"this was asked for at {asked}{told}"
    )
    assert it.steps.pin(it.attempt, it.stop) == ("fail", reason)


def test_a_cancellation_while_planning_pins_nothing(tmp_path: Path) -> None:
    class Cancelling(FileExporter):
        def prepare(
            self, request: ClickExportRequest, complete_through: Micros, replaces: int | None
        ) -> Prepared:
            it.cancel()
            return super().prepare(request, complete_through, replaces)

    it = Try(tmp_path, Cancelling())
    assert it.steps.pin(it.attempt, it.stop) == STOP
    assert list(it.node.jobs.pins()) == []


def test_a_cancellation_while_writing_is_seen_at_the_next_slice(tmp_path: Path) -> None:
    def cancel(index: int) -> None:
        if index == 1:
            it.cancel()

    it = Try(tmp_path, FileExporter(before=cancel, pause_s=0.05))
    assert it.steps.pin(it.attempt, it.stop) == GO
    assert it.steps.export(it.attempt, it.stop) == STOP
    assert it.stop.is_set()
    assert it.exporter.written == [(1, 0), (1, 1)]
    assert it.node.jobs.find(it.job.id).records == 10, "what was shown at the cancellation"


def test_a_cancellation_while_a_pin_is_replaced(tmp_path: Path) -> None:
    def vanish(_: int) -> None:
        it.cancel()
        raise GoneError("a file is not there")

    it = Try(tmp_path, FileExporter(before=vanish))
    assert it.steps.pin(it.attempt, it.stop) == GO
    assert it.steps.export(it.attempt, it.stop) == STOP


@pytest.mark.parametrize("later", [None, 5_000_000])
def test_a_replaced_pin_promises_no_less(tmp_path: Path, later: Micros | None) -> None:
    """The mark may be unreadable for a moment; the newer version holds what the older held."""
    it = Try(tmp_path, FileExporter(gone={1}))
    mark = wall_clock()
    it.exporter.mark = lambda: mark
    assert it.steps.pin(it.attempt, it.stop) == GO
    it.exporter.mark = lambda: None if later is None else mark + later
    it.exporter.version = 2
    assert it.steps.export(it.attempt, it.stop) == GO
    work = it.node.runs.work(it.attempt)
    assert work is not None
    assert (work.lake_version, work.replaces) == (2, 1)
    assert work.complete_through == to_datetime(mark + (later or 0))
    assert read(it.folder) == content(2, 0, 1, 2)


def test_a_stop_leaves_the_try_as_it_is(tmp_path: Path) -> None:
    it = Try(tmp_path, FileExporter(mark=lambda: None))
    threading.Timer(0.2, it.halt.set).start()
    with pytest.raises(Halted):
        it.steps.pin(it.attempt, it.stop)
    with pytest.raises(Halted):
        it.steps.finish(it.attempt)
    it.halt.clear()
    it.exporter.mark = wall_clock
    assert it.steps.pin(it.attempt, it.stop) == GO
    it.exporter.pause_s = 5.0
    threading.Timer(0.2, it.halt.set).start()
    with pytest.raises(Halted):
        it.steps.export(it.attempt, it.stop)
    assert not isinstance(Halted(), Exception), "the engine would record it as an outcome"


def test_a_finished_slice_whose_file_is_gone_is_written_anew_and_counts_once(
    tmp_path: Path,
) -> None:
    it = Try(tmp_path, FileExporter())
    assert it.steps.pin(it.attempt, it.stop) == GO
    done = [SliceDone(index=index, rows=10, bytes=1) for index in (0, 1)]
    assert it.node.runs.progress(it.attempt, done, 66, moved=True)
    assert it.steps.export(it.attempt, it.stop) == GO
    assert it.steps.finish(it.attempt) == GO
    assert it.node.jobs.find(it.job.id).records == 30


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(GoneError("a file is not there"), "a file is not there", id="ours"),
        pytest.param(OSError(28, "No space left on device", "/secret"), "No space left", id="OS"),
        pytest.param(OSError("/secret"), "an unexpected OSError; the worker's log", id="bare OS"),
        pytest.param(GoneError(), "an unexpected GoneError; the worker's log", id="ours, wordless"),
        pytest.param(KeyError("/secret"), "an unexpected KeyError; the worker's log", id="bug"),
    ],
)
def test_the_reason_tells_no_secrets(error: Exception, expected: str) -> None:
    reason = reason_of(error)
    assert reason.startswith(expected)
    assert "/secret" not in reason
