"""Looking jobs up: isolation, paging, filters, odd ids."""

import itertools
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from clickledger.clock import SECOND, SteadyClock, to_datetime
from clickledger.db.engine import open_engine
from clickledger.db.revisions import migrate
from clickledger.db.tables import accounts
from clickledger.errors import ConflictError, NotFoundError
from clickledger.jobs.model import ClickExportRequest, Job, ResultFormat
from clickledger.jobs.store import Jobs

START = 1_700_000_000 * SECOND
MINUTE = timedelta(minutes=1)


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """Jobs of the accounts IR1 and IR2; each reading of the clock is a minute later."""
    engine = open_engine(f"sqlite:///{tmp_path / 'control.db'}")
    migrate(engine)
    ticks = iter(range(START, START + 10**12, 60 * SECOND))
    with engine.begin() as connection:
        for sid in ("IR1", "IR2"):
            connection.execute(
                accounts.insert().values(
                    sid=sid,
                    kind="advertiser",
                    name=sid,
                    token_hash=b"",
                    created_at=to_datetime(START),
                )
            )
    return Jobs(engine, SteadyClock(lambda: next(ticks)))


def schedule(jobs: Jobs, program_id: int = 1, sid: str = "IR1") -> Job:
    return jobs.schedule(
        ClickExportRequest(
            account_sid=sid, program_id=program_id, date=date(2026, 1, 1), time_zone="UTC"
        )
    )


def test_a_job_is_found_by_its_own_account_only(jobs: Jobs) -> None:
    job = schedule(jobs)
    assert jobs.get("IR1", job.id) == job
    assert jobs.find(job.id) == job
    with pytest.raises(NotFoundError):
        jobs.get("IR2", job.id)
    with pytest.raises(NotFoundError):
        jobs.replay("IR2", job.id)
    assert jobs.find(job.id) == job


def test_the_same_request_of_two_accounts_is_two_jobs(jobs: Jobs) -> None:
    assert schedule(jobs, sid="IR1").id != schedule(jobs, sid="IR2").id


def test_the_request_comes_back_in_normal_form(jobs: Jobs) -> None:
    request = ClickExportRequest(
        account_sid="IR1",
        program_id=7,
        date=date(2026, 2, 28),
        time_zone="Pacific/Apia",
        ad_ids=(3, 1, 3),
        media_ids=(9,),
        unique_click=False,
        result_format=ResultFormat.XML,
        columns=("RowKey", "Reasons"),
    )
    job = jobs.schedule(request)
    assert job.request.ad_ids == (1, 3)
    assert job.request == jobs.find(job.id).request
    assert job.program_id == 7
    assert job.type == "ClickExport"


@pytest.mark.parametrize(
    "job_id",
    ["", "x", "\0", "\ud800", "1" * 10_000, "00000000-0000-4000-8000-000000000000", "a' OR 1=1"],
)
def test_what_is_no_job_is_not_found(jobs: Jobs, job_id: str) -> None:
    schedule(jobs)
    for look in (jobs.find, jobs.cancel, partial(jobs.get, "IR1"), partial(jobs.replay, "IR1")):
        with pytest.raises(NotFoundError):
            look(job_id)


def test_a_rival_that_is_first_by_a_hair_wins(jobs: Jobs) -> None:
    """The other call inserts between our look and our insert: the constraint decides."""
    rivals: list[Job] = []
    connected = itertools.count(1)

    def rival(*_: object) -> None:
        if next(connected) == 2:  # the first connection looked, the second is to insert
            other = open_engine(jobs._engine.url)
            rivals.append(schedule(Jobs(other, jobs._clock)))
            other.dispose()

    event.listen(jobs._engine, "checkout", rival)
    assert schedule(jobs) == rivals[0]
    assert jobs.list()[1] == 1


def test_an_unknown_account_is_no_silent_success(jobs: Jobs) -> None:
    with pytest.raises(IntegrityError):
        schedule(jobs, sid="IR3")


def test_the_list_is_newest_first_in_pages(jobs: Jobs) -> None:
    made = [schedule(jobs, program_id=number) for number in range(1, 6)]
    schedule(jobs, sid="IR2")
    newest = [job.id for job in reversed(made)]
    pages = [jobs.list("IR1", page=page, page_size=2) for page in (1, 2, 3, 4)]
    assert [job.id for rows, _ in pages for job in rows] == newest
    assert {total for _, total in pages} == {5}
    assert jobs.list()[1] == 6


def test_jobs_of_one_instant_have_a_stable_order(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'control.db'}")
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(
            accounts.insert().values(
                sid="IR1", kind="advertiser", name="a", token_hash=b"", created_at=to_datetime(0)
            )
        )
    jobs = Jobs(engine, SteadyClock(lambda: START))
    for number in range(1, 10):
        schedule(jobs, program_id=number)
    whole = [job.id for job in jobs.list("IR1")[0]]
    paged = [jobs.list("IR1", page=page, page_size=1)[0][0].id for page in range(1, 10)]
    assert paged == whole


def test_the_filters_compare_the_date_of_creation(jobs: Jobs) -> None:
    first, second, third = (schedule(jobs, program_id=number) for number in (1, 2, 3))

    def ids(**limits: object) -> list[str]:
        rows, total = jobs.list("IR1", **limits)  # type: ignore[arg-type] # both filters by name
        assert total == len(rows)
        return [job.id for job in rows]

    assert ids(created_after=second.created_at) == [third.id, second.id]
    assert ids(created_before=second.created_at) == [first.id]
    assert ids(created_after=third.created_at + MINUTE) == []
    assert ids(created_after=second.created_at, created_before=third.created_at) == [second.id]


def test_a_finished_job_cannot_be_cancelled_again(jobs: Jobs) -> None:
    job = schedule(jobs)
    jobs.cancel(job.id)
    with pytest.raises(ConflictError, match="CANCELLED"):
        jobs.cancel(job.id)


def test_a_replayed_cancellation_keeps_its_date(jobs: Jobs) -> None:
    job = schedule(jobs)
    cancelled = jobs.cancel(job.id)
    again = jobs.replay("IR1", job.id)
    assert again.cancelled_at == cancelled.cancelled_at
    assert again.progress_at is None, "nothing had moved"
    assert again.requested_at > job.requested_at
