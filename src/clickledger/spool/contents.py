"""What a spool holds, in order, damage included: reads only, takes no lock, changes nothing."""

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from clickledger.errors import CorruptedError
from clickledger.spool import format as spool_format
from clickledger.spool import layout
from clickledger.spool.model import Batch, SetAside
from clickledger.spool.salvage import (
    NO_BOUND,
    Bad,
    Bounds,
    Found,
    Lost,
    Progress,
    Salvage,
    examine,
    open_image,
)
from clickledger.spool.segment import Row, SegmentReader

#: A mark is replaced in place: a read that falls between the old and the new is repeated.
_MARK_TRIES = 20
#: How many failed commits in a row are believed to lie between two batches.
_PLAUSIBLE = 64


@dataclass(frozen=True, slots=True)
class _Start:
    """How a segment begins."""

    #: Number of its first batch; 0: it cannot be read.
    first: int
    #: The last batch acknowledged before that one; None: it cannot be read.
    previous: int | None


class Contents:
    """The batches of one spool.

    ``settled`` says that the spool's process has ended, so that no file changes any more.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool_id = folder.name
        self.codec = spool_format.Codec(folder.name)
        #: Segments that gave back less than was written to them, and why.
        self.damaged: dict[int, str] = {}
        #: Whether the last pass stopped before damage in the segment that is being written:
        #: what can be saved of it shows when it is complete.
        self.blocked = False
        self._open: dict[int, SegmentReader] = {}
        # How each begun segment begins, and those that will stay empty: neither changes.
        self._starts: dict[int, _Start] = {}
        self._empty: set[int] = set()
        # Where the last segment of an ended process was found to end, past any damage.
        self._ends: dict[int, int] = {}

    def close(self) -> None:
        """Let go of all files."""
        for number in list(self._open):
            self._open.pop(number).close()

    def forget(self, number: int) -> None:
        """Let go of one segment that is about to be removed."""
        if reader := self._open.pop(number, None):
            reader.close()
        self._starts.pop(number, None)

    def mark(self) -> spool_format.Mark | None:
        """Read the mark; None when there is none to be believed."""
        path = self.folder / layout.MARK
        for _ in range(_MARK_TRIES):
            try:
                raw = path.read_bytes()
            except OSError:
                return None
            if mark := self.codec.read_mark(raw):
                return mark
        return None

    def begun(self, *, settled: bool) -> list[int]:
        """List the segments through the last one that holds a batch.

        All but the last are complete: their writer has gone on. FileNotFoundError when the spool
        is gone.
        """
        numbers = layout.segment_numbers(self.folder)
        for number, reader in list(self._open.items()):
            if number not in numbers or not reader.follows:
                self._open.pop(number).close()
        while numbers and not self._has_batch(numbers[-1], settled=settled):
            numbers.pop()
        return numbers

    def entries(self, after: int, *, settled: bool) -> Generator[Batch | SetAside]:
        """Yield what follows number ``after``: each batch checked, or why it cannot be believed.

        FileNotFoundError when the spool is being removed by another process.
        """
        self.blocked = False
        mark = self.mark()  # before the rows: what it promises is in them
        numbers = self.begun(settled=settled)
        last = after
        for index, number in enumerate(numbers):
            bounds = self._bounds(numbers, index, mark)
            if number in self._empty or (bounds.exact and bounds.at_most <= last):
                continue
            for passed in [open_ for open_ in self._open if open_ < number]:
                self._open.pop(passed).close()
            complete = settled or index < len(numbers) - 1
            for entry in self._of_segment(number, last, bounds, complete=complete):
                yield entry
                last = max(last, entry.sequence)
        if settled and mark and mark.last_sequence > last:
            yield self._missing(last, mark.last_sequence)

    def headers(self, *, settled: bool, only: int | None = None) -> Iterator[spool_format.Header]:
        """Yield the headers of the batches, payloads unchecked; of one segment, or of all."""
        numbers = self.begun(settled=settled)
        mark = self.mark()
        for index, number in enumerate(numbers):
            if only not in (None, number):
                continue
            bounds = self._bounds(numbers, index, mark)
            last = self._before(numbers, index)
            complete = settled or index < len(numbers) - 1
            for found in self._found(number, last, bounds, complete=complete, payloads=False):
                if isinstance(found, Found) and found.header.sequence > last:
                    last = found.header.sequence
                    yield found.header

    def released_through(self, *, settled: bool) -> int:
        """Tell the number before the first batch that is still here."""
        numbers = self.begun(settled=settled)
        start = next((start for number in numbers if (start := self._start(number))), _Start(1, 0))
        return max(start.first - 1, 0) if start.previous is None else start.previous

    def done(self, number: int, through: int, *, settled: bool) -> bool:
        """Tell whether a complete segment holds nothing behind number ``through``.

        FileNotFoundError when another process has removed it.
        """
        numbers = self.begun(settled=settled)
        if number not in numbers:
            raise FileNotFoundError(layout.segment_path(self.folder, number))
        bounds = self._bounds(numbers, numbers.index(number), self.mark())
        if bounds.exact or through < bounds.at_least:
            return bounds.at_most <= through
        with closing(self._of_segment(number, through, bounds, complete=True)) as behind:
            return next(behind, None) is None

    def _of_segment(
        self, number: int, after: int, bounds: Bounds, *, complete: bool
    ) -> Generator[Batch | SetAside]:
        last = after
        # Rows whose header does not hold wait for the next that does: it says what number the last
        # of them has at most. A row's key may be damaged too, and must not push the count ahead.
        bad: list[Bad] = []
        for found in self._found(number, after, bounds, complete=complete):
            if isinstance(found, Bad):
                if found not in bad:
                    bad.append(found)
                continue
            before = found.through - 1 if isinstance(found, Lost) else found.header.previous
            for aside in self._bad(bad, last, before) if bad else ():
                last = aside.sequence
                yield aside
            bad.clear()
            for entry in self._next(number, found, last):
                last = entry.sequence
                yield entry
        limit = bounds.at_least if bounds.at_most == NO_BOUND else bounds.at_most
        if complete and limit <= last and bounds.at_most == NO_BOUND:
            # The mark is old, as after a power cut. A key far ahead is damage and no number.
            limit = max(
                (one.row.sequence for one in bad if last < one.row.sequence <= last + _PLAUSIBLE),
                default=limit,
            )
        yield from self._bad(bad, last, limit)

    def _next(self, number: int, found: Found | Lost, last: int) -> Iterator[Batch | SetAside]:
        if isinstance(found, Lost):
            through = found.through
            if not through and not self._is_kept(number):
                through = last + 1  # nobody knows how many there were
            if through > last:
                yield self._set_aside(through, "unreadable", found.detail)
        elif found.header.sequence > last:
            if found.header.previous > last:
                for again in self._looked_for(number, last, found.header.previous):
                    last = again.sequence
                    yield again
            if found.header.previous > last:
                yield self._missing(last, found.header.previous)
            yield self._opened(found.row, found.header)

    def _is_kept(self, number: int) -> bool:
        """Tell whether a damaged segment was reported before."""
        kept = layout.set_aside_folder(self.folder.parent, self.spool_id, number)
        return (kept / layout.REASON).exists()

    def _looked_for(self, number: int, after: int, through: int) -> Iterator[Batch | SetAside]:
        """Look for batches that a search by key did not find: some key on its way is damaged."""
        with suppress(sqlite3.Error):
            for row in self._reader(number).rows(0):
                found = examine(row, self.codec)
                if isinstance(found, Found) and after < found.header.sequence <= through:
                    after = found.header.sequence
                    yield self._opened(found.row, found.header)

    def _opened(self, row: Row, header: spool_format.Header) -> Batch | SetAside:
        try:
            return self.codec.open(header, row.header, row.payload)
        except CorruptedError as error:
            raw = row.header + row.payload
            return self._set_aside(header.sequence, "bad_checksum", str(error), raw, header)

    def _bad(self, bad: Sequence[Bad], last: int, limit: int) -> Iterator[SetAside]:
        """Number rows that do not say their number; those at most ``last`` were dealt with."""
        for index, found in enumerate(bad):
            behind = len(bad) - 1 - index
            last = max(last + 1, min(found.row.sequence, limit - behind))
            if last > limit:
                return
            raw = found.row.header + found.row.payload
            yield self._set_aside(last, "bad_header", found.fault, raw)

    def _found(
        self, number: int, after: int, bounds: Bounds, *, complete: bool, payloads: bool = True
    ) -> Iterator[Found | Bad | Lost]:
        """Yield the rows of one segment behind ``after``, and the places where some are lost."""
        progress = Progress(after)
        fault = ""
        try:
            for row in self._reader(number).rows(after, payloads=payloads):
                found = examine(row, self.codec)
                if isinstance(found, Found) and found.header.sequence > bounds.at_most:
                    break
                progress.note(found, bounds)
                yield found
        except (sqlite3.Error, CorruptedError) as error:
            fault = str(error) or type(error).__name__
        whole = not fault and progress.reached >= bounds.at_least
        if not complete:
            self.blocked = not whole
            return
        if whole and (bounds.exact or self._ends.get(number) == progress.last):
            return
        path = layout.segment_path(self.folder, number)
        salvage = Salvage(path, number, self.codec, bounds, fault)
        before = progress.last
        more = False
        for saved in salvage.found(progress):
            more = True
            yield saved
        if salvage.damage:
            self.damaged[number] = salvage.damage
        elif not more:
            self._ends[number] = before

    def _before(self, numbers: list[int], index: int) -> int:
        """Tell a number that every batch of this segment exceeds."""
        starts = map(self._start, reversed(numbers[: index + 1]))
        return next((start.first for start in starts if start and start.first), 1) - 1

    def _bounds(self, numbers: list[int], index: int, mark: spool_format.Mark | None) -> Bounds:
        later = (start for number in numbers[index + 1 :] if (start := self._start(number)))
        start = next(later, None)
        if start is None:
            return Bounds(mark.last_sequence if mark else 0, NO_BOUND)
        if start.previous is not None:
            return Bounds(start.previous, start.previous)
        # The next segment does not tell, for it is damaged itself: those after it tell less.
        known = (start, *later) if not start.first else (start,)
        return Bounds(0, next((one.first - 1 for one in known if one.first), NO_BOUND))

    def _start(self, number: int) -> "_Start | None":
        """Tell how a begun segment begins; None: it is empty, its first commit failed."""
        if number in self._empty:
            return None
        if number not in self._starts:
            try:
                row = self._reader(number).first() or self._first_of_image(number)
                if row is None:
                    self._empty.add(number)
                    return None
            except (sqlite3.Error, CorruptedError):
                return _Start(0, None)
            found = examine(row, self.codec)
            if isinstance(found, Bad):
                return _Start(0, None)
            self._starts[number] = _Start(found.header.sequence, found.header.previous)
        return self._starts[number]

    def _has_batch(self, number: int, *, settled: bool) -> bool:
        """Tell whether a segment that may be the last one is begun."""
        if settled:
            return self._start(number) is not None
        if number in self._starts:
            return True
        try:
            return self._reader(number).first() is not None
        except (sqlite3.Error, CorruptedError):
            return True  # it may be: it must not be passed over

    def _first_of_image(self, number: int) -> Row | None:
        """Read the first row of a segment whose log may be damaged from its beginning."""
        path = layout.segment_path(self.folder, number)
        with closing(open_image(path, self.codec, number, torn_end=False)) as image:
            return image.first()

    def _reader(self, number: int) -> SegmentReader:
        reader = self._open.get(number)
        if reader is None:
            path = layout.segment_path(self.folder, number)
            reader = SegmentReader.open(path, self.spool_id, number)
            self._open[number] = reader
        return reader

    def _set_aside(
        self,
        sequence: int,
        reason: str,
        detail: str,
        raw: bytes = b"",
        header: spool_format.Header | None = None,
    ) -> SetAside:
        return SetAside(
            spool_id=self.spool_id,
            sequence=sequence,
            clicks=header.clicks if header else 0,
            reason=reason,
            detail=detail,
            first_received=header.first_received if header else None,
            raw=raw,
        )

    def _missing(self, last: int, through: int) -> SetAside:
        detail = f"batch {through} was acknowledged and is gone, as may be others after {last}"
        return self._set_aside(through, "missing", detail)
