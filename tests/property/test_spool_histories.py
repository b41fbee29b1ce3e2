"""Any history of appends, rotations, failures, restarts, loads and releases over a real folder.

Nothing acknowledged is lost, nothing comes twice, the order within a spool holds, the books
balance, and once a moment was called complete, nothing received before it appears.
"""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from clickledger.clock import SECOND, Micros, SteadyClock
from clickledger.errors import SpoolUnavailableError
from clickledger.spool import format as spool_format
from clickledger.spool import layout
from clickledger.spool.reader import Spools
from clickledger.spool.receipts import Receipts
from clickledger.spool.writer import Writer
from clickledger.testing.spools import HandClock, click

WORKERS = 2


class Worker:
    """One collector: a writer, and the instant that it has promised through."""

    def __init__(self, root: Path, hand: HandClock) -> None:
        self.writer = Writer.open(
            root, segment_bytes=20_000, segment_age_s=10, clock=SteadyClock(hand.read)
        )
        self.promised = hand.now


class Histories(RuleBasedStateMachine):
    """The rules; ``worker`` is the index of the collector that acts."""

    def __init__(self) -> None:
        super().__init__()
        self._root = Path(tempfile.mkdtemp(prefix="spool-histories-"))
        self._hand = HandClock()
        self._workers = [Worker(self._root, self._hand) for _ in range(WORKERS)]
        self._spools = Spools(self._root)
        self._receipts = Receipts(self._root / "receipts.db")
        self._next = 0
        self._acknowledged: list[int] = []
        # What a lake would hold: clicks, and through which batch of each spool.
        self._loaded: dict[str, int] = {}
        self._lake: list[int] = []
        self._complete_through: Micros = 0

    @rule(
        worker=st.integers(0, WORKERS - 1),
        size=st.sampled_from([1, 2, 30]),
        age=st.integers(0, 3 * SECOND),
    )
    def append(self, worker: int, size: int, age: int) -> None:
        self._append(self._workers[worker], size, age)

    def _append(self, worker: Worker, size: int, age: int) -> None:
        received = max(worker.promised, self._hand.now - age)
        numbers = list(range(self._next, self._next + size))
        self._next += size
        with suppress(SpoolUnavailableError):
            worker.writer.append([click(number, received) for number in numbers], self._hand.now)
            self._acknowledged += numbers
        worker.promised = self._hand.now

    @rule(worker=st.integers(0, WORKERS - 1))
    def mark(self, worker: int) -> None:
        with suppress(SpoolUnavailableError):
            self._workers[worker].writer.mark(self._hand.now)
            self._workers[worker].promised = self._hand.now

    @rule(by=st.integers(1, 12 * SECOND))
    def time_passes(self, by: int) -> None:
        self._hand.now += by

    @rule(worker=st.integers(0, WORKERS - 1), full=st.booleans(), size=st.sampled_from([1, 30]))
    def a_commit_fails(self, worker: int, size: int, *, full: bool) -> None:
        """The disk is full, or its answer to the last commit could not be believed."""
        spool = self._workers[worker].writer._spool
        assert spool is not None
        if full:
            segment = spool._segment._connection
            segment.execute("PRAGMA max_page_count = 1")
            self._append(self._workers[worker], size, 0)
            segment.execute("PRAGMA max_page_count = 1000000")
        else:
            spool._sound = False
            self._append(self._workers[worker], size, 0)

    @rule(worker=st.integers(0, WORKERS - 1))
    def a_worker_restarts(self, worker: int) -> None:
        self._workers[worker].writer.close()
        self._workers[worker] = Worker(self._root, self._hand)

    @rule(limit=st.sampled_from([1, 40, 10_000]), releases=st.booleans())
    def load(self, limit: int, *, releases: bool) -> None:
        marks = [self._hand.now]
        for source in self._spools.list():
            chunk = source.read(self._loaded.get(source.id, 0), limit)
            assert chunk.corrupted == ()
            last = self._loaded.get(source.id, 0)
            for batch in chunk.batches:
                assert batch.sequence > last
                last = batch.sequence
                assert batch.first_received >= self._complete_through, "it was called complete"
                found = spool_format.decode_clicks(batch.payload)
                self._lake += [int(one.click_id) for one in found]
            assert chunk.last_sequence == last
            self._loaded[source.id] = last
            marks.append(chunk.low_water)
            if releases:
                source.release(last, self._receipts, now=self._hand.now)
        self._complete_through = max(self._complete_through, min(marks))

    @rule(through=st.integers(0, 3))
    def release_less_than_was_loaded(self, through: int) -> None:
        for source in self._spools.list():
            loaded = self._loaded.get(source.id, 0)
            source.release(max(0, loaded - through), self._receipts, now=self._hand.now)

    @rule()
    def the_loader_restarts(self) -> None:
        self._spools.close()
        self._spools = Spools(self._root)

    @precondition(lambda self: self._lake)
    @invariant()
    def nothing_comes_twice(self) -> None:
        assert len(self._lake) == len(set(self._lake))

    def teardown(self) -> None:
        try:
            for worker in self._workers:
                worker.writer.close()
            for _ in range(3):
                self.load(limit=10**9, releases=True)
            assert sorted(self._lake) == self._acknowledged
            assert layout.spool_folders(self._root) == []
            assert sum(one.clicks for one in self._receipts.iterate()) == len(self._lake)
        finally:
            self._spools.close()
            self._receipts.close()
            shutil.rmtree(self._root)


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=8,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
