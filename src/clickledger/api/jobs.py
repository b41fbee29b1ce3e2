"""``Jobs``: list them, look at one, replay one (impact-api 3)."""

import re
from http import HTTPStatus
from zoneinfo import ZoneInfo

from litestar import Response, get, put
from litestar.params import FromPath

from clickledger.accounts.model import Account
from clickledger.api import paging
from clickledger.api.handling import AccountRequest, Services, call_of, respond, services, zoned
from clickledger.api.openapi import PAGE, Query, operation
from clickledger.api.render import Fields, Listing, Resource
from clickledger.api.requests import Reader
from clickledger.errors import NotFoundError
from clickledger.jobs.model import Job
from clickledger.jobs.rules import job_path
from clickledger.programs.days import load_zone

_JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOT_FOUND = {HTTPStatus.NOT_FOUND: "The account has no such job."}


@get(
    "/Jobs",
    sync_to_thread=True,
    operation_id="listJobs",
    summary="List jobs, newest first",
    operation_class=operation(
        Query(
            name="CreatedAfter",
            description="A date, or a date and time: created then or later. Without an offset "
            "it is meant in the account's time zone.",
        ),
        Query(
            name="CreatedBefore",
            description="A date: created on that day or earlier; a date and time: before it.",
        ),
        *PAGE,
        answers={
            HTTPStatus.OK: "One page of jobs.",
            HTTPStatus.BAD_REQUEST: "A parameter is wrong; Errors names each.",
        },
    ),
)
def list_jobs(request: AccountRequest) -> Response[bytes]:
    """List the account's jobs, newest first."""
    work, call, caller = services(request.app), call_of(request), request.user
    zone = load_zone(caller.time_zone)
    reader = Reader(call.parameters)
    page = paging.read_page(reader)
    created_after = reader.moment("CreatedAfter", zone, end_of_day=False)
    created_before = reader.moment("CreatedBefore", zone, end_of_day=True)
    reader.finish()
    found, total = work.jobs.list(
        caller.sid,
        created_after=created_after,
        created_before=created_before,
        page=page.number,
        page_size=page.size,
    )
    filters = [
        (name, text)
        for name in ("CreatedAfter", "CreatedBefore")
        if (text := call.parameters.first(name)) is not None
    ]
    return respond(
        call,
        Listing(
            "Jobs",
            "Job",
            [fields(job, zone) for job in found],
            paging.attributes(f"/Advertisers/{caller.sid}/Jobs", filters, page, total),
        ),
    )


@get(
    "/Jobs/{job_id:str}",
    sync_to_thread=True,
    operation_id="getJob",
    summary="Look at a job",
    operation_class=operation(answers={HTTPStatus.OK: "The job.", **_NOT_FOUND}),
)
def get_job(request: AccountRequest, job_id: FromPath[str]) -> Response[bytes]:
    """Return one job."""
    work, caller = services(request.app), request.user
    return respond(call_of(request), document(find(work, caller, job_id), caller))


@put(
    "/Jobs/{job_id:str}/Replay",
    sync_to_thread=True,
    operation_id="replayJob",
    summary="Run a finished job again",
    operation_class=operation(
        answers={
            HTTPStatus.OK: "The job, queued again.",
            HTTPStatus.FORBIDDEN: "The job is not finished; Message tells its state.",
            **_NOT_FOUND,
        }
    ),
)
def replay_job(request: AccountRequest, job_id: FromPath[str]) -> Response[bytes]:
    """Queue the same job again, with the same parameters and the clicks there are by then."""
    work, caller = services(request.app), request.user
    job = work.jobs.replay(caller.sid, well_formed(job_id))
    return respond(call_of(request), document(job, caller))


def find(work: Services, caller: Account, job_id: str) -> Job:
    """Return a job of the caller's.

    Raises:
        NotFoundError: there is none, or it is another account's.
    """
    return work.jobs.get(caller.sid, well_formed(job_id))


def well_formed(job_id: str) -> str:
    """Return the id when it can be one; another shape (``A-…``) is another kind of thing."""
    if not _JOB_ID.fullmatch(job_id):
        raise NotFoundError("There is no such job: a job id is a lower-case UUID.")
    return job_id


def document(job: Job, caller: Account) -> Resource:
    """Return a job as its owner sees it."""
    return Resource("Job", fields(job, load_zone(caller.time_zone)))


def fields(job: Job, zone: ZoneInfo) -> Fields:
    """Return the fields of a job in the order of impact-api 3.2, all of them text."""
    return {
        "Id": job.id,
        "Type": job.type,
        "ProgramId": str(job.program_id),
        "CreatedBy": job.account_sid,
        "CreatedDate": zoned(job.created_at, zone),
        "StartedDate": zoned(job.started_at, zone),
        "CompletedDate": zoned(job.completed_at, zone),
        "AbandonedDate": zoned(job.abandoned_at, zone),
        "CancelledDate": zoned(job.cancelled_at, zone),
        "FailedDate": zoned(job.failed_at, zone),
        "LastProgressUpdateDate": zoned(job.progress_at, zone),
        "Status": job.state.value,
        "StatusMessage": job.message,
        "RecordsProcessed": str(job.records),
        "PercentageComplete": str(job.percent),
        "Replayable": "true",  # of the type, not of the state
        "ResultUri": f"{job_path(job.account_sid, job.id)}/Download",
    }
