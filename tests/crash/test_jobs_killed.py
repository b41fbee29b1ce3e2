"""The worker process is killed between any two of its writes, and at random while it exports.

However often that happens, the job ends COMPLETED in its first try, and its file is byte for
byte the one of a run that nothing disturbed.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from clickledger.clock import DAY, SECOND, wall_clock
from clickledger.config import Settings
from clickledger.exports.results import Result
from clickledger.jobs import results
from clickledger.jobs.click_exports import ClickExporter
from clickledger.jobs.model import Job, State
from clickledger.lake import watermark
from clickledger.lake.store import Lake
from clickledger.testing.jobs import FileExporter, JobNode, content
from clickledger.testing.lake_days import LakeDays, click

ROUNDS = int(os.environ.get("CLICKLEDGER_CRASH_ROUNDS", "3"))

#: Kills itself just before its n-th commit, whichever database that is to: the control database
#: or the workflows'. Prints how many commits it saw when the job is COMPLETED before.
BETWEEN_WRITES = """
import itertools, os, signal, sys, time
from pathlib import Path
import structlog
from sqlalchemy import Engine, event
from clickledger.jobs.model import State
from clickledger.testing.jobs import FileExporter, JobNode

structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
folder, job_id, fatal = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
node = JobNode(folder, FileExporter())
job, commits = node.jobs.find(job_id), itertools.count(1)

def count(connection):
    if next(commits) == fatal:
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(Engine, "commit", count)
with node.working() as worker:
    node.until_state(job, State.COMPLETED)
    while worker.status()["running"]:
        time.sleep(0.01)
    print(next(commits) - 1)
"""


def run(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def test_a_kill_between_any_two_writes_changes_nothing(tmp_path: Path) -> None:
    node = JobNode(tmp_path, FileExporter())
    job = node.schedule()

    def work(fatal: int) -> tuple[int, str]:
        ran = run(BETWEEN_WRITES, tmp_path, job.id, fatal)
        output, _ = ran.communicate(timeout=60)
        return ran.returncode, output

    def check(number: int) -> None:
        done = node.jobs.find(job.id)
        assert (done.state, done.run, done.result_run) == (State.COMPLETED, number, number)
        assert (done.attempt, done.failed_at, done.abandoned_at) == (1, None, None)
        assert (done.records, done.percent) == (30, 100)
        assert node.result(job) == content(1, 0, 1, 2)

    assert work(0)[0] == 0
    check(1)
    node.jobs.replay(job.account_sid, job.id)
    status, commits = work(0)
    assert status == 0
    check(2)
    dice = random.Random(ROUNDS)
    candidates = range(1, int(commits) + 1)
    kills = 0
    for number, fatal in enumerate(dice.sample(candidates, min(ROUNDS, len(candidates))), start=3):
        node.jobs.replay(job.account_sid, job.id)
        status, _ = work(fatal)
        kills += status == -signal.SIGKILL
        assert status in {0, -signal.SIGKILL}
        assert work(0)[0] == 0
        check(number)
    assert kills > 0


#: A worker over a real lake; says when it has started, and works until it is killed.
EXPORTING = """
import sys, time
from pathlib import Path
import structlog
sys.path.insert(0, sys.argv[2])
import test_jobs_killed

structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
node = test_jobs_killed.exporting_node(Path(sys.argv[1]))
with node.working():
    print("started", flush=True)
    time.sleep(600)
"""

CLICKS = 20_000
LAKE_DAY = date(2026, 5, 1)
MIDNIGHT = 1_777_593_600 * SECOND


def exporting_node(root: Path) -> JobNode[ClickExporter]:
    """Open a folder whose jobs export a real lake, in many small slices."""
    settings = Settings(export_slice_rows=CLICKS // 25)
    folder = JobNode(root, FileExporter()).folder
    exporter = ClickExporter(
        lake=Lake.open(str(folder.lake)),
        folder=folder,
        settings=settings,
        hides_sub_ids=lambda *_: False,
        held_by=lambda: "nothing",
    )
    return JobNode(root, exporter, job_retry_s=0.2)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[JobNode[ClickExporter], Job]:
    """A job over a day of clicks that has run once, undisturbed."""
    node = exporting_node(tmp_path_factory.mktemp("node"))
    node.folder.results.mkdir()
    dice = random.Random(1)
    clicks = (
        click(number, MIDNIGHT + dice.randrange(DAY), program_id=1) for number in range(CLICKS)
    )
    LakeDays(node.folder.lake).load(clicks)
    watermark.publish(node.folder.watermark, wall_clock() + DAY, now=wall_clock())
    job = node.schedule(day=LAKE_DAY)
    with node.working():
        node.until_state(job, State.COMPLETED)
    return node, job


def digest(node: JobNode[ClickExporter], job: Job) -> tuple[str, object]:
    """Read the file back, as a download does, and return its checksum and its manifest."""
    folder = results.result_folder(node.folder.results, node.jobs.find(job.id))
    assert folder is not None
    assert not list(folder.glob(".*")), "nothing unfinished is left behind"
    result = Result.open(folder)
    text = b"".join(result.read(0, result.size))
    assert text.count(b"\n") == CLICKS + 1
    return result.sha256, result.manifest


def writers() -> set[int]:
    """List the writing processes of the worker in this process, and of no other."""
    found = set()
    for file in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        for pid in map(int, file.read_text().split()):
            with contextlib.suppress(OSError):
                if b"clickledger.exports.writer" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.add(pid)
    return found


def worker_of(node: JobNode[ClickExporter]) -> subprocess.Popen[str]:
    worker = run(EXPORTING, node.folder.root, Path(__file__).parent)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "started\n"
    return worker


def killed(worker: subprocess.Popen[str]) -> None:
    worker.kill()
    worker.communicate(timeout=30)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_killed_worker_goes_on_and_the_file_is_the_same(
    exported: tuple[JobNode[ClickExporter], Job], number: int
) -> None:
    node, job = exported
    dice = random.Random(number)
    expected = digest(node, job)
    again = node.jobs.replay(job.account_sid, job.id)
    seen = 0
    for _ in range(dice.randint(1, 3)):
        worker = worker_of(node)
        if dice.random() < 0.7:  # in the middle of the writing
            node.until(job, partial(has_written_more, seen))
        time.sleep(dice.uniform(0.0, 0.3))
        killed(worker)
        left = node.jobs.find(job.id)
        assert left.run == again.run
        assert left.records >= seen, "what is finished stays finished"
        seen = left.records
    worker = worker_of(node)
    try:
        done = node.until(job, lambda now: now.state not in {State.QUEUED, State.RUNNING})
    finally:
        killed(worker)
    assert (done.state, done.run, done.attempt) == (State.COMPLETED, again.run, 1), done.message
    assert (done.failed_at, done.abandoned_at) == (again.failed_at, again.abandoned_at)
    assert digest(node, job) == expected


def test_a_killed_writer_costs_a_try_and_the_file_is_the_same(
    exported: tuple[JobNode[ClickExporter], Job],
) -> None:
    node, job = exported
    expected = digest(node, job)
    node.jobs.replay(job.account_sid, job.id)
    with node.working():
        while not (own := writers()):
            time.sleep(0.005)
        for pid in own:
            os.kill(pid, signal.SIGKILL)
        done = node.until_state(job, State.COMPLETED)
    assert done.attempt == 2
    assert done.failed_at is not None
    assert done.failed_at > done.requested_at
    assert digest(node, job) == expected


def has_written_more(records: int, job: Job) -> bool:
    return job.records > records or job.state is State.COMPLETED
