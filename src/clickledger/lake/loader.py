"""The loader: spool → lake, every click exactly once, whatever is killed in between.

Order of one load, all under the lease: dead letters are committed (to their own table, with their
own transaction version), then clicks, then the spool is released, then the mark is published. Each
step may be repeated: a transaction version says through which batch of each spool a table holds
everything, and it is compared before every commit.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from clickledger.clock import SECOND, Micros, wall_clock
from clickledger.enrich.model import Context, Names
from clickledger.errors import UnavailableError
from clickledger.lake import letters, watermark
from clickledger.lake.intake import Intake
from clickledger.lake.lease import Lease
from clickledger.lake.letters import DeadLetters, Identity, Letter
from clickledger.lake.store import Lake
from clickledger.lake.table import CommitConflictError, DataFile
from clickledger.metrics import Metrics
from clickledger.spool.model import NOTHING_FOLLOWS, Chunk
from clickledger.spool.reader import Source, Spools
from clickledger.spool.receipts import Receipts

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

#: Other writers (another engine on the same table) may be first this often in one load.
_CONFLICTS = 10
#: A live spool moves its mark once a second.
_BEHIND = 5 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What one load did."""

    #: Version of ``clicks`` after it.
    version: int
    clicks: int
    dead_letters: int
    #: Whether nothing was left to load in any spool that could be read.
    exhausted: bool
    #: The published mark; None: none yet.
    complete_through: Micros | None
    #: What keeps the mark behind, for people; empty: nothing does.
    held_by: str = ""
    #: What did not work for single spools; the others were loaded.
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class _Read:
    """One spool in one load."""

    source: Source
    #: Loaded before.
    after: int
    chunk: Chunk

    @property
    def advanced(self) -> bool:
        return self.chunk.last_sequence > self.after


class Loader:
    """Moves clicks from the spools to the lake; for one thread."""

    def __init__(
        self,
        *,
        lake: Lake,
        spools: Spools,
        receipts: Receipts,
        lease: Lease,
        mark: Path,
        names: Callable[[], Names],
        visitor_key: bytes,
        batch_clicks: int,
        metrics: Metrics,
        clock: Callable[[], Micros] = wall_clock,
    ) -> None:
        self._spools = spools
        self._receipts = receipts
        self._lease = lease
        self._mark = mark
        self._names = names
        self._visitor_key = visitor_key
        self._batch_clicks = batch_clicks
        self._metrics = metrics
        self._clock = clock
        self._clicks = lake.clicks()
        self._dead = DeadLetters(lake.dead_letters())
        #: Letters of spools that needed a closer look.
        self._known: dict[str, set[Identity]] = {}

    def load_once(self) -> LoadReport:
        """Load what the spools hold now, up to one commit's worth.

        Raises:
            UnavailableError: nothing could be loaded; what was committed stays, the rest is kept.
        """
        started = time.perf_counter()
        with self._lease.held():
            report = self._load()
        self._metrics.loaded_clicks.inc(report.clicks)
        if report.complete_through is not None:
            self._metrics.complete_through.set(report.complete_through / 1e6)
        if report.clicks:
            self._metrics.load_seconds.observe(time.perf_counter() - started)
        return report

    def waiting(self) -> int:
        """Count the clicks in the spools behind what is loaded; reads the batches' headers."""
        self._clicks.refresh()
        return sum(source.waiting(self._clicks.loaded(source.id)) for source in self._spools.list())

    def _load(self) -> LoadReport:
        # Before the spools are listed: a spool that is not listed takes only later clicks.
        now = self._clock()
        self._clicks.refresh()
        self._dead.refresh()
        sources = self._spools.list()
        reads, problems = self._read(sources)
        complete = len(reads) == len(sources)
        intake = self._decode(reads)
        context = Context(names=self._names(), visitor_key=self._visitor_key)
        files = intake.prepare(self._clicks, context)
        dead = self._bury(intake.letters, reads, now)
        version = self._commit(files, reads)
        self._metrics.mark_holders.set(sum(map(_holds_back, reads)))
        lowest = min([now, *(read.chunk.low_water for read in reads)])
        held_by = "; ".join(problems) or _held_by(reads, now)
        problems += self._release(reads, now)
        # A spool that could not be read holds the mark where it is.
        mark = (
            watermark.publish(self._mark, lowest, now=now)
            if complete
            else watermark.read(self._mark)
        )
        exhausted = complete and all(read.chunk.exhausted for read in reads)
        return LoadReport(
            version=version,
            clicks=sum(file.rows for file in files),
            dead_letters=dead,
            exhausted=exhausted,
            complete_through=mark,
            held_by=held_by,
            problems=tuple(problems),
        )

    def _read(self, sources: Sequence[Source]) -> tuple[list[_Read], list[str]]:
        share = max(1, self._batch_clicks // max(1, len(sources)))
        reads: list[_Read] = []
        problems: list[str] = []
        for source in sources:
            after = self._clicks.loaded(source.id)
            try:
                reads.append(_Read(source, after, source.read(after, share)))
            except UnavailableError as error:
                problems.append(str(error))
        return reads, problems

    def _decode(self, reads: Sequence[_Read]) -> Intake:
        intake = Intake()
        for read in reads:
            buried: set[tuple[int, int]] = set()
            if self._dead.loaded(read.source.id) > read.after:
                # A load got no further than its dead letters: their clicks must not appear as well.
                buried = {key[:2] for key in self._dead.known(read.source.id)}
            for batch in read.chunk.batches:
                intake.add(batch, buried)
            intake.letters += map(letters.set_aside, read.chunk.corrupted)
        return intake

    def _bury(self, dead: Sequence[Letter], reads: Sequence[_Read], now: Micros) -> int:
        """Commit those dead letters that are not in the table yet; return how many clicks."""
        new = [letter for letter in dead if self._is_new(letter)]
        if not new:
            return 0
        spools = {letter.spool_id for letter in new}
        through = {
            read.source.id: max(read.chunk.last_sequence, self._dead.loaded(read.source.id))
            for read in reads
            if read.source.id in spools
        }
        counts = self._again(lambda: self._dead.record(new, through, now), self._dead.refresh)
        for letter in new:
            if letter.spool_id in self._known:
                self._known[letter.spool_id].add(letter.identity)
        for reason, clicks in counts.items():
            self._metrics.dead_letters.labels(reason).inc(clicks)
            _log.warning("dead_letters", reason=reason, clicks=clicks, spools=sorted(spools))
        return counts.total()

    def _is_new(self, letter: Letter) -> bool:
        if letter.of_click and letter.sequence > self._dead.loaded(letter.spool_id):
            return True
        # A load is repeated, or a batch has no readable number to compare: compare the letters.
        if letter.spool_id not in self._known:
            self._known[letter.spool_id] = self._dead.known(letter.spool_id)
        return letter.identity not in self._known[letter.spool_id]

    def _commit(self, files: Sequence[DataFile], reads: Sequence[_Read]) -> int:
        loaded = {read.source.id: read.chunk.last_sequence for read in reads if read.advanced}
        if not loaded:
            return self._clicks.version

        def commit() -> int:
            if any(self._clicks.loaded(read.source.id) != read.after for read in reads):
                raise UnavailableError("another loader was first, although this one has the lease")
            return self._clicks.commit(files, why="load", loaded=loaded)

        return self._again(commit, self._clicks.refresh)

    def _again(self, commit: Callable[[], _T], refresh: Callable[[], None]) -> _T:
        """Commit; when an engine that knows nothing of the lease was first, reload and compare."""
        for _ in range(_CONFLICTS):
            try:
                return commit()
            except CommitConflictError:
                self._metrics.lake_conflicts.inc()
                refresh()
        raise UnavailableError("other writers keep committing to the lake")

    def _release(self, reads: Sequence[_Read], now: Micros) -> list[str]:
        problems = []
        # What a batch became may stand in the log of both since an attempt that failed to sync it.
        self._dead.settle()
        self._clicks.settle()
        for read in reads:
            if not read.advanced and read.source.owner_alive():
                continue
            try:
                read.source.release(read.chunk.last_sequence, self._receipts, now)
            except UnavailableError as error:
                problems.append(str(error))
        return problems


def _held_by(reads: Sequence[_Read], now: Micros) -> str:
    """Name the spool with the lowest mark, if that is far enough behind to speak of."""
    if not reads:
        return ""
    last = min(reads, key=lambda read: read.chunk.low_water)
    if last.chunk.low_water > now - _BEHIND:
        return ""
    owner = "" if last.source.owner_alive() else ", whose process has ended"
    waits = "has more to load" if last.chunk.batches else "says nothing newer"
    return f"spool {last.source.id}{owner}, {waits}"


def _holds_back(read: _Read) -> bool:
    """Tell whether the mark waits for a spool whose process has ended."""
    return not read.source.owner_alive() and read.chunk.low_water != NOTHING_FOLLOWS
