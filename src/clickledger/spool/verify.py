"""Looking at spools without taking part: nothing is locked, changed or made."""

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from clickledger.clock import Micros
from clickledger.errors import CorruptedError, NotFoundError
from clickledger.spool import format as spool_format
from clickledger.spool import layout
from clickledger.spool.contents import Contents
from clickledger.spool.model import Batch, SetAside


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolStats:
    """One spool in numbers."""

    id: str
    #: Whether its process runs, or another process drains it.
    owner_alive: bool
    #: Number of its last batch; 0: it has had none.
    last_sequence: int
    #: Clicks in its files; loaded ones are here until their segment is complete and removed.
    clicks: int
    #: Headers and payloads of their batches.
    bytes: int
    #: Nothing received before this instant will follow; UTC microseconds.
    low_water: Micros | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is not as it was written."""

    spool_id: str
    sequence: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What `verify` found."""

    spools: int
    batches: int
    clicks: int
    problems: tuple[Problem, ...]
    #: Damaged segments that were reported before and are kept, as folder names.
    set_aside: tuple[str, ...]


def stats(root: Path) -> list[SpoolStats]:
    """Count what every spool holds, from the headers alone."""
    return [found for folder in layout.spool_folders(root) if (found := _stats(folder))]


def entries(
    root: Path, *, spool_id: str | None = None, after: int = 0
) -> Iterator[Batch | SetAside]:
    """Yield the batches of all spools, or of one, each checked.

    Raises:
        NotFoundError: there is no such spool.
    """
    folders = layout.spool_folders(root)
    if spool_id is not None:
        folders = [folder for folder in folders if folder.name == spool_id]
        if not folders:
            raise NotFoundError(f"there is no spool {spool_id} in {root}")
    for folder in folders:
        yield from _entries(folder, after)


def verify(root: Path) -> Findings:
    """Read everything, as a loader would and further: each click must decode."""
    batches = clicks = 0
    problems: list[Problem] = []
    folders = layout.spool_folders(root)
    for folder in folders:
        promised: Micros = 0
        for entry in _entries(folder, 0):
            if isinstance(entry, SetAside):
                problems.append(_problem(entry, entry.reason, entry.detail))
                continue
            batches += 1
            clicks += entry.clicks
            problems += _wrong(entry, promised)
            promised = max(promised, entry.low_water)
    kept = root / layout.SET_ASIDE
    set_aside = sorted(path.name for path in kept.iterdir()) if kept.is_dir() else []
    return Findings(
        spools=len(folders),
        batches=batches,
        clicks=clicks,
        problems=tuple(problems),
        set_aside=tuple(set_aside),
    )


def reason(root: Path, set_aside: str) -> str:
    """Read why a segment was set aside."""
    facts = msgspec.json.decode((root / layout.SET_ASIDE / set_aside / layout.REASON).read_bytes())
    return str(facts["reason"])


def _stats(folder: Path) -> SpoolStats | None:
    while folder.exists():
        with suppress(FileNotFoundError):  # a loader removes what it has loaded, meanwhile
            return _count(folder)
    return None


def _count(folder: Path) -> SpoolStats:
    alive = layout.is_locked(folder / layout.LOCK)
    with closing(Contents(folder)) as contents:
        mark = contents.mark()
        last = mark.last_sequence if mark else 0
        low_water = mark.low_water if mark else None
        clicks = size = 0
        for header in contents.headers(settled=not alive):
            clicks += header.clicks
            size += spool_format.HEADER_BYTES + header.payload_bytes
            last = max(last, header.sequence)
            low_water = max(low_water or 0, header.low_water)
    return SpoolStats(
        id=folder.name,
        owner_alive=alive,
        last_sequence=last,
        clicks=clicks,
        bytes=size,
        low_water=low_water,
    )


def _entries(folder: Path, after: int) -> Iterator[Batch | SetAside]:
    last = after
    while folder.exists():
        with suppress(FileNotFoundError):  # a loader removes what it has loaded, meanwhile
            settled = not layout.is_locked(folder / layout.LOCK)
            with closing(Contents(folder)) as contents:
                last = start = max(last, contents.released_through(settled=settled))
                for entry in contents.entries(start, settled=settled):
                    # What is missing at the very front has been released just now.
                    released = last == start and _is_missing(entry)
                    last = max(last, entry.sequence)
                    if not released:
                        yield entry
            return


def _is_missing(entry: Batch | SetAside) -> bool:
    return isinstance(entry, SetAside) and entry.reason == "missing"


def _wrong(batch: Batch, promised: Micros) -> Iterator[Problem]:
    try:
        found = spool_format.decode_clicks(batch.payload)
    except CorruptedError as error:
        yield _problem(batch, "undecodable", str(error))
        return
    received = [click.received for click in found] or [0]
    facts = (len(found), min(received), max(received))
    stated = (batch.clicks, batch.first_received, batch.last_received)
    if facts != stated:
        yield _problem(batch, "header", f"header says {stated}, the clicks say {facts}")
    if batch.first_received < promised:
        late = promised - batch.first_received
        yield _problem(batch, "late", f"received {late} µs before a mark that was given earlier")


def _problem(entry: Batch | SetAside, why: str, detail: str) -> Problem:
    return Problem(spool_id=entry.spool_id, sequence=entry.sequence, reason=why, detail=detail)
