"""What a spool holds, in order, damage included: reads only, takes no lock, changes nothing."""

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from clickledger.errors import CorruptedError
from clickledger.spool import format as spool_format
from clickledger.spool import layout, wal
from clickledger.spool.model import Batch, SetAside
from clickledger.spool.segment import Row, SegmentReader

#: A mark is replaced in place: a read that falls between the old and the new is repeated.
_MARK_TRIES = 20
_NO_BOUND = 2**63 - 1
#: An empty batch takes 120 bytes of a page.
_MOST_ROWS_A_PAGE = 70


@dataclass(frozen=True, slots=True)
class _Lost:
    """Batches that the file does not give back; ``through`` is the last of them."""

    through: int
    detail: str


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What the rest of the spool says about the end of a segment."""

    #: The last batch acknowledged in it, or before it, has at least this number …
    at_least: int
    #: … and at most this one; what stands behind it was never acknowledged.
    at_most: int

    @property
    def exact(self) -> bool:
        """Whether the last number is known."""
        return self.at_least == self.at_most


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
        mark = self.mark() if settled else None
        numbers = self.begun(settled=settled)
        last = after
        for index, number in enumerate(numbers):
            bounds = self._bounds(numbers, index, mark)
            if number in self._empty or (bounds.exact and bounds.at_most <= last):
                continue
            for passed in [open_ for open_ in self._open if open_ < number]:
                self._open.pop(passed).close()
            complete = settled or index < len(numbers) - 1
            for found in self._found(number, last, bounds, complete=complete):
                if isinstance(found, _Lost):
                    yield self._set_aside(found.through, "unreadable", found.detail)
                    last = max(last, found.through)
                else:
                    yield from self._checked(found, last)
                    last = found.sequence
        if mark and mark.last_sequence > last:
            yield self._missing(last, mark.last_sequence)

    def headers(self, *, settled: bool, only: int | None = None) -> Iterator[spool_format.Header]:
        """Yield the headers of the batches, payloads unchecked; of one segment, or of all."""
        numbers = self.begun(settled=settled)
        mark = self.mark() if settled else None
        for index, number in enumerate(numbers):
            if only not in (None, number):
                continue
            bounds = self._bounds(numbers, index, mark)
            after = self._before(numbers, index)
            complete = settled or index < len(numbers) - 1
            for found in self._found(number, after, bounds, complete=complete, payloads=False):
                if isinstance(found, Row):
                    with suppress(CorruptedError):
                        yield self.codec.read_header(found.sequence, found.header)

    def released_through(self, *, settled: bool) -> int:
        """Tell the number before the first batch that is still here."""
        numbers = self.begun(settled=settled)
        if not numbers:
            return 0
        start = next((start for number in numbers if (start := self._start(number))), _Start(1, 0))
        return max(start.first - 1, 0) if start.previous is None else start.previous

    def last_sequence(self, number: int, *, settled: bool) -> int:
        """Tell a number that no acknowledged batch of this complete segment exceeds.

        FileNotFoundError when another process has removed it.
        """
        numbers = self.begun(settled=settled)
        if number not in numbers:
            raise FileNotFoundError(layout.segment_path(self.folder, number))
        index = numbers.index(number)
        bounds = self._bounds(numbers, index, self.mark())
        if bounds.at_most < _NO_BOUND:
            return bounds.at_most
        after = self._before(numbers, index)
        last = bounds.at_least
        for found in self._found(number, after, bounds, complete=True, payloads=False):
            last = max(last, found.sequence if isinstance(found, Row) else found.through)
        return last

    def _checked(self, row: Row, last: int) -> Iterator[Batch | SetAside]:
        raw = row.header + row.payload
        try:
            header = self.codec.read_header(row.sequence, row.header)
        except CorruptedError as error:
            yield self._set_aside(row.sequence, "bad_header", str(error), raw)
            return
        if header.previous > last:
            yield self._missing(last, header.previous)
        try:
            yield self.codec.open(header, row.header, row.payload)
        except CorruptedError as error:
            yield self._set_aside(row.sequence, "bad_checksum", str(error), raw, header)

    def _found(
        self, number: int, after: int, bounds: _Bounds, *, complete: bool, payloads: bool = True
    ) -> Iterator[Row | _Lost]:
        """Yield the rows of one segment behind ``after``, and the places where some are lost."""
        last = after
        fault = ""
        try:
            for row in self._reader(number).rows(after, payloads=payloads):
                if row.sequence > bounds.at_most:
                    break
                last = row.sequence
                yield row
        except (sqlite3.Error, CorruptedError) as error:
            fault = str(error) or type(error).__name__
        if not complete:
            self.blocked = bool(fault)
            return
        if not fault and (bounds.exact and last >= bounds.at_least):
            return
        if not fault and self._ends.get(number, -1) == last:
            return
        more = 0
        for found in self._salvaged(number, last, bounds, fault):
            more += 1
            yield found
        if not more and number not in self.damaged:
            self._ends[number] = last

    def _salvaged(
        self, number: int, after: int, bounds: _Bounds, fault: str
    ) -> Iterator[Row | _Lost]:
        """Read behind the place where SQLite stops.

        It stops at damage, and at a torn end, which is none; and a reader that looked on while
        the writer died may stop before its last commit. What the log still holds behind that
        place is told by laying its pages together without its own checksums.
        """
        try:
            reader = self._image(number)
        except (sqlite3.Error, CorruptedError) as error:
            self.damaged[number] = f"nothing can be read: {fault or error}"
            # The bound above is the better name when the one below says nothing.
            above = 0 if bounds.at_most == _NO_BOUND else bounds.at_most
            yield _Lost(bounds.at_least or above, f"segment {number}: {self.damaged[number]}")
            return
        try:
            yield from self._salvaged_rows(reader, number, after, bounds, fault)
        finally:
            reader.close()

    def _image(self, number: int) -> SegmentReader:
        path = layout.segment_path(self.folder, number)
        log = layout.companions(path)[0]
        pages = wal.image(path.read_bytes(), log.read_bytes() if log.exists() else b"")
        if pages is None:
            raise CorruptedError("the file is not a database")
        return SegmentReader.of_image(pages, self.spool_id, number)

    def _salvaged_rows(
        self, reader: SegmentReader, number: int, after: int, bounds: _Bounds, fault: str
    ) -> Iterator[Row | _Lost]:
        last = after
        try:
            for row in reader.rows(after):
                if row.sequence > bounds.at_most:
                    return
                last = row.sequence
                yield row
        except sqlite3.Error as error:
            # Some page cannot be read. Its neighbours can: ask for each batch by its number.
            self.damaged[number] = str(error)
            yield from _one_by_one(reader, number, last, bounds, str(error))
        else:
            if last < bounds.at_least:
                self.damaged[number] = fault or f"it ends at batch {last}"

    def _before(self, numbers: list[int], index: int) -> int:
        """Tell a number that every batch of this segment exceeds."""
        starts = map(self._start, reversed(numbers[: index + 1]))
        return next((start.first for start in starts if start and start.first), 1) - 1

    def _bounds(self, numbers: list[int], index: int, mark: spool_format.Mark | None) -> _Bounds:
        later = (start for number in numbers[index + 1 :] if (start := self._start(number)))
        start = next(later, None)
        if start is None:
            return _Bounds(mark.last_sequence if mark else 0, _NO_BOUND)
        if start.previous is not None:
            return _Bounds(start.previous, start.previous)
        # The next segment does not tell, for it is damaged itself: those after it tell less.
        known = (start, *later) if not start.first else (start,)
        return _Bounds(0, next((one.first - 1 for one in known if one.first), _NO_BOUND))

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
            try:
                previous = self.codec.read_header(row.sequence, row.header).previous
            except CorruptedError:
                previous = None
            self._starts[number] = _Start(row.sequence, previous)
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
        with closing(self._image(number)) as image:
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


def _one_by_one(
    reader: SegmentReader, number: int, last: int, bounds: _Bounds, fault: str
) -> Iterator[Row | _Lost]:
    span = reader.page_count() * _MOST_ROWS_A_PAGE
    try:
        known = min(bounds.at_most, max(bounds.at_least, reader.last_sequence()))
    except sqlite3.Error:  # the last page itself is damaged
        known = bounds.at_least
    high = max(known, min(bounds.at_most, last + span))
    lost: list[int] = []
    for sequence in range(max(last, known - span) + 1, high + 1):
        try:
            found = reader.row(sequence)
        except sqlite3.Error:
            lost.append(sequence)
            continue
        if found is not None:
            if lost:
                yield _lost(number, lost, fault)
                lost = []
            yield found
    # Behind the last batch that is known, every number would lead to the same damaged page.
    lost = [sequence for sequence in lost if sequence <= max(known, lost[0])]
    if lost:
        yield _lost(number, lost, fault)


def _lost(number: int, sequences: list[int], fault: str) -> _Lost:
    through = sequences[-1]
    which = f"batch {through}" if len(sequences) == 1 else f"batches {sequences[0]} to {through}"
    return _Lost(through, f"segment {number}: {which}: {fault}")
