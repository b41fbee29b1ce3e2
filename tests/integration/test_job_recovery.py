"""What a job does when the lake, the worker or a database lets it down."""

import json
import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from dbos import DBOS, SetWorkflowID

from clickledger.clock import wall_clock
from clickledger.errors import CorruptedError, GoneError, UnavailableError
from clickledger.jobs import results
from clickledger.jobs.model import State
from clickledger.testing.jobs import (
    SID,
    FileExporter,
    JobNode,
    content,
)


def test_a_pin_that_is_gone_is_replaced_and_the_file_says_so(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())

    def vacuum(index: int) -> None:
        if index == 1 and it.exporter.version == 1:
            it.exporter.gone, it.exporter.version = {1}, 2
            raise GoneError("a file of version 1 is not there")

    it.exporter.before = vacuum
    job = it.schedule()
    with it.working():
        done = it.until_state(job, State.COMPLETED)
    assert it.exporter.written == [(1, 0), (2, 0), (2, 1), (2, 2)]
    assert it.result(job) == content(2, 0, 1, 2)
    assert "Lake version 1, pinned at first, could no longer be read" in done.message
    assert (done.records, done.attempt) == (30, 1)
    folder = results.run_folder(it.folder.results, job.id, 1)
    assert json.loads((folder / "manifest.json").read_text())["replaces"] == 1


def test_pins_that_vanish_again_and_again_are_an_error(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter(gone={1}))
    job = it.schedule()
    with it.working():
        error = it.until_state(job, State.ERROR)
        assert "vanish" in error.message
    assert it.exporter.calls.count("prepare") == 4


def test_a_stopped_worker_leaves_the_job_to_the_next(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter(pause_s=0.15))
    job = it.schedule()
    with it.working():
        it.until(job, lambda now: now.records == 10)
    left = it.jobs.find(job.id)
    assert (left.state, left.attempt) == (State.RUNNING, 1)
    assert list(it.jobs.pins()) == [1], "vacuum keeps what the rest of the run reads"
    it.exporter.version = 2
    with it.working():
        done = it.until_state(job, State.COMPLETED)
    assert (done.attempt, done.failed_at) == (1, None)
    assert it.exporter.written == [(1, 0), (1, 1), (1, 2)], "only what was unfinished, same pin"
    assert it.result(job) == content(1, 0, 1, 2)


def test_a_worker_stopped_while_waiting_goes_on_waiting_later(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter(mark=lambda: None))
    job = it.schedule()
    with it.working():
        it.until_state(job, State.RUNNING)
        time.sleep(0.2)
    assert it.jobs.find(job.id).state is State.RUNNING
    it.exporter.mark = wall_clock
    with it.working():
        assert it.until_state(job, State.COMPLETED).attempt == 1


def test_a_kill_between_claim_and_start_strands_nothing(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    job = it.schedule()
    assert it.runs.claim(it.runs.unfinished()[0]) is not None
    with it.working():
        done = it.until_state(job, State.COMPLETED)
    assert (done.attempt, done.failed_at) == (1, None)


def test_lost_workflows_cost_nothing(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter(pause_s=0.15))
    job = it.schedule()
    with it.working():
        it.until(job, lambda now: now.records == 10)
    it.folder.workflows_db.unlink()
    with it.working():
        done = it.until_state(job, State.COMPLETED)
    assert (done.attempt, it.exporter.written) == (1, [(1, 0), (1, 1), (1, 2)])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("application_version = '0'", id="left by another version"),
        pytest.param("executor_id = 'another'", id="left under another name"),
        pytest.param("status = 'ERROR'", id="ended without a word"),
        pytest.param("recovery_attempts = 1000", id="brought the worker down too often"),
    ],
)
def test_a_try_that_nobody_takes_up_is_replaced(tmp_path: Path, change: str) -> None:
    it = JobNode(tmp_path, FileExporter(pause_s=0.15))
    job = it.schedule()
    with it.working():
        it.until(job, lambda now: now.records == 10)
    with sqlite3.connect(it.folder.workflows_db) as workflows:
        workflows.execute(f"UPDATE workflow_status SET {change}")
    workflows.close()
    with it.working():
        done = it.until_state(job, State.COMPLETED)
    assert done.attempt == 2
    assert done.failed_at is not None
    assert it.exporter.written == [(1, 0), (1, 1), (1, 2)], "what was finished stays finished"


def test_a_last_try_that_nobody_takes_up_is_failed(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter(pause_s=0.15), job_tries=1)
    job = it.schedule()
    with it.working():
        it.until(job, lambda now: now.records == 10)
    with sqlite3.connect(it.folder.workflows_db) as workflows:
        workflows.execute("UPDATE workflow_status SET status = 'ERROR'")
    workflows.close()
    with it.working():
        failed = it.until_state(job, State.FAILED)
    assert failed.message.startswith("Gave up after 1 try: the worker ended")
    assert it.ended(State.FAILED) == 1


def test_trouble_with_one_job_does_not_keep_others_waiting(tmp_path: Path) -> None:
    """A row that cannot be handed to DBOS: its id is taken by a workflow of another name."""
    it = JobNode(tmp_path, FileExporter())
    with it.working():
        first = it.schedule(program_id=1)
        it.until_state(first, State.COMPLETED)
    with sqlite3.connect(it.folder.workflows_db) as workflows:
        workflows.execute(
            "UPDATE workflow_status SET workflow_uuid = ?, name = 'other'", (f"{first.id}:2",)
        )
    workflows.close()
    it.jobs.replay(SID, first.id)
    with it.working() as worker:
        second = it.schedule(program_id=2)
        it.until_state(second, State.COMPLETED)
        done = it.until_state(first, State.COMPLETED)
        assert worker.status()["dispatching"]
    assert (done.run, done.attempt) == (2, 2)


def test_an_earlier_run_taken_up_again_does_not_disturb_a_replay(tmp_path: Path) -> None:
    """Killed after the row was COMPLETED, before DBOS noted that the try had ended."""
    it = JobNode(tmp_path, FileExporter())
    job = it.schedule()
    with it.working():
        it.until_state(job, State.COMPLETED)
        it.exporter.pause_s = 0.15
        it.jobs.replay(SID, job.id)
        it.until(job, lambda now: now.run == 2 and now.records == 10)
    with sqlite3.connect(it.folder.workflows_db) as workflows:
        workflows.execute("UPDATE workflow_status SET status = 'PENDING', completed_at = NULL")
    workflows.close()
    with it.working():
        done = it.until_state(job, State.COMPLETED)
        until_idle(f"{job.id}:1")
    assert (done.run, done.attempt, done.result_run) == (2, 1, 2)
    assert (done.failed_at, done.abandoned_at) == (None, None)


def until_idle(workflow_id: str) -> None:
    """Wait until DBOS has taken up a workflow and is through with it."""
    deadline = time.monotonic() + 10
    while True:
        status = DBOS.get_workflow_status(workflow_id)
        if status is not None and status.status == "SUCCESS":
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_start_of_a_running_job_is_abandoned(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter(pause_s=0.25))
    job = it.schedule()
    with it.working() as worker:
        it.until(job, lambda now: now.records == 10)
        with SetWorkflowID("another"):
            start = worker._workflows._start
            DBOS.start_workflow(start, job.id, 1, 1).get_result()
        assert it.jobs.find(job.id).abandoned_at is not None
        done = it.until_state(job, State.COMPLETED)
    assert it.exporter.written == [(1, 0), (1, 1), (1, 2)]
    assert done.failed_at is None


def test_a_failure_is_recorded_when_the_database_is_back(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    blocked, release = threading.Event(), threading.Event()

    def block() -> None:
        with it.engine.begin():
            blocked.set()
            release.wait()

    def fail(_: int) -> None:
        threading.Thread(target=block, daemon=True).start()
        blocked.wait()
        raise OSError(28, "No space left on device")

    it.exporter.before = fail
    job = it.schedule()
    with it.working():
        assert blocked.wait(10)
        time.sleep(1.0)
        assert it.jobs.find(job.id).state is State.RUNNING
        release.set()
        assert "No space left" in it.until_state(job, State.ERROR).message


def test_the_dispatcher_survives_a_database_that_does_not_answer(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    job = it.schedule()
    aside = it.folder.control_db.with_name("aside.db")
    it.folder.control_db.rename(aside)
    with it.working() as worker:
        deadline = time.monotonic() + 5
        while "does not answer" not in str(worker.status()["trouble"]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        aside.rename(it.folder.control_db)
        it.until_state(job, State.COMPLETED)
        assert worker.status()["trouble"] == ""


def test_one_worker_per_data_folder(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    with it.working():
        second = it.worker()
        second._lease._wait_s = 0.2
        with pytest.raises(UnavailableError, match=f"pid {os.getpid()}"):
            second.start()
        assert it.until_state(it.schedule(), State.COMPLETED).attempt == 1
    with it.working():
        assert it.jobs.list()[1] == 1


def test_workflows_that_cannot_be_written_delay_nothing(tmp_path: Path) -> None:
    """Steps are done whether or not DBOS can remember them: the row is the truth."""
    it = JobNode(tmp_path, FileExporter())

    def break_workflows(index: int) -> None:
        if index == 0:
            with sqlite3.connect(it.folder.workflows_db) as workflows:
                workflows.execute("ALTER TABLE operation_outputs RENAME TO aside")
            workflows.close()

    it.exporter.before = break_workflows
    job = it.schedule()
    with it.working():
        done = it.until_state(job, State.COMPLETED)
    assert (done.attempt, it.exporter.written) == (1, [(1, 0), (1, 1), (1, 2)])


def test_a_worker_waits_for_one_that_is_just_ending(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    ending = it.worker()
    ending.start()
    threading.Timer(0.3, ending.stop).start()
    with it.working():
        it.until_state(it.schedule(), State.COMPLETED)


def test_damaged_workflows_are_named_and_hold_nobody(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    it.folder.workflows_db.write_bytes(b"not a database" * 1000)
    with pytest.raises(CorruptedError, match="move it away"):
        it.worker().start()
    it.folder.workflows_db.unlink()
    job = it.schedule()
    with it.working():
        it.until_state(job, State.COMPLETED)
