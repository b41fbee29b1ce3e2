"""Jobs from asked for to done, over a real database and real workflows; files are written."""

import time
from datetime import date, timedelta
from pathlib import Path

import pytest

from clickledger.clock import SECOND, Micros, to_datetime, wall_clock
from clickledger.errors import ForbiddenError, UnavailableError
from clickledger.jobs import results
from clickledger.jobs.model import SliceDone, State
from clickledger.testing.jobs import LONG_AGO, SID, FileExporter, JobNode, content, nothing


def test_a_job_becomes_a_file(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter(pause_s=0.15))
    job = it.schedule()
    assert (job.state, job.run, job.percent, job.result_run) == (State.QUEUED, 1, 0, None)
    assert results.result_folder(it.folder.results, job) is None
    with it.working():
        halfway = it.until(job, lambda now: now.records == 10)
        assert (halfway.state, halfway.percent) == (State.RUNNING, 33)
        assert halfway.progress_at is not None
        assert halfway.message.startswith("Reading lake version 1, complete through 20")
        assert list(it.jobs.pins()) == [1]
        done = it.until_state(job, State.COMPLETED)
    assert it.result(job) == content(1, 0, 1, 2)
    assert (done.records, done.percent, done.result_run, done.attempt) == (30, 100, 1, 1)
    assert done.message.startswith("30 clicks, complete through 20")
    assert "Replay" not in done.message
    assert done.started_at is not None
    assert done.completed_at is not None
    assert done.progress_at is not None
    assert done.created_at <= done.started_at <= halfway.progress_at <= done.completed_at
    assert (done.failed_at, done.cancelled_at, done.abandoned_at) == (None, None, None)
    assert list(it.jobs.pins()) == []
    assert it.ended(State.COMPLETED) == 1


def test_the_same_request_is_the_same_job_as_it_is_now(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    job = it.schedule()
    assert it.schedule() == job
    with it.working():
        it.until_state(job, State.COMPLETED)
    again = it.schedule()
    assert (again.id, again.state) == (job.id, State.COMPLETED)


def test_the_mark_is_read_before_the_version(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    job = it.schedule()
    with it.working():
        it.until_state(job, State.COMPLETED)
    assert it.exporter.calls == ["mark", "prepare"]


def test_progress_date_moves_only_with_the_numbers(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    job = it.schedule()
    attempt = it.runs.claim(it.runs.unfinished()[0])
    assert attempt is not None
    done = [SliceDone(index=0, rows=0, bytes=0)]
    assert it.runs.progress(attempt, done, 0, moved=False)
    assert it.jobs.find(job.id).progress_at is None
    assert it.runs.progress(attempt, done, 1, moved=True)
    assert it.jobs.find(job.id).progress_at is not None


def test_empty_slices_move_the_percentage(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter(slices=4, pause_s=0.1, expected_rows=0))
    job = it.schedule()
    with it.working():
        assert it.until(job, lambda now: now.percent > 0).percent == 25
        it.until_state(job, State.COMPLETED)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (LONG_AGO, ""),
        (to_datetime(wall_clock()).date(), "The day was still open then; Replay brings the rest."),
        (date(2999, 1, 1), "The day had not begun then; Replay brings its clicks."),
    ],
)
def test_the_message_is_honest_about_a_day_that_is_not_over(
    tmp_path: Path, day: date, expected: str
) -> None:
    it = JobNode(tmp_path, FileExporter())
    job = it.schedule(day=day)
    with it.working():
        message = it.until_state(job, State.COMPLETED).message
    assert message.partition("Z.")[2].strip() == expected


def test_an_error_is_retried_and_becomes_failed(tmp_path: Path) -> None:
    def fail(index: int) -> None:
        if index == 1:
            raise UnavailableError("the disk is full")

    it = JobNode(tmp_path, FileExporter(before=fail), job_retry_s=0.05, job_tries=5)
    job = it.schedule()
    with it.working():
        failed = it.until_state(job, State.FAILED)
        assert failed.attempt == 5
        assert failed.message == "Gave up after 5 tries: the disk is full"
        assert failed.failed_at is not None
        assert failed.retry_at is None
        assert it.exporter.written == [(1, 0)], "a retry does not write again what is finished"
        assert results.result_folder(it.folder.results, failed) is None
        time.sleep(0.5)
        assert it.jobs.find(job.id) == failed, "no more attempts"
        it.exporter.before = nothing
        it.jobs.replay(SID, job.id)
        done = it.until_state(job, State.COMPLETED)
    assert (done.run, done.attempt, done.failed_at) == (2, 1, failed.failed_at)
    assert (it.ended(State.FAILED), it.ended(State.COMPLETED)) == (1, 1)


def test_an_error_waits_without_blocking_others(tmp_path: Path) -> None:
    def fail(_: int) -> None:
        raise ValueError("/secret/path")

    it = JobNode(tmp_path, FileExporter(before=fail))
    broken = [it.schedule(program_id=number) for number in (1, 2, 3)]
    with it.working():
        for job in broken:
            state = it.until_state(job, State.ERROR)
            assert state.retry_at is not None
            assert state.failed_at is not None
            assert state.retry_at - state.failed_at == timedelta(hours=1)
            assert "Try 1 of 5 failed" in state.message
            assert "unexpected ValueError" in state.message
            assert "/secret" not in state.message
        with pytest.raises(ForbiddenError):
            it.jobs.replay(SID, broken[0].id)
        it.exporter.before = nothing
        it.until_state(it.schedule(program_id=4), State.COMPLETED)


def test_no_more_runs_at_a_time_than_allowed(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter(pause_s=0.05))
    jobs = [it.schedule(program_id=number) for number in range(1, 7)]
    with it.working():
        for job in jobs:
            it.until_state(job, State.COMPLETED)
    assert it.exporter.most_at_once == 2


def test_cancel_ends_a_running_export_quickly(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter(pause_s=60.0))
    job = it.schedule()
    with it.working() as worker:
        it.until(job, lambda now: "Reading" in now.message)
        assert worker.status() == {"dispatching": True, "running": [f"{job.id}:1"], "trouble": ""}
        cancelled = it.jobs.cancel(job.id)
        assert (cancelled.state, cancelled.message) == (
            State.CANCELLED,
            "Cancelled by an operator.",
        )
        assert cancelled.cancelled_at is not None
        begun = time.monotonic()
        while worker.status()["running"]:
            assert time.monotonic() - begun < 2
            time.sleep(0.01)
        assert it.jobs.find(job.id) == cancelled
        assert list(it.jobs.pins()) == []
        it.exporter.pause_s = 0.0
        it.jobs.replay(SID, job.id)
        assert it.until_state(job, State.COMPLETED).result_run == 2


def test_cancel_reaches_a_job_that_waits_for_the_lake(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter(mark=lambda: None))
    job = it.schedule()
    with it.working() as worker:
        it.until_state(job, State.RUNNING)
        it.jobs.cancel(job.id)
        begun = time.monotonic()
        while worker.status()["running"]:
            assert time.monotonic() - begun < 2
            time.sleep(0.01)
    assert it.exporter.written == []


@pytest.mark.parametrize("state", [State.QUEUED, State.ERROR])
def test_cancel_reaches_a_job_that_waits(tmp_path: Path, state: State) -> None:
    it = JobNode(tmp_path, FileExporter(), job_retry_s=0.01)
    job = it.schedule()
    if state is State.ERROR:
        attempt = it.runs.claim(it.runs.unfinished()[0])
        assert attempt is not None
        it.runs.fail(attempt, "no disk")
    assert it.jobs.cancel(job.id).state is State.CANCELLED
    with it.working():
        time.sleep(0.6)
    assert it.jobs.find(job.id).state is State.CANCELLED
    assert it.exporter.calls == []


def test_a_replay_right_after_a_cancel_waits_for_the_old_run_to_let_go(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter(pause_s=60.0))
    job = it.schedule()
    with it.working():
        it.until(job, lambda now: "Reading" in now.message)
        it.jobs.cancel(job.id)
        it.exporter.pause_s, it.exporter.version = 0.0, 2
        it.jobs.replay(SID, job.id)
        done = it.until_state(job, State.COMPLETED)
    assert (done.run, done.abandoned_at, it.exporter.most_at_once) == (2, None, 1)
    assert it.result(job) == content(2, 0, 1, 2)


def test_a_run_waits_until_the_lake_holds_what_was_asked_for(tmp_path: Path) -> None:
    marks: list[Micros | None] = [None]
    it = JobNode(tmp_path, FileExporter(mark=lambda: marks[-1]))
    job = it.schedule()
    requested = int(job.requested_at.timestamp() * SECOND)
    with it.working():
        it.until_state(job, State.RUNNING)
        marks.append(requested - SECOND)
        time.sleep(0.4)
        waiting = it.jobs.find(job.id)
        assert waiting.state is State.RUNNING
        assert waiting.message.startswith("Waiting until the lake is complete through 20")
        assert "prepare" not in it.exporter.calls
        marks.append(requested + SECOND)
        assert it.until_state(job, State.COMPLETED).attempt == 1


def test_a_lake_that_stays_behind_is_an_error_that_names_the_holder(tmp_path: Path) -> None:
    marks: list[Micros | None] = [1_600_000_000 * SECOND]
    it = JobNode(tmp_path, FileExporter(mark=lambda: marks[-1]), export_wait_s=0.2, job_retry_s=0.5)
    job = it.schedule()
    with it.working():
        error = it.until_state(job, State.ERROR)
        assert "complete through 2020-09-13T12:26:40Z" in error.message
        assert "held back by spool 00ab of a dead process" in error.message
        assert list(it.jobs.pins()) == []
        marks.append(None)
        assert (
            "complete nothing yet"
            in it.until(job, lambda now: now.attempt == 2 and now.state is State.ERROR).message
        )
        marks.append(wall_clock() + SECOND)
        assert it.until_state(job, State.COMPLETED).attempt >= 3
