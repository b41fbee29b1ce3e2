"""The right to be the one worker process of a data folder."""

import fcntl
import os
import time
from pathlib import Path

from clickledger.errors import UnavailableError

#: Longer than a worker that was just told to stop takes to let go when nothing is wrong.
_WAIT_S = 5.0
_POLL_S = 0.05


class Lease:
    """A lock that the kernel releases when its holder dies, however it dies."""

    def __init__(self, path: Path, *, wait_s: float = _WAIT_S) -> None:
        self._path = path
        self._wait_s = wait_s
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock; wait a little for a worker that is just ending.

        Raises:
            UnavailableError: another process keeps it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Not inherited by the exports' processes: they must not keep it beyond our end.
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait_for(handle)
        except BaseException:
            os.close(handle)
            raise
        os.truncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode("ascii"), 0)
        self._handle = handle

    def _wait_for(self, handle: int) -> None:
        give_up = time.monotonic() + self._wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
                    raise UnavailableError(
                        f"another worker process (pid {holder or 'unknown'}) serves this data "
                        "folder; there can be only one"
                    ) from None
                time.sleep(_POLL_S)
            else:
                return

    def release(self) -> None:
        """Let go; releasing what is not held does nothing."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
