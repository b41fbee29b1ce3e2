"""Jobs among processes: identical calls that race, and a worker that keeps quiet."""

import subprocess
import sys
from pathlib import Path

from sqlalchemy import select

from clickledger.db.tables import jobs as table
from clickledger.testing.jobs import FileExporter, JobNode

RACE = """
import sys, threading
from datetime import date
import structlog
from clickledger.clock import SteadyClock
from clickledger.db.engine import open_engine
from clickledger.jobs.model import ClickExportRequest
from clickledger.jobs.store import Jobs

structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
jobs = Jobs(open_engine("sqlite:///" + sys.argv[1]), SteadyClock())
found = []
def ask(round, thread):
    ids = (3, 1, 2) if thread % 2 else (1, 2, 3, 3)
    found.append((round, jobs.schedule(ClickExportRequest(
        account_sid="IR1", program_id=round, date=date(2026, 1, 1), time_zone="UTC", ad_ids=ids
    )).id))
print("ready", flush=True)
sys.stdin.readline()
for round in range(1, 11):
    threads = [threading.Thread(target=ask, args=(round, n)) for n in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
for line in found:
    print(*line)
"""


def test_identical_calls_that_race_are_one_job(tmp_path: Path) -> None:
    """Two processes, six threads each, ten requests; the unique constraint decides."""
    it = JobNode(tmp_path, FileExporter())
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(it.folder.control_db)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    answers = [racer.communicate(timeout=60)[0].splitlines() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    assert [len(lines) for lines in answers] == [60, 60]
    assert len(set(answers[0] + answers[1])) == 10
    assert it.jobs.list(page_size=100)[1] == 10
    with it.engine.connect() as connection:
        stored = connection.execute(select(table.c.parameters)).scalars().all()
    assert all(parameters["ad_ids"] == [1, 2, 3] for parameters in stored)


QUIET = """
import sys
from pathlib import Path
import structlog
from clickledger.jobs.model import State
from clickledger.testing.jobs import FileExporter, JobNode

structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
node = JobNode(Path(sys.argv[1]), FileExporter(pause_s=0.1))
job = node.schedule()
with node.working():
    node.until(job, lambda now: now.records == 10)
with node.working():
    node.until_state(job, State.COMPLETED)
"""


def test_the_worker_prints_nothing(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", QUIET, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
