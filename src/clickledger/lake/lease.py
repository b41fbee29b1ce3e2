"""The lease of the lake: who holds it may write, and there is one."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clickledger.errors import UnavailableError

_POLL_S = 0.002


class Lease:
    """A lock file that the kernel releases when its holder dies, however it dies.

    Works between processes, and between threads of one. Waiters take their turn: who waits holds
    a second lock, behind which the next ones wait, so that a busy loader cannot shut out the rest.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def held(self, timeout_s: float = 30.0) -> Iterator[None]:
        """Hold the lease within the block.

        Raises:
            UnavailableError: others held it for longer than ``timeout_s``.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        give_up = time.monotonic() + timeout_s
        turn = self._lock(self._path.with_name(self._path.name + ".turn"), give_up)
        try:
            lock = self._lock(self._path, give_up)
        finally:
            os.close(turn)
        try:
            yield
        finally:
            os.close(lock)

    def _lock(self, path: Path, give_up: float) -> int:
        # Not inherited: a child process must not keep the lease beyond its parent's block.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() >= give_up:
                        raise UnavailableError(
                            f"another process keeps writing the lake (lock {path})"
                        ) from None
                    time.sleep(_POLL_S)
                else:
                    return handle
        except BaseException:
            os.close(handle)
            raise
