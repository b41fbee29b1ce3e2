"""Small files that survive a crash: replaced as a whole, on disk when the call returns."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Replace the file at ``path``, mode 0600.

    A reader and a crash find the old bytes or the new, never a mixture: temporary name in the
    same folder, fsync, rename, fsync of the folder.

    Raises:
        OSError: nothing has changed.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable: after a rename, and after making a file."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait for one's turn to replace ``path``, among all processes of this machine.

    The lock lies beside the file, since the file itself is replaced; it is released by the
    kernel when its holder dies.
    """
    lock = path.with_name(f".{path.name}.lock")
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
