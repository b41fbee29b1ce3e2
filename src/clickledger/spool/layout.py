"""Names and locks of the spool's files; README.md draws them."""

import fcntl
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from clickledger import durable

#: Held exclusively by the owner for life, then by whoever drains the spool.
LOCK = "lock"
MARK = "mark"
RECEIPTS = "receipts.db"
SET_ASIDE = "set-aside"
REASON = "reason.json"
#: A spool that is being made, or removed: not a spool yet, or no longer.
NEW = ".new-"
GONE = ".gone-"

_SPOOL = re.compile(r"[0-9a-f]{12}-[0-9a-f]{16}")
_SEGMENT = re.compile(r"([0-9]{8})\.segment")
#: What SQLite puts beside a database file.
_COMPANIONS = ("-wal", "-shm")


def spool_folders(root: Path) -> list[Path]:
    """List the spools below ``root``, oldest first; none when ``root`` is not there."""
    try:
        return present_spool_folders(root)
    except FileNotFoundError:
        return []


def present_spool_folders(root: Path) -> list[Path]:
    """List the spools below ``root``, oldest first; FileNotFoundError when it is not there."""
    return sorted(path for path in root.iterdir() if _SPOOL.fullmatch(path.name))


def segment_path(folder: Path, number: int) -> Path:
    """Name a segment of a spool."""
    return folder / f"{number:08d}.segment"


def segment_numbers(folder: Path) -> list[int]:
    """List the segments of a spool in order; FileNotFoundError when the spool is gone."""
    return sorted(
        int(found[1]) for path in folder.iterdir() if (found := _SEGMENT.fullmatch(path.name))
    )


def companions(segment: Path) -> tuple[Path, Path]:
    """Name the write-ahead log and its index, which belong to a segment."""
    wal, shm = (segment.with_name(segment.name + end) for end in _COMPANIONS)
    return wal, shm


def orphans(folder: Path) -> list[tuple[int, Path]]:
    """List companions whose segment is gone, with its number: a removal was interrupted."""
    names = {path.name for path in folder.iterdir()}
    found = []
    for name in sorted(names):
        for end in _COMPANIONS:
            base = name.removesuffix(end)
            number = _SEGMENT.fullmatch(base)
            if base != name and number and base not in names:
                found.append((int(number[1]), folder / name))
    return found


def set_aside_folder(root: Path, spool_id: str, number: int) -> Path:
    """Name where a damaged segment is kept."""
    return root / SET_ASIDE / f"{spool_id}-{number:08d}"


def new_lock(path: Path) -> int:
    """Make the lock file at ``path`` and take it; OSError when someone was quicker."""
    os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o600))
    handle = take_lock(path)
    if handle is None:
        raise BlockingIOError(f"another process took {path}")
    return handle


def take_lock(path: Path) -> int | None:
    """Take the lock file at ``path``; None when someone holds it, or it is no longer there.

    The lock lives as long as the returned descriptor, and dies with the process.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The folder may have been removed between the two calls: then this lock is of nothing.
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def is_locked(path: Path) -> bool:
    """Tell whether someone holds the lock at ``path``, without keeping it or writing anything.

    True also when there is no lock file: nobody can tell, and a spool in use must not be touched.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def remove_spool(folder: Path) -> None:
    """Remove a spool; from the first step on, nobody finds it any more.

    The caller holds its lock. What an interruption leaves is swept by the next removal.
    """
    gone = folder.with_name(GONE + folder.name)
    folder.rename(gone)
    durable.sync_folder(folder.parent)
    shutil.rmtree(gone, ignore_errors=True)
    for leftover in folder.parent.iterdir():
        if not leftover.name.startswith((NEW, GONE)):
            continue
        if leftover.name.startswith(GONE):
            shutil.rmtree(leftover, ignore_errors=True)
            continue
        # A start that was interrupted, or is under way: then its lock is held, or it will notice
        # that its folder went.
        with suppress(OSError):
            leftover.rmdir()  # only an empty one goes
        lock = take_lock(leftover / LOCK)
        if lock is not None:
            shutil.rmtree(leftover, ignore_errors=True)
            os.close(lock)
