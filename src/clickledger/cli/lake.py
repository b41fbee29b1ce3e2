"""``clickledger lake``: count, look after and check the lake, also beside a running server."""

import sys
import threading
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Annotated

import typer

from clickledger.cli import output
from clickledger.cli.control import open_control, read_settings
from clickledger.cli.options import AsJson, Data, data_folder
from clickledger.clock import DAY, SECOND, Micros, SteadyClock, to_datetime, to_micros, wall_clock
from clickledger.config import DataFolder, lake_url
from clickledger.errors import InvalidInputError, NotFoundError
from clickledger.jobs.store import Jobs
from clickledger.lake import queries, watermark
from clickledger.lake import verify as checking
from clickledger.lake.lease import Lease
from clickledger.lake.maintenance import Maintenance
from clickledger.lake.store import Lake
from clickledger.programs.days import day_bounds
from clickledger.programs.directory_keeper import DirectoryKeeper

app = typer.Typer(no_args_is_help=True, help="The lake: every click, as open tables.")


@app.command()
def count(
    *,
    data: Data,
    on: Annotated[
        str | None,
        typer.Option("--date", metavar="D", help="A day, yyyy-mm-dd: the program's, else UTC's."),
    ] = None,
    program: Annotated[
        int | None, typer.Option("--program", metavar="P", help="Clicks of one program only.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count the clicks in the lake."""
    folder = data_folder(data)
    first, end = _day(folder, on, program)
    # The mark first, then the version: so the version holds what the mark promises.
    mark = watermark.read(folder.watermark)
    snapshot = _lake(folder).snapshot()
    raw = queries.count(snapshot, folder.tmp, first=first, end=end, program_id=program)
    answer = {
        "version": snapshot.version,
        "complete_through": _text(mark),
        "date": on,
        "program_id": program,
        "raw": raw,
    }
    if as_json:
        output.print_json(answer)
    else:
        output.print_fields(
            [(name.replace("_", " "), value) for name, value in answer.items() if value is not None]
        )


@app.command()
def compact(data: Data, as_json: AsJson = False) -> None:
    """Merge small files now, and sort the days that are closed."""
    folder = data_folder(data)
    settings = read_settings()
    upkeep = _maintenance(folder)
    merged = upkeep.compact(thorough=True)
    mark = watermark.read(folder.watermark)
    ended = wall_clock() - int(settings.close_day_after_s * SECOND)
    days = upkeep.close_days(min(mark, ended)) if mark is not None else []
    if as_json:
        output.print_json({"files_merged": merged, "days_sorted": [str(day) for day in days]})
    else:
        sorted_days = ", ".join(map(str, days)) or "none"
        output.print_note(f"{merged} small files merged; days sorted: {sorted_days}")


@app.command()
def vacuum(data: Data, as_json: AsJson = False) -> None:
    """Remove files that no kept version needs; versions of unfinished jobs are kept."""
    with open_control(data) as control:
        pins = Jobs(control.engine, SteadyClock()).pins()
        upkeep = _maintenance(control.folder)
        removed = upkeep.vacuum(control.settings.lake_retention_hours, pins)
    if as_json:
        output.print_json({"files_removed": removed, "versions_kept_for_jobs": pins})
    else:
        output.print_note(f"{removed} files removed; versions kept for jobs: {len(pins)}")


@app.command()
def verify(data: Data, as_json: AsJson = False) -> None:
    """Compare the lake with what was accepted, batch by batch; exit code 1 on a difference."""
    folder = data_folder(data)
    since = wall_clock() - read_settings().receipts_keep_days * DAY
    with output.progress("Comparing days") as on_progress:
        findings = checking.verify(
            _lake(folder),
            folder.spool,
            folder.tmp,
            receipts_since=since,
            on_progress=on_progress,
        )
    if as_json:
        output.print_json(asdict(findings))
    else:
        for problem in findings.problems:
            line = f"spool {problem.spool_id} batch {problem.sequence}: {problem.detail}"
            sys.stdout.write(line + "\n")
        total = findings.problems_total
        output.print_note(
            f"version {findings.version}: {findings.clicks} clicks in the lake, "
            f"{findings.dead_letters} dead letters, {findings.spooled} still in the spool, "
            f"{findings.batches} batches compared: {f'{total} problems' if total else 'all sound'}"
        )
    if findings.problems_total:
        raise typer.Exit(1)


def _day(
    folder: DataFolder, on: str | None, program: int | None
) -> tuple[Micros | None, Micros | None]:
    """Find the UTC bounds of a day: of the program's zone when there is one."""
    if on is None:
        return None, None
    try:
        day = date.fromisoformat(on)
    except ValueError:
        raise InvalidInputError.of("date", f"{on} is not a date like 2026-11-23") from None
    if program is None:
        start = to_micros(datetime(day.year, day.month, day.day, tzinfo=UTC))
        return start, start + DAY
    bounds = day_bounds(day, _zone(folder, program))
    return bounds.start, bounds.end


def _zone(folder: DataFolder, program: int) -> str:
    """Return a program's time zone, from the database or, without it, from the snapshot."""
    with open_control(folder.root) as control:
        keeper = DirectoryKeeper(control.engine, folder.directory_snapshot)
        keeper.load()
        found = keeper.current.program(program)
    if found is None:
        raise NotFoundError(f"there is no program {program}")
    return found.time_zone


def _lake(folder: DataFolder) -> Lake:
    return Lake.open(lake_url(read_settings(), folder), create=False)


def _maintenance(folder: DataFolder) -> Maintenance:
    return Maintenance(
        lake=_lake(folder),
        lease=Lease(folder.locks / "lake"),
        scratch=folder.tmp,
        stopping=threading.Event(),
    )


def _text(mark: Micros | None) -> str | None:
    return None if mark is None else to_datetime(mark).isoformat(timespec="microseconds")
