"""Files of a job's runs: replay, and how long they stay."""

import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from dbos import DBOS

from clickledger.clock import DAY, Micros, wall_clock
from clickledger.errors import ForbiddenError, GoneError
from clickledger.jobs import results
from clickledger.jobs.model import State
from clickledger.testing.jobs import SID, FileExporter, JobNode, age, content, read


def later(days: int) -> Callable[[], Micros]:
    """Read a clock that is some days ahead."""
    return lambda: wall_clock() + days * DAY


def test_replay_makes_a_new_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    job = it.schedule()
    with it.working():
        first = it.until_state(job, State.COMPLETED)
        it.exporter.version, it.exporter.pause_s = 2, 0.1
        queued = it.jobs.replay(SID, job.id)
        assert (queued.id, queued.state, queued.run) == (job.id, State.QUEUED, 2)
        assert queued.requested_at > first.requested_at
        assert queued.created_at == first.created_at
        assert queued.completed_at == first.completed_at
        it.until_state(job, State.RUNNING)
        with pytest.raises(ForbiddenError):
            it.jobs.replay(SID, job.id)
        during = it.jobs.find(job.id)
        assert during.result_run == 1
        assert results.result_folder(it.folder.results, during) is None
        second = it.until_state(job, State.COMPLETED)
    assert second.result_run == 2
    assert it.result(job) == content(2, 0, 1, 2)
    assert read(results.run_folder(it.folder.results, job.id, 1)) == content(1, 0, 1, 2)


def test_old_results_go_and_the_download_names_replay(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    job = it.schedule()
    with it.working():
        it.until_state(job, State.COMPLETED)
    folder = results.run_folder(it.folder.results, job.id, 1)
    age(folder, timedelta(days=89))
    it.now = later(89)
    with it.working() as worker:
        worker.purge()
        assert it.result(job) == content(1, 0, 1, 2), "kept for 90 days"
        it.now = later(91)
        worker.purge()
        with pytest.raises(GoneError, match="Replay"):
            it.result(job)
        assert not folder.parent.exists()
        assert it.jobs.find(job.id).state is State.COMPLETED
        it.exporter.version = 2
        it.exporter.mark = it.clock.now
        it.jobs.replay(SID, job.id)
        it.until_state(job, State.COMPLETED)
        assert it.result(job) == content(2, 0, 1, 2)


def test_the_worker_purges_by_itself(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    stray = it.folder.results / "no-such-job" / "1"
    stray.mkdir(parents=True)
    (stray / "part-00000").write_text("left behind")
    age(stray, timedelta(days=2))
    other = it.folder.results / "notes" / "mine"
    other.mkdir(parents=True)
    age(other, timedelta(days=2))
    with it.working():
        deadline = time.monotonic() + 5
        while stray.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert other.exists(), "what no run wrote is not ours"


def test_a_superseded_result_stays_for_links_already_given_out(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter(), signed_url_ttl_s=3 * 24 * 3600)
    job = it.schedule()
    with it.working() as worker:
        it.until_state(job, State.COMPLETED)
        it.jobs.replay(SID, job.id)
        it.until(job, lambda now: now.result_run == 2)
        old = results.run_folder(it.folder.results, job.id, 1)
        for days, kept in ((2, True), (4, False)):
            it.now = later(days)
            worker.purge()
            assert old.exists() is kept
        assert it.result(job) == content(1, 0, 1, 2)


def test_a_result_somebody_removed_is_gone_too(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    job = it.schedule()
    with it.working():
        it.until_state(job, State.COMPLETED)
    shutil.rmtree(it.folder.results)
    with pytest.raises(GoneError, match="Replay"):
        it.result(job)


def test_old_workflows_are_forgotten_and_recent_ones_kept(tmp_path: Path) -> None:
    it = JobNode(tmp_path, FileExporter())
    job = it.schedule()
    with it.working() as worker:
        it.until_state(job, State.COMPLETED)
        while worker.status()["running"]:
            time.sleep(0.01)
        worker.purge()
        assert len(DBOS.list_workflows()) == 1
        it.now = later(8)
        worker.purge()
        assert DBOS.list_workflows() == []
