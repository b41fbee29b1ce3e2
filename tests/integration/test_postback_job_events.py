"""The end of a run and its postbacks: one transaction, so neither is there without the other."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, update
from sqlalchemy.exc import IntegrityError

from clickledger.db.tables import notifications
from clickledger.errors import NotFoundError, UnavailableError
from clickledger.jobs.model import Attempt, Job, State
from clickledger.postbacks.log import Deliveries
from clickledger.postbacks.model import Delivery, Draft, Fate, Kind
from clickledger.postbacks.store import Notifications
from clickledger.testing.jobs import SID, FileExporter, JobNode, content
from clickledger.testing.notifications import OVERLAP, FixedGuard

Node = JobNode[FileExporter]


def listening(root: Path, exporter: FileExporter | None = None, **settings: float | str) -> Node:
    """Make a folder with jobs, whose account wants to hear of every end of one."""
    node = JobNode(root, exporter or FileExporter(slices=2), **settings)
    notifications = Notifications(node.engine, node.clock, FixedGuard(), OVERLAP)
    notifications.create(
        SID, Draft(name="jobs", kind=Kind.JOB_COMPLETION, url="https://hooks.example/?job={JobId}")
    )
    return node


def told(node: Node) -> Sequence[Delivery]:
    """Return the deliveries, the oldest first."""
    return Deliveries(node.engine, node.clock).list(None)[0][::-1]


def claimed(node: Node) -> tuple[Job, Attempt]:
    job = node.schedule()
    attempt = node.runs.claim(node.runs.unfinished()[-1])
    assert attempt is not None
    return job, attempt


def complete(node: Node, attempt: Attempt) -> bool:
    return node.runs.complete(attempt, rows=20, message="20 clicks.", sha256="ab")


def fail(node: Node, attempt: Attempt) -> bool:
    return node.runs.fail(attempt, "no disk") is not None


def expected(job: Job, **values: str) -> Mapping[str, str]:
    path = f"/Advertisers/{SID}/Jobs/{job.id}"
    assert job.completed_at is not None
    return {
        "EventDate": job.completed_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "JobId": job.id,
        "JobType": "ClickExport",
        "Status": "COMPLETED",
        "StatusMessage": job.message,
        "ProgramId": "1",
        "Date": "2020-01-01",
        "RecordsProcessed": "20",
        "QueuedUri": path,
        "ResultUri": f"{path}/Download",
        "Sha256": hashlib.sha256(content(1, 0, 1).encode()).hexdigest(),
        "Run": "1",
        "Replayed": "false",
        **values,
    }


def test_a_job_that_is_complete_is_told_with_its_file(tmp_path: Path) -> None:
    node = listening(tmp_path)
    with node.working():
        job = node.until_state(node.schedule(), State.COMPLETED)
    (delivery,) = told(node)
    assert delivery.values == expected(job)
    assert (delivery.kind, delivery.event) == (Kind.JOB_COMPLETION, "CLICK_EXPORT_COMPLETED")
    assert (delivery.account_sid, delivery.program_id, delivery.partner_id) == (SID, 1, None)
    assert (delivery.order_key, delivery.fate) == (job.id, Fate.WAITING)
    assert delivery.event_at == delivery.next_at == job.completed_at


def test_a_replay_is_told_again_and_says_so(tmp_path: Path) -> None:
    node = listening(tmp_path)
    with node.working():
        job = node.until_state(node.schedule(), State.COMPLETED)
        node.jobs.replay(SID, job.id)
        again = node.until(job, lambda now: now.run == 2 and now.state is State.COMPLETED)
    first, second = told(node)
    assert first.values == expected(job)
    assert second.values == expected(again, Run="2", Replayed="true")
    assert first.message_id != second.message_id
    assert first.order_key == second.order_key


def test_links_are_whole_when_it_is_known_where_we_are(tmp_path: Path) -> None:
    node = listening(tmp_path, public_url="https://clicks.example/ledger/")
    with node.working():
        job = node.until_state(node.schedule(), State.COMPLETED)
    (delivery,) = told(node)
    queued = f"https://clicks.example/ledger/Advertisers/{SID}/Jobs/{job.id}"
    assert delivery.values == expected(job, QueuedUri=queued, ResultUri=f"{queued}/Download")


def test_a_job_that_is_given_up_is_told_once_and_its_errors_are_not(tmp_path: Path) -> None:
    def fail(_index: int) -> None:
        raise UnavailableError("no disk")

    exporter = FileExporter(slices=2, before=fail)
    node = listening(tmp_path, exporter, job_tries=2, job_retry_s=0.1)
    with node.working():
        job = node.until_state(node.schedule(), State.FAILED)
    (delivery,) = told(node)
    assert delivery.event == "CLICK_EXPORT_FAILED"
    assert delivery.event_at == job.failed_at
    said = {name: delivery.values[name] for name in ("Status", "StatusMessage", "Sha256")}
    assert said == {
        "Status": "FAILED",
        "StatusMessage": "Gave up after 2 tries: no disk",
        "Sha256": "",
    }


def test_a_file_that_vanished_before_the_end_is_no_end(tmp_path: Path) -> None:
    class Vanishing(FileExporter):
        def sha256(self, folder: Path) -> str:
            raise NotFoundError(f"there is no result here: {folder.name}")

    node = listening(tmp_path, Vanishing(slices=2))
    with node.working():
        job = node.until_state(node.schedule(), State.ERROR)
    assert "there is no result here: 1" in job.message
    assert told(node) == ()


def test_an_error_and_a_cancellation_are_not_told(tmp_path: Path) -> None:
    node = listening(tmp_path)
    job, attempt = claimed(node)
    assert node.runs.fail(attempt, "no disk") is State.ERROR
    node.jobs.cancel(job.id)
    assert told(node) == ()


@pytest.mark.parametrize("end", [complete, fail])
def test_who_has_been_overtaken_tells_nothing(
    tmp_path: Path, end: Callable[[Node, Attempt], bool]
) -> None:
    node = listening(tmp_path, job_tries=1)
    job, attempt = claimed(node)
    node.jobs.cancel(job.id)
    assert not end(node, attempt)
    assert told(node) == ()


@pytest.mark.parametrize("end", [complete, fail])
def test_an_end_that_cannot_be_told_is_none(
    tmp_path: Path, end: Callable[[Node, Attempt], bool]
) -> None:
    """The fault: the outbox takes nothing."""
    node = listening(tmp_path, job_tries=1)
    job, attempt = claimed(node)
    before = node.jobs.find(job.id)
    with node.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER fault BEFORE INSERT ON deliveries "
            "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
    with pytest.raises(IntegrityError, match="the disk is full"):
        end(node, attempt)
    assert node.jobs.find(job.id) == before
    with node.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER fault")
    assert end(node, attempt)
    assert len(told(node)) == 1


@pytest.mark.parametrize("end", [complete, fail])
def test_an_end_that_is_not_stored_is_not_told(
    tmp_path: Path, end: Callable[[Node, Attempt], bool]
) -> None:
    """The fault: the database goes away at the commit, when both have been written."""
    node = listening(tmp_path, job_tries=1)
    job, attempt = claimed(node)
    before = node.jobs.find(job.id)
    written: list[Any] = []

    def go_away(connection: Connection) -> None:
        written.append(connection.exec_driver_sql("SELECT count(*) FROM deliveries").scalar())
        raise UnavailableError("the control database does not answer")

    event.listen(node.engine, "commit", go_away)
    with pytest.raises(UnavailableError):
        end(node, attempt)
    event.remove(node.engine, "commit", go_away)
    assert written == [1]
    assert node.jobs.find(job.id) == before
    assert told(node) == ()
    assert end(node, attempt)
    assert len(told(node)) == 1


@pytest.mark.parametrize("end", [complete, fail])
def test_a_notification_that_cannot_be_read_keeps_no_job_from_its_end(
    tmp_path: Path, end: Callable[[Node, Attempt], bool]
) -> None:
    node = listening(tmp_path, job_tries=1)
    with node.engine.begin() as connection:
        connection.execute(update(notifications).values(draft={"url": 7}))
    job, attempt = claimed(node)
    assert end(node, attempt)
    assert node.jobs.get(SID, job.id).state in {State.COMPLETED, State.FAILED}
    assert not told(node)
