"""The keeper: makes the next segment and closes the old ones, beside the commits."""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from clickledger.spool.segment import SegmentWriter

_log = structlog.get_logger(__name__)

#: A segment that could not be made is tried again, but not with every batch.
_RETRY_AFTER_S = 1.0


class Keeper:
    """Keeps one segment ready, so that a rotation costs a commit nothing.

    ``make`` makes the segment of a given number.
    """

    def __init__(self, make: Callable[[int], SegmentWriter]) -> None:
        self._make = make
        self._ready: SegmentWriter | None = None
        self._changed = threading.Condition()
        self._making = False
        self._not_before = 0.0
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spool-keeper", daemon=True)
        self._thread.start()

    def prepare(self, number: int) -> None:
        """Have segment ``number`` made, unless one is ready or being made; returns at once."""
        with self._changed:
            if self._ready or self._making or time.monotonic() < self._not_before:
                return
            self._making = True
        self._work.put(lambda: self._prepare(number))

    def take(self, *, wait: bool = False) -> SegmentWriter | None:
        """Take the segment that is ready; None: there is none (with ``wait``: nor under way)."""
        with self._changed:
            while wait and self._making:
                self._changed.wait()
            ready, self._ready = self._ready, None
        return ready

    def retire(self, segment: SegmentWriter) -> None:
        """Have a segment closed that is written no more; returns at once."""
        self._work.put(segment.close)

    def stop(self) -> None:
        """Finish what is under way, remove a segment that nobody took, and end."""
        self._work.put(None)
        self._thread.join()
        if ready := self.take():
            ready.discard()

    def _prepare(self, number: int) -> None:
        segment = None
        try:
            # Without it, the present segment grows: nothing is lost, and it is asked for again.
            with suppress(OSError, sqlite3.Error):
                segment = self._make(number)
        finally:
            with self._changed:
                self._ready = segment
                self._making = False
                if segment is None:
                    self._not_before = time.monotonic() + _RETRY_AFTER_S
                self._changed.notify_all()

    def _run(self) -> None:
        while (task := self._work.get()) is not None:
            try:
                task()
            except Exception:  # noqa: BLE001 - see below
                # The keeper must outlive any fault: a commit may be waiting for what it makes.
                _log.exception("spool_keeper_failed")
