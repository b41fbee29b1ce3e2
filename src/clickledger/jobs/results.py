"""Where the files of a job's runs lie, and how long they stay.

Each run has a folder of its own, ``results/<job id>/<run>/``, so that a replay never touches
what an earlier run wrote: links already given out go on working until they expire.
"""

import contextlib
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clickledger.clock import SteadyClock, to_datetime
from clickledger.errors import GoneError
from clickledger.jobs import rules
from clickledger.jobs.model import Job, State
from clickledger.jobs.runs import Runs

#: Written last, so a folder that has one holds a whole result.
MANIFEST = "manifest.json"


def run_folder(results: Path, job_id: str, run: int) -> Path:
    """Name the folder of one run; ``job_id`` must come from a row, never from a request."""
    return results / job_id / str(run)


def result_folder(results: Path, job: Job) -> Path | None:
    """Find the result that a download of this job gives; None: not ready, answer with the job.

    It is the newest completed run's. While a replay is under way there is nothing to download.

    Raises:
        GoneError: the job is COMPLETED but its files have been removed; names Replay.
    """
    if job.state is not State.COMPLETED:
        return None
    if job.result_run is not None:
        folder = run_folder(results, job.id, job.result_run)
        if (folder / MANIFEST).is_file():
            return folder
    raise GoneError(
        "The result of this job has been removed after the time that results are kept. "
        f"Replay the job to make it again: PUT .../Jobs/{job.id}/Replay"
    )


def purge(
    runs: Runs, results: Path, clock: SteadyClock, *, keep: timedelta, grace: timedelta
) -> Sequence[Path]:
    """Remove results older than ``keep``, and what nobody can ask for after ``grace``.

    The row lets go of a result first: a kill in between leaves files that the next purge finds.
    """
    runs.expire(keep)
    now = to_datetime(clock.now())
    removed = []
    for folder in sorted(results.glob("*/*/")):
        if not folder.name.isdecimal():  # not ours
            continue
        holder = runs.holder(folder.parent.name)
        try:
            written_at = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        except FileNotFoundError:  # a run that starts anew has just removed it
            continue
        if not rules.keep_result(
            run=int(folder.name), written_at=written_at, holder=holder, now=now, grace=grace
        ):
            _remove(folder)
            removed.append(folder)
    return removed


def _remove(folder: Path) -> None:
    """Remove a result: the manifest first, so that half a result is never taken for a whole."""
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder)
    with contextlib.suppress(OSError):  # other runs of the job are still there
        folder.parent.rmdir()
