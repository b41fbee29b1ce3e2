"""What the world is told when a run of a job has ended. Pure rules.

The wire leaves open whether FAILED and a replay are told (impact-api 3.6): both are, and a
replay says so.
"""

from collections.abc import Mapping
from datetime import datetime

from clickledger.jobs.model import CLICK_EXPORT, State
from clickledger.jobs.rules import instant_text, job_path
from clickledger.postbacks.model import Event, Kind

#: Job type of the wire → first part of the names of its events.
_NAMES: Mapping[str, str] = {CLICK_EXPORT: "CLICK_EXPORT", "ReportExport": "REPORT_EXPORT"}


def completion(
    *,
    job_id: str,
    account_sid: str,
    job_type: str,
    program_id: int,
    day: str,
    state: State,
    message: str,
    run: int,
    rows: int,
    sha256: str,
    origin: str,
    at: datetime,
) -> Event:
    """Describe the end of a run: ``state`` is COMPLETED or FAILED.

    ``day``: as asked for, ISO 8601. ``sha256``: of the whole result, empty when there is none.
    ``origin``: what links start with; empty: they are paths.
    """
    queued = origin + job_path(account_sid, job_id)
    return Event(
        kind=Kind.JOB_COMPLETION,
        name=f"{_NAMES[job_type]}_{state.value}",
        account_sids=(account_sid,),
        program_id=program_id,
        order_key=job_id,
        at=at,
        values={
            "EventDate": instant_text(at),
            "JobId": job_id,
            "JobType": job_type,
            "Status": state.value,
            "StatusMessage": message,
            "ProgramId": str(program_id),
            "Date": day,
            "RecordsProcessed": str(rows),
            "QueuedUri": queued,
            "ResultUri": f"{queued}/Download",
            "Sha256": sha256,
            "Run": str(run),
            "Replayed": "true" if run > 1 else "false",
        },
    )
