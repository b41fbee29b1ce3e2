"""``clickledger job list|show|cancel``."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clickledger.accounts.keys import Keys
from clickledger.cli import app
from clickledger.errors import ConflictError, NotFoundError
from clickledger.jobs.model import State
from clickledger.testing.jobs import SID, FileExporter, JobNode


@pytest.fixture
def node(tmp_path: Path) -> JobNode[FileExporter]:
    it = JobNode(tmp_path, FileExporter())
    Keys.create(it.folder.keys)
    return it


def run(node: JobNode[FileExporter], *arguments: str) -> str:
    """Run a command in this process; raise what it raises."""
    result = CliRunner().invoke(
        app, ["job", *arguments, "--data", str(node.folder.root)], catch_exceptions=False
    )
    return result.output


def test_list_shows_jobs_newest_first(node: JobNode[FileExporter]) -> None:
    jobs = [node.schedule(program_id=number) for number in (1, 2, 3)]
    listed = json.loads(run(node, "list", "--json"))
    assert [job["id"] for job in listed] == [job.id for job in reversed(jobs)]
    assert [job["id"] for job in json.loads(run(node, "list", "--account", SID, "--json"))]
    assert json.loads(run(node, "list", "--account", "IR2", "--json")) == []
    table = run(node, "list", "--limit", "2")
    assert jobs[2].id in table
    assert jobs[0].id not in table
    assert "2 of 3" in table
    assert "of 3" not in run(node, "list")


def test_show_tells_all_about_a_job(node: JobNode[FileExporter]) -> None:
    job = node.schedule()
    assert json.loads(run(node, "show", job.id, "--json"))["state"] == "QUEUED"
    queued = run(node, "show", job.id)
    assert "QUEUED" in queued
    assert "none yet" in queued
    with node.working():
        node.until_state(job, State.COMPLETED)
    shown = run(node, "show", job.id)
    for text in (job.id, SID, "2020-01-01 (UTC)", "all clicks", "30 clicks", "1, try 1", "run 1"):
        assert text in shown


def test_show_names_replay_when_the_result_is_removed(node: JobNode[FileExporter]) -> None:
    job = node.schedule()
    attempt = node.runs.claim(node.runs.unfinished()[0])
    assert attempt is not None
    node.runs.complete(attempt, rows=0, message="done", sha256="ab")
    with node.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET result_run = NULL")
    assert "removed; replay the job" in run(node, "show", job.id)


def test_cancel_ends_an_unfinished_job_once(node: JobNode[FileExporter]) -> None:
    job = node.schedule()
    assert "CANCELLED" in run(node, "cancel", job.id)
    assert node.jobs.find(job.id).state is State.CANCELLED
    with pytest.raises(ConflictError, match="only an unfinished job"):
        run(node, "cancel", job.id)


@pytest.mark.parametrize("command", ["show", "cancel"])
def test_an_unknown_job_is_said_to_be_unknown(node: JobNode[FileExporter], command: str) -> None:
    with pytest.raises(NotFoundError, match="no job nonsense"):
        run(node, command, "nonsense")


def test_json_is_all_that_is_printed(node: JobNode[FileExporter]) -> None:
    """The transition is an event for the log; stdout carries the answer."""
    job = node.schedule()
    command = [sys.executable, "-m", "clickledger", "job", "cancel", job.id, "--json"]
    ran = subprocess.run(
        [*command, "--data", str(node.folder.root)], capture_output=True, text=True, check=True
    )
    assert json.loads(ran.stdout)["state"] == "CANCELLED"
    assert ran.stderr == ""
