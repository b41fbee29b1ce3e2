"""Group commit: the clicks of all requests under way become durable together."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from clickledger.clock import SECOND, Micros, SteadyClock
from clickledger.errors import ClickledgerError
from clickledger.metrics import Metrics
from clickledger.spool.model import Click

_log = structlog.get_logger(__name__)

#: After a failed commit the spool is tried again with the next click, but not more often than
#: this: a full disk must not cost every visitor the time of a failing write.
_RETRY_AFTER = SECOND
#: A commit that takes longer than this no longer holds up visitors: a disk that hangs must not.
PATIENCE_S = 2.0
#: An idle spool says each second how far it is complete.
_MARK_EVERY_S = 1.0


class DurableLog(Protocol):
    """What the committer needs of a spool; both calls block, on the committer's own thread."""

    def append(self, clicks: list[Click], low_water: Micros) -> object:
        """Make the clicks durable; raises SpoolUnavailableError."""

    def mark(self, low_water: Micros) -> None:
        """Record that nothing received before ``low_water`` will follow."""


class Committer:
    """Collects clicks on the event loop and commits them on a thread, one batch at a time.

    While one batch is being written, the next one fills: its size follows the load by itself.
    Batches are swapped on the loop's thread only, so the low-water mark of a batch is simply
    the clock at the swap: whatever comes later was received later.
    """

    def __init__(
        self,
        log: DurableLog,
        clock: SteadyClock,
        metrics: Metrics,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Prepare; ``start`` begins to take clicks."""
        self._patience_s = patience_s
        self._stalled = False
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self._filling: list[Click] = []
        self._waiting: list[asyncio.Future[bool]] = []
        self._busy = False
        self._blocked_until: Micros = 0
        self._fault = ""
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spool-commit", daemon=True)
        self._marking: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """Begin; call on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        self._mark()

    async def stop(self) -> None:
        """Commit what is left and end the thread."""
        if self._marking is not None:
            self._marking.cancel()
        while self._filling or self._busy:  # noqa: ASYNC110 - a stop is no place for an event
            await asyncio.sleep(0.001)
        self._work.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    @property
    def fault(self) -> str:
        """Why the last commit failed; empty when it did not."""
        return self._fault

    def available(self, now: Micros) -> bool:
        """Tell whether a click may be offered: not while a commit hangs or has just failed."""
        return now >= self._blocked_until and not self._stalled

    def add(self, click: Click) -> asyncio.Future[bool]:
        """Add a click to the batch that fills; await the result: True when it is durable.

        Each click has a future of its own: cancelling one request must not touch the others.
        """
        durable = self._loop.create_future()
        self._filling.append(click)
        self._waiting.append(durable)
        if not self._busy:
            self._busy = True
            # After the requests that are ready in this turn of the loop, not before them.
            self._loop.call_soon(self._swap)
        return durable

    def _swap(self) -> None:
        if not self._filling:
            self._busy = False
            return
        clicks, waiting = self._filling, self._waiting
        self._filling, self._waiting = [], []
        low_water = self._clock.now()
        patience = self._loop.call_later(self._patience_s, self._stop_waiting, waiting)
        self._work.put(lambda: self._commit(clicks, waiting, low_water, patience))

    def _stop_waiting(self, waiting: list[asyncio.Future[bool]]) -> None:
        """Send the visitors on whose commit hangs; their clicks may still become durable."""
        self._stalled = True
        self._note(f"a commit to the spool has hung for {self._patience_s:g} s")
        _resolve([*waiting, *self._waiting], durable=False)

    def _commit(
        self,
        clicks: list[Click],
        waiting: list[asyncio.Future[bool]],
        low_water: Micros,
        patience: asyncio.TimerHandle,
    ) -> None:
        with self._metrics.commit_seconds.time():
            fault = self._attempt(lambda: self._log.append(clicks, low_water))
        self._loop.call_soon_threadsafe(self._committed, waiting, patience, fault)

    def _committed(
        self, waiting: list[asyncio.Future[bool]], patience: asyncio.TimerHandle, fault: str
    ) -> None:
        patience.cancel()
        _resolve(waiting, durable=not fault)
        self._stalled = False
        self._note(fault)
        self._metrics.commits.inc()
        if fault:
            self._metrics.spool_failures.inc()
            self._blocked_until = self._clock.now() + _RETRY_AFTER
        else:
            self._metrics.clicks_accepted.inc(len(waiting))
        self._swap()

    def _mark(self) -> None:
        if not self._busy:
            self._busy = True
            low_water = self._clock.now()
            patience = self._loop.call_later(self._patience_s, self._stop_waiting, [])
            self._work.put(lambda: self._write_mark(low_water, patience))
        self._marking = self._loop.call_later(_MARK_EVERY_S, self._mark)

    def _write_mark(self, low_water: Micros, patience: asyncio.TimerHandle) -> None:
        fault = self._attempt(lambda: self._log.mark(low_water))
        self._loop.call_soon_threadsafe(self._marked, patience, fault)

    def _marked(self, patience: asyncio.TimerHandle, fault: str) -> None:
        patience.cancel()
        self._stalled = False
        self._note(fault)
        if not fault:
            self._blocked_until = 0
        self._swap()

    def _note(self, fault: str) -> None:
        """Remember what is wrong, and log when that begins and ends."""
        if fault and not self._fault:
            _log.error("spool_unavailable", reason=fault)
        elif self._fault and not fault:
            _log.info("spool_available_again")
        self._fault = fault

    @staticmethod
    def _attempt(write: Callable[[], object]) -> str:
        """Run one write; return what went wrong, or an empty string."""
        try:
            write()
        except ClickledgerError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - see below
            # A bug in the spool must not leave visitors waiting for ever: they are sent on.
            _log.exception("spool_write_failed")
            return f"{type(error).__name__}: {error}"
        return ""

    def _run(self) -> None:
        while (task := self._work.get()) is not None:
            task()


def _resolve(waiting: list[asyncio.Future[bool]], *, durable: bool) -> None:
    """Tell each request that still waits what became of its click."""
    for future in waiting:
        if not future.done():
            future.set_result(durable)
