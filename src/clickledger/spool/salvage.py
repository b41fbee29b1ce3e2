"""What one segment gives back, past damage."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from clickledger.errors import CorruptedError
from clickledger.spool import layout, wal
from clickledger.spool.format import Codec, Header
from clickledger.spool.segment import Row, SegmentReader

NO_BOUND = 2**63 - 1
#: An empty batch takes 120 bytes of a page.
_MOST_ROWS_A_PAGE = 70


@dataclass(frozen=True, slots=True)
class Bounds:
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
class Found:
    """A row whose header holds: it says the row's number, whatever the row's key became."""

    row: Row
    header: Header


@dataclass(frozen=True, slots=True)
class Bad:
    """A row whose header does not hold."""

    row: Row
    fault: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Batches that the file does not give back."""

    #: The last of them; 0: nobody knows.
    through: int
    detail: str


def examine(row: Row, codec: Codec) -> Found | Bad:
    """Check the header of a row."""
    try:
        return Found(row, codec.read_header(row.header))
    except CorruptedError as error:
        return Bad(row, str(error))


class Progress:
    """How far a pass over a segment has come."""

    __slots__ = ("last", "reached")

    def __init__(self, after: int) -> None:
        #: The last batch whose header holds.
        self.last = after
        #: The last batch that was accounted for, whole or not.
        self.reached = after

    def note(self, found: Found | Bad | Lost, bounds: Bounds) -> None:
        """Go on past ``found``."""
        if isinstance(found, Found):
            self.last = max(self.last, found.header.sequence)
            self.reached = max(self.reached, self.last)
        elif isinstance(found, Lost):
            self.reached = max(self.reached, found.through)
        elif self.reached < found.row.sequence <= bounds.at_least:
            self.reached = found.row.sequence


class Salvage:
    """Reads a complete segment behind the place where SQLite stops.

    It stops at damage, and at a torn end, which is none; and a reader that looked on while the
    writer died may stop before its last commit. What the log still holds behind that place is told
    by laying its pages together without its own checksums.
    """

    def __init__(self, path: Path, number: int, codec: Codec, bounds: Bounds, fault: str) -> None:
        self._path = path
        self._number = number
        self._codec = codec
        self._bounds = bounds
        self._fault = fault
        #: Why the segment gave back less than was written to it; empty when it did not.
        self.damage = ""

    def found(self, progress: Progress) -> Iterator[Found | Bad | Lost]:
        """Yield what comes behind ``progress``, and take it on."""
        # A last commit that does not hold was promised to nobody, unless the bounds say it was.
        # Then nothing is left out, and nothing searched by key: a damaged key leads astray.
        for torn_end in (False, True):
            try:
                image = open_image(self._path, self._codec, self._number, torn_end=torn_end)
            except (sqlite3.Error, CorruptedError) as error:
                self.damage = f"nothing can be read: {self._fault or error}"
                # The bound above is the better name when the one below says nothing.
                above = 0 if self._bounds.at_most == NO_BOUND else self._bounds.at_most
                lost = Lost(
                    self._bounds.at_least or above, f"segment {self._number}: {self.damage}"
                )
                progress.note(lost, self._bounds)
                yield lost
                return
            with closing(image):
                for found in self._rows(image, 0 if torn_end else progress.last):
                    progress.note(found, self._bounds)
                    yield found
            if progress.reached >= self._bounds.at_least:
                return
        self.damage = self.damage or self._fault or f"it ends at batch {progress.reached}"

    def _rows(self, image: SegmentReader, after: int) -> Iterator[Found | Bad | Lost]:
        last = after  # what came before is passed over by the caller
        try:
            for row in image.rows(after):
                found = examine(row, self._codec)
                if isinstance(found, Found):
                    if found.header.sequence > self._bounds.at_most:
                        return
                    last = max(last, found.header.sequence)
                yield found
        except sqlite3.Error as error:
            # Some page cannot be read. Its neighbours can: ask for each batch by its number.
            self.damage = str(error)
            yield from self._one_by_one(image, last)

    def _one_by_one(self, image: SegmentReader, last: int) -> Iterator[Found | Bad | Lost]:
        bounds = self._bounds
        span = image.page_count() * _MOST_ROWS_A_PAGE
        known = bounds.at_least
        with suppress(sqlite3.Error):  # the last page itself may be damaged
            known = min(bounds.at_most, max(known, min(image.last_sequence(), last + span)))
        high = max(known, min(bounds.at_most, last + span))
        lost: list[int] = []
        for sequence in range(max(last, known - span) + 1, high + 1):
            try:
                row = image.row(sequence)
            except sqlite3.Error:
                lost.append(sequence)
                continue
            if row is not None:
                if lost:
                    yield self._lost(lost)
                    lost = []
                yield examine(row, self._codec)
        if lost:
            # Behind the last batch that is known, every number leads to the same damaged page.
            yield self._lost([sequence for sequence in lost if sequence <= known])

    def _lost(self, sequences: list[int]) -> Lost:
        if not sequences:
            return Lost(0, f"segment {self._number}: its end: {self.damage}")
        first, through = sequences[0], sequences[-1]
        which = f"batch {through}" if first == through else f"batches {first} to {through}"
        return Lost(through, f"segment {self._number}: {which}: {self.damage}")


def open_image(path: Path, codec: Codec, number: int, *, torn_end: bool) -> SegmentReader:
    """Open a segment as its log says it is, without the log's own checksums.

    Raises:
        CorruptedError, sqlite3.Error: it is no segment, or not this one.
    """
    log = layout.companions(path)[0]
    logged = log.read_bytes() if log.exists() else b""
    pages = wal.image(path.read_bytes(), logged, torn_end=torn_end)
    if pages is None:
        raise CorruptedError("the file is not a database")
    return SegmentReader.of_image(pages, codec.spool_id, number)
