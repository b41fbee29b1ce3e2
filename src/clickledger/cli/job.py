"""``clickledger job``: what exports were asked for, and how they are doing."""

from typing import Annotated

import typer

from clickledger.cli import output
from clickledger.cli.control import open_control
from clickledger.cli.options import AsJson, Data
from clickledger.clock import SteadyClock
from clickledger.jobs.model import Job, State
from clickledger.jobs.store import Jobs

app = typer.Typer(no_args_is_help=True, help="Jobs: the exports that brands asked for.")

JobId = Annotated[str, typer.Argument(metavar="ID", help="Job id, as the API shows it.")]


@app.command("list")
def list_(
    data: Data,
    account: Annotated[
        str | None, typer.Option("--account", metavar="SID", help="Only jobs of this account.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with open_control(data) as control:
        jobs, total = Jobs(control.engine, SteadyClock()).list(account, page_size=limit)
    if as_json:
        output.print_json(jobs)
        return
    output.print_table(
        ("Id", "Program", "Date", "Format", "State", "Run", "Done", "Clicks", "Created"),
        (
            (
                job.id,
                job.program_id,
                job.request.date,
                job.request.result_format.value,
                job.state.value,
                job.run,
                f"{job.percent} %",
                job.records,
                output.instant(job.created_at),
            )
            for job in jobs
        ),
    )
    if total > len(jobs):
        output.print_note(f"{len(jobs)} of {total}; --limit shows more.")


@app.command()
def show(data: Data, job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job."""
    with open_control(data) as control:
        job = Jobs(control.engine, SteadyClock()).find(job_id)
    _print(job, as_json=as_json)


@app.command()
def cancel(data: Data, job_id: JobId, as_json: AsJson = False) -> None:
    """Cancel an unfinished job; a running export stops within a second."""
    with open_control(data) as control:
        job = Jobs(control.engine, SteadyClock()).cancel(job_id)
    _print(job, as_json=as_json)


def _print(job: Job, *, as_json: bool) -> None:
    if as_json:
        output.print_json(job)
        return
    request = job.request
    unique = {None: "all clicks", True: "only unique clicks", False: "only repeats"}
    output.print_fields(
        (
            ("Id", job.id),
            ("Type", job.type),
            ("Account", job.account_sid),
            ("Program", job.program_id),
            ("Date", f"{request.date} ({request.time_zone})"),
            ("Ads", request.ad_ids or "all"),
            ("Partners", request.media_ids or "all"),
            ("Unique", unique[request.unique_click]),
            ("Format", request.result_format.value),
            ("Extra columns", request.columns or "none"),
            ("State", job.state.value),
            ("Message", job.message),
            ("Run", f"{job.run}, try {job.attempt}" if job.attempt else str(job.run)),
            ("Done", f"{job.percent} %, {job.records} clicks"),
            ("Created", output.instant(job.created_at)),
            ("Asked for", output.instant(job.requested_at)),
            ("Started", output.instant(job.started_at)),
            ("Progress", output.instant(job.progress_at)),
            ("Completed", output.instant(job.completed_at)),
            ("Failed", output.instant(job.failed_at)),
            ("Next try", output.instant(job.retry_at)),
            ("Cancelled", output.instant(job.cancelled_at)),
            ("Abandoned", output.instant(job.abandoned_at)),
            ("Result", _result(job)),
        )
    )


def _result(job: Job) -> str:
    if job.result_run is not None:
        return f"of run {job.result_run}"
    return "removed; replay the job" if job.state is State.COMPLETED else "none yet"
