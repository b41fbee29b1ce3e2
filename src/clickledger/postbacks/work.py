"""The worker's side of postbacks: a thread with an event loop that calls endpoints.

A look at the queue says what is due and takes places for it; each call is a task of the loop;
what became of them is written together, as many as have ended meanwhile. A delivery counts as
under way until that is written: then its row says what comes next. A worker that is killed leaves
the rows as they were, so that what it was at is sent again.
"""

import asyncio
import contextlib
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

import structlog
from sqlalchemy import Engine

from clickledger.clock import SteadyClock, to_datetime
from clickledger.config import Settings
from clickledger.errors import ClickledgerError
from clickledger.metrics import Metrics
from clickledger.postbacks import schedule, signing
from clickledger.postbacks.log import Deliveries
from clickledger.postbacks.model import Delivery, Draft, Fate, Notification, Outcome, Prepared
from clickledger.postbacks.network import Guard
from clickledger.postbacks.places import Places
from clickledger.postbacks.queue import Backlog, Due, Queue, Result
from clickledger.postbacks.rendering import Renderer
from clickledger.postbacks.sender import Sender

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

#: Seconds between two looks at the queue.
_POLL_S = 0.2
#: The same while there is more to send than there were places.
_BUSY_POLL_S = 0.05
#: Seconds between two questions to a control database that is away.
_AWAY_RETRY_S = 1.0
#: Seconds between two counts of what waits, and between two closings of idle connections.
_COUNT_S = 5.0
#: Seconds that calls under way have to end when the worker is told to stop.
_GRACE_S = 3.0
#: Seconds that `stop` waits.
_STOP_S = 6.0
#: Seconds between two removals of what is old.
_PURGE_S = 24 * 3600.0


class PostbackWorker:
    """Delivers the postbacks of one control database; one per database at a time.

    ``jitter``: 0 to 1, at random, for each pause of the schedule.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        settings: Settings,
        metrics: Metrics,
        clock: SteadyClock,
        guard: Guard,
        poll_s: float = _POLL_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._guard = guard
        self._poll_s = poll_s
        self._jitter = jitter
        self._queue = Queue(engine, settings.postback_disable_days)
        self._log = Deliveries(engine, clock)
        self._halt = threading.Event()
        self._threads: tuple[threading.Thread, ...] = ()
        self._delivering: _Delivering | None = None

    def start(self) -> None:
        """Begin to deliver, and to remove what is old."""
        self._threads = tuple(
            threading.Thread(target=loop, name=f"postbacks-{name}", daemon=True)
            for name, loop in (("delivery", self._deliver), ("purge", self._purge_loop))
        )
        for thread in self._threads:
            thread.start()

    def halt(self) -> None:
        """Begin to stop: returns at once."""
        self._halt.set()

    def stop(self) -> None:
        """Stop within some seconds; calls that do not end by then are made again another time."""
        self.halt()
        until = time.monotonic() + _STOP_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def status(self) -> Mapping[str, object]:
        """Tell how the worker is doing, for probes: plain JSON values."""
        delivering = self._delivering
        alive = bool(self._threads) and self._threads[0].is_alive()
        return {
            "delivering": alive,
            "under_way": delivering.under_way if delivering else 0,
            "waiting": delivering.backlog.waiting if delivering else 0,
            "trouble": delivering.trouble if delivering else "",
        }

    def purge(self) -> None:
        """Remove from the log what finished longer ago than it is kept."""
        keep = timedelta(days=self._settings.postback_keep_days)
        purged = self._log.purge(to_datetime(self._clock.now()) - keep)
        if purged:
            _log.info("postbacks purged", deliveries=purged)

    def _purge_loop(self) -> None:
        while not self._halt.is_set():
            try:
                self.purge()
            except Exception as error:  # noqa: BLE001 - the next day tries again, whatever it was
                _report("purge of postbacks failed", error)
            self._halt.wait(_PURGE_S)

    def _deliver(self) -> None:
        while not self._halt.is_set():
            self._delivering = _Delivering(
                queue=self._queue,
                settings=self._settings,
                metrics=self._metrics,
                clock=self._clock,
                guard=self._guard,
                halt=self._halt,
                poll_s=self._poll_s,
                jitter=self._jitter,
            )
            try:
                asyncio.run(self._delivering.run())
            except Exception as error:  # noqa: BLE001 - begin anew: the rows know what is to be sent
                _report("delivery of postbacks failed", error)
                self._halt.wait(_AWAY_RETRY_S)


class _Delivering:
    """What the thread's event loop does; other threads read its properties only."""

    def __init__(
        self,
        *,
        queue: Queue,
        settings: Settings,
        metrics: Metrics,
        clock: SteadyClock,
        guard: Guard,
        halt: threading.Event,
        poll_s: float,
        jitter: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._metrics = metrics
        self._clock = clock
        self._halt = halt
        self._poll_s = poll_s
        self._jitter = jitter
        self._sender = Sender(
            guard, settings.postback_connect_s, settings.postback_timeout_s, clock=clock
        )
        #: What the control database does not do, in words; empty: it does.
        self._read_trouble = ""
        self._write_trouble = ""
        self.backlog = Backlog(waiting=0, due_at=None)
        self._places = Places()
        #: Deliveries whose row does not say yet what became of them, by notification.
        self._busy: defaultdict[str, set[int]] = defaultdict(set)
        self._calls: set[asyncio.Task[None]] = set()
        self._results: list[Result] = []
        self._closing = False
        self._ended = asyncio.Event()
        self._renderers: dict[str, tuple[Draft, Renderer]] = {}
        # Whatever asks the database waits here, so that the loop does not.
        self._database = ThreadPoolExecutor(1, thread_name_prefix="postbacks-database")

    @property
    def under_way(self) -> int:
        """How many calls are under way."""
        return self._places.taken

    @property
    def trouble(self) -> str:
        """Tell what holds delivery up; empty: nothing does."""
        return self._write_trouble or self._read_trouble

    async def run(self) -> None:
        """Deliver until told to halt; then let calls end, for a while."""
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write_on())
                counting = tasks.create_task(self._count_on())
                await self._look_on()
                if self._calls:
                    await asyncio.wait(self._calls, timeout=_GRACE_S)
                self._closing = True
                self._ended.set()
                await asyncio.wait([writing], timeout=_GRACE_S / 2)
                writing.cancel()
                counting.cancel()
        finally:
            calls = list(self._calls)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            await self._sender.aclose()
            self._database.shutdown(wait=False, cancel_futures=True)

    async def _look_on(self) -> None:
        while not self._halt.is_set():
            # Nothing more is called while it cannot be written down.
            pause = self._poll_s if self._write_trouble else await self._next_look()
            await asyncio.sleep(pause)

    async def _next_look(self) -> float:
        """Look once; return the seconds until the next look."""
        try:
            found = await self._look()
        except Exception as error:  # noqa: BLE001 - one bad look must not end the looking
            self._read_trouble = self._told(self._read_trouble, error)
            return _AWAY_RETRY_S
        self._read_trouble = ""
        return min(self._poll_s, _BUSY_POLL_S) if found else self._poll_s

    async def _look(self) -> bool:
        """Begin what is due; return whether anything was."""
        busy = {endpoint: frozenset(ids) for endpoint, ids in self._busy.items()}
        plan = self._places.copy()
        now = to_datetime(self._clock.now())
        found = await self._ask(lambda: self._queue.due(now, busy, plan))
        for due in found:
            self._begin(due)
        return bool(found)

    def _begin(self, due: Due) -> None:
        endpoint = due.notification.id
        for delivery in due.deliveries:
            self._places.take(endpoint, retry=delivery.tries > 0)
            self._busy[endpoint].add(delivery.id)
            call = asyncio.create_task(self._call(due.notification, delivery))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, notification: Notification, delivery: Delivery) -> None:
        began = self._clock.now()
        prepared = None
        try:
            prepared = self._prepare(notification, delivery)
            outcome = await self._sender.send(prepared)
        except Exception as error:  # noqa: BLE001 - it fails like any other, and is tried again
            _report("postback cannot be sent", error, delivery=delivery.id)
            reason = f"the request could not be made: {error}"
            outcome = Outcome(
                started_at=to_datetime(began), duration_ms=0, status=None, problem=reason
            )
        finally:
            self._places.release(notification.id, retry=delivery.tries > 0)
        ended_at = to_datetime(self._clock.now())
        verdict = schedule.after(
            outcome, tries=delivery.tries + 1, now=ended_at, jitter=self._jitter()
        )
        self._results.append(
            Result(
                delivery=delivery,
                draft=notification.draft,
                prepared=prepared,
                outcome=outcome,
                ended_at=ended_at,
                verdict=verdict,
            )
        )
        self._ended.set()

    def _prepare(self, notification: Notification, delivery: Delivery) -> Prepared:
        known = self._renderers.get(notification.id)
        if known is None or known[0] != notification.draft:
            known = notification.draft, Renderer(notification.draft)
            self._renderers[notification.id] = known
        prepared = known[1].prepare(delivery.event, delivery.message_id, delivery.values)
        now = to_datetime(self._clock.now())
        return signing.sign(prepared, notification.secrets, delivery.message_id, now)

    async def _write_on(self) -> None:
        while self._results or not self._closing:
            await self._ended.wait()
            self._ended.clear()
            results, self._results = self._results, []
            if results:
                await self._write(results)

    async def _write(self, results: Sequence[Result]) -> None:
        """Write what became of calls; while the database is away, wait for it."""
        while True:
            try:
                await self._ask(lambda: self._queue.finish(results))
                break
            except ClickledgerError as error:
                self._write_trouble = self._told(self._write_trouble, error)
                await asyncio.sleep(_AWAY_RETRY_S)
            except Exception as error:  # noqa: BLE001 - one bad result must not spoil the others
                if len(results) == 1:
                    # It stays under way until the next start, rather than be sent without end.
                    _report("outcome of a postback cannot be written", error)
                    return
                for result in results:
                    await self._write([result])
                return
        self._write_trouble = ""
        for result in results:
            busy = self._busy[result.delivery.notification_id]
            busy.discard(result.delivery.id)
            if not busy:
                del self._busy[result.delivery.notification_id]
            self._count(result)

    def _count(self, result: Result) -> None:
        delivery, outcome = result.delivery, result.outcome
        self._metrics.postback_attempts.labels(_OUTCOMES[result.verdict.fate]).inc()
        self._metrics.postback_seconds.observe(outcome.duration_ms / 1000)
        if not delivery.attempts and delivery.next_at is not None:
            late = (outcome.started_at - delivery.next_at).total_seconds()
            self._metrics.postback_first_seconds.observe(max(0.0, late))

    async def _count_on(self) -> None:
        """See to what is done every few seconds."""
        while True:
            # Whatever it is, the looks meet it and tell of it; no call is to end for a count.
            with contextlib.suppress(Exception):
                self.backlog = await self._ask(self._queue.backlog)
            due_at = self.backlog.due_at
            late = to_datetime(self._clock.now()) - due_at if due_at else timedelta()
            self._metrics.postbacks_waiting.set(self.backlog.waiting)
            self._metrics.postbacks_overdue.set(max(0.0, late.total_seconds()))
            await self._sender.tidy()
            await asyncio.sleep(_COUNT_S)

    async def _ask(self, ask: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._database, ask)

    @staticmethod
    def _told(before: str, error: Exception) -> str:
        """Log trouble when it begins; return it in words."""
        if not before:
            _report("postbacks are held up", error)
        return str(error) or type(error).__name__


#: Label of the metric for what a call led to.
_OUTCOMES = {Fate.DELIVERED: "delivered", Fate.WAITING: "to_retry", Fate.FAILED: "given_up"}


def _report(message: str, error: Exception, **facts: object) -> None:
    """Log an error; with its traceback, if nobody raised it on purpose."""
    expected = isinstance(error, ClickledgerError)
    _log.error(message, reason=str(error), exc_info=None if expected else error, **facts)
