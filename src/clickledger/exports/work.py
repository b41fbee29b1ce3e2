"""Running an export: a child process writes the parts, this side watches it and signs off."""

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Literal

from clickledger.errors import ClickledgerError, GoneError, UnavailableError
from clickledger.exports import manifest as manifests
from clickledger.exports import orders, parts
from clickledger.exports import plan as plans
from clickledger.exports.manifest import Manifest, Part
from clickledger.exports.model import Plan, SliceDone
from clickledger.lake import engine

#: Of the query engine, per slice under way. Twice what a slice needs: near its limit the engine
#: hands memory back and asks for it again all the time, a fifth of the whole work.
_MEMORY_MB = 220
_NICENESS = 10
#: Seconds between two looks at whether the run was cancelled.
_CANCEL_POLL_S = 0.2


def run(
    plan: Plan,
    finished: Sequence[SliceDone],
    folder: Path,
    on_slice: Callable[[SliceDone], None],
    cancelled: Callable[[], bool],
    *,
    scratch: Path,
    parallel: int = 2,
    memory_mb: int = _MEMORY_MB,
    niceness: int = _NICENESS,
) -> Manifest | None:
    """Write what is not written yet, the manifest last; None: cancelled, finished slices stay.

    ``finished``: slices that an earlier try reported; those whose files are not there are written
    again. ``on_slice`` is called, in order, once a slice is durable. ``scratch``: a folder for
    what the query engine spills.

    Raises:
        GoneError: files of the pinned version of the lake have been removed.
        UnavailableError: the disk is full, or the writing process was killed.
        ClickledgerError: anything else the writing process died of.
    """
    plans.check_files(plan.files, plan.lake_version)
    folder.mkdir(parents=True, exist_ok=True)
    parts.remove_unfinished(folder)
    there = tuple(one for one in finished if _is_there(folder, one))
    with engine.scratch_folder(scratch, "export") as spill:
        order = orders.Order(
            plan=plan,
            finished=there,
            folder=str(folder),
            scratch=str(spill),
            parallel=parallel,
            memory_mb=memory_mb,
            niceness=niceness,
            parent=os.getpid(),
        )
        try:
            written = _written_by_child(order, on_slice, cancelled)
        finally:
            parts.remove_unfinished(folder)
    if written is None:
        return None
    slices, end = written
    manifest = manifests.describe(plan, _parts(plan, [*there, *slices], end), end.sha256)
    manifests.write(folder, manifest)
    return manifest


def _is_there(folder: Path, done: SliceDone) -> bool:
    path = folder / parts.part_name(done.index + 1)
    return path.is_file() and path.stat().st_size == done.bytes


def _parts(plan: Plan, slices: Sequence[SliceDone], end: orders.Finished) -> tuple[Part, ...]:
    found = [Part(name=parts.part_name(0), rows=0, bytes=end.head)]
    found += (
        Part(name=parts.part_name(one.index + 1), rows=one.rows, bytes=one.bytes)
        for one in sorted(slices, key=lambda one: one.index)
    )
    if end.foot:
        found.append(Part(name=parts.part_name(len(plan.slices) + 1), rows=0, bytes=end.foot))
    return tuple(found)


def _written_by_child(
    order: orders.Order, on_slice: Callable[[SliceDone], None], cancelled: Callable[[], bool]
) -> tuple[list[SliceDone], orders.Finished] | None:
    """Have a child process write; return what it reports, None: cancelled."""
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            [sys.executable, "-m", "clickledger.exports.writer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
        ) as child,
    ):
        reports = _Reports(child, order)
        try:
            slices: list[SliceDone] = []
            while not cancelled():
                match reports.next(_CANCEL_POLL_S):
                    case orders.Written() as one:
                        slices.append(SliceDone(index=one.index, rows=one.rows, bytes=one.bytes))
                        on_slice(slices[-1])
                    case orders.Finished() as end:
                        return slices, end
                    case orders.Failed() as failure:
                        raise _error(order.plan, failure)
                    case "ended":
                        raise UnavailableError(_last_words(child, complaints))
                    case None:
                        pass
            return None
        finally:
            child.kill()  # nothing of it is lost: what it reported is durable
            reports.join()


class _Reports:
    """What the child says, one report at a time."""

    def __init__(self, child: "subprocess.Popen[bytes]", order: orders.Order) -> None:
        assert child.stdin is not None  # noqa: S101 - a pipe was asked for
        assert child.stdout is not None  # noqa: S101 - a pipe was asked for
        self._found: queue.SimpleQueue[orders.Report | Literal["ended"]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(child.stdout,), daemon=True)
        self._reader.start()
        with contextlib.suppress(BrokenPipeError):  # it died; the end of its output says so
            child.stdin.write(orders.encode(order))
            child.stdin.close()

    def next(self, timeout_s: float) -> orders.Report | Literal["ended"] | None:
        """Return the next report, "ended" after the last; None: nothing new within the time."""
        try:
            return self._found.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def join(self) -> None:
        """Wait for the last report of a child that has ended, before its output is closed."""
        self._reader.join()

    def _read(self, stdout: IO[bytes]) -> None:
        for line in stdout:
            if line.endswith(b"\n"):  # else it was killed in the middle of it
                self._found.put(orders.decode_report(line))
        self._found.put("ended")


def _error(plan: Plan, failure: orders.Failed) -> ClickledgerError:
    if failure.full:
        return UnavailableError("there is no room on the disk for the result")
    if failure.gone:
        return GoneError(f"files of lake version {plan.lake_version} were removed while read")
    return UnavailableError(f"writing the result failed: {failure.message}")


def _last_words(child: "subprocess.Popen[bytes]", complaints: IO[bytes]) -> str:
    """Say how a child ended that reported nothing."""
    status = child.wait()
    complaints.seek(0)
    said = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"the process that writes the result {how}" + (f": {said}" if said else "")
