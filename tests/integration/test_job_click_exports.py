"""Jobs over a real lake and real exports: what the worker and the writing process do together."""

import csv
import io
import os
import random
import time
from datetime import date
from pathlib import Path

import pytest

from clickledger.clock import DAY, SECOND, wall_clock
from clickledger.config import Settings
from clickledger.exports.results import Result
from clickledger.jobs import results
from clickledger.jobs.click_exports import ClickExporter
from clickledger.jobs.model import ClickExportRequest, Job, ResultFormat, State
from clickledger.lake import watermark
from clickledger.lake.store import Lake
from clickledger.testing.jobs import SID, FileExporter, JobNode
from clickledger.testing.lake_days import LakeDays, click

CLICKS = 4_000
LAKE_DAY = date(2026, 5, 1)
MIDNIGHT = 1_777_593_600 * SECOND

Node = JobNode[ClickExporter]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    folder = JobNode(tmp_path, FileExporter()).folder
    exporter = ClickExporter(
        lake=Lake.open(str(folder.lake)),
        folder=folder,
        settings=Settings(export_slice_rows=CLICKS // 40),
        hides_sub_ids=lambda sid, program_id: (sid, program_id) == (SID, 2),
        held_by=lambda: "spool 00ab, whose process has ended",
    )
    return JobNode(tmp_path, exporter, job_retry_s=0.2, export_wait_s=0.3)


def load(node: Node, first: int = 0, clicks: int = CLICKS) -> None:
    dice = random.Random(first)
    LakeDays(node.folder.lake).load(
        click(number, MIDNIGHT + dice.randrange(DAY), program_id=1 + number % 2)
        for number in range(first, first + clicks)
    )


def result_of(node: Node, job: Job) -> Result:
    folder = results.result_folder(node.folder.results, node.jobs.find(job.id))
    assert folder is not None
    return Result.open(folder)


def rows_of(result: Result) -> list[dict[str, str]]:
    text = b"".join(result.read(0, result.size)).decode()
    return list(csv.DictReader(io.StringIO(text)))


def descendants() -> set[int]:
    """List the writing processes that this one started; other tests may have left others."""
    own = Path(f"/proc/{os.getpid()}/task")
    pids = {int(pid) for file in own.glob("*/children") for pid in file.read_text().split()}
    return {pid for pid in pids if _writes(pid)}


def _writes(pid: int) -> bool:
    try:
        return b"clickledger.exports.writer" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return False


def test_a_job_exports_the_day(node: Node) -> None:
    load(node)
    watermark.publish(node.folder.watermark, wall_clock() + DAY, now=wall_clock())
    jobs = [node.schedule(program_id=number, day=LAKE_DAY) for number in (1, 2)]
    with node.working():
        done = [node.until_state(job, State.COMPLETED) for job in jobs]
    first, second = (rows_of(result_of(node, job)) for job in jobs)
    assert [job.records for job in done] == [len(first), len(second)] == [CLICKS // 2] * 2
    assert [row["EventDate"] for row in first] == sorted(row["EventDate"] for row in first)
    assert all(row["SubId1"] for row in first)
    assert not any(row["SubId1"] for row in second), "the program hides them"
    assert result_of(node, jobs[0]).manifest["LakeVersion"] == node.exporter._lake.version()
    folder = results.run_folder(node.folder.results, jobs[0].id, 1)
    assert node.exporter.sha256(folder) == result_of(node, jobs[0]).manifest["Sha256"]
    assert list(node.jobs.pins()) == []


def test_a_day_without_clicks_is_an_empty_file(node: Node) -> None:
    watermark.publish(node.folder.watermark, wall_clock() + DAY, now=wall_clock())
    request = ClickExportRequest(
        account_sid=SID,
        program_id=9,
        date=LAKE_DAY,
        time_zone="Pacific/Apia",
        result_format=ResultFormat.JSON,
    )
    job = node.jobs.schedule(request)
    with node.working():
        done = node.until_state(job, State.COMPLETED)
    assert (done.records, done.percent) == (0, 100)
    assert done.message.startswith("0 clicks, complete through")
    assert result_of(node, job).rows == 0


def test_the_lakes_mark_is_waited_for(node: Node) -> None:
    job = node.schedule(day=LAKE_DAY)
    with node.working():
        error = node.until_state(job, State.ERROR)
        assert "complete nothing yet" in error.message
        assert "held back by spool 00ab, whose process has ended" in error.message
        watermark.publish(node.folder.watermark, wall_clock() + DAY, now=wall_clock())
        node.until_state(job, State.COMPLETED)


def test_cancel_ends_the_writing_process(node: Node) -> None:
    load(node)
    watermark.publish(node.folder.watermark, wall_clock() + DAY, now=wall_clock())
    job = node.schedule(day=LAKE_DAY)
    with node.working():
        node.until(job, lambda now: now.records > 0)
        assert descendants()
        node.jobs.cancel(job.id)
        begun = time.monotonic()
        while descendants():
            assert time.monotonic() - begun < 3
            time.sleep(0.01)
        assert node.jobs.find(job.id).state is State.CANCELLED
        node.jobs.replay(SID, job.id)
        node.until_state(job, State.COMPLETED)


def test_stop_ends_the_writing_process_and_the_next_start_goes_on(node: Node) -> None:
    load(node)
    watermark.publish(node.folder.watermark, wall_clock() + DAY, now=wall_clock())
    job = node.schedule(day=LAKE_DAY)
    worker = node.worker()
    worker.start()
    node.until(job, lambda now: now.records > 0)
    begun = time.monotonic()
    worker.stop()
    assert time.monotonic() - begun < 10
    assert descendants() == set()
    left = node.jobs.find(job.id)
    assert left.state is State.RUNNING
    assert 0 < left.records < CLICKS // 2
    assert list(node.jobs.pins()) == [node.exporter._lake.version()]
    with node.working():
        done = node.until_state(job, State.COMPLETED)
    assert (done.attempt, done.records) == (1, CLICKS // 2)
    assert len(rows_of(result_of(node, job))) == CLICKS // 2


def test_a_pin_whose_files_are_gone_is_replaced(node: Node) -> None:
    load(node, clicks=CLICKS // 2)
    watermark.publish(node.folder.watermark, wall_clock() + DAY, now=wall_clock())
    job = node.schedule(day=LAKE_DAY)
    worker = node.worker()
    worker.start()
    node.until(job, lambda now: now.records > 0)
    worker.stop()
    (pinned,) = node.jobs.pins()
    table = node.exporter._lake.clicks()
    old = table.files()
    load(node, first=CLICKS, clicks=CLICKS // 4)
    table.refresh()
    table.commit([], remove=old, why="made up")
    for file in old:
        (table.path / file.path).unlink()
    with node.working():
        done = node.until_state(job, State.COMPLETED)
    assert f"Lake version {pinned}, pinned at first, could no longer be read" in done.message
    result = result_of(node, job)
    assert {row["Id"] for row in rows_of(result)} == {
        f"click-{number:010}" for number in range(CLICKS, CLICKS + CLICKS // 4, 2)
    }
    assert result.manifest["LakeVersion"] != pinned
    assert f"Lake version {pinned}" in str(result.manifest["Warnings"])
