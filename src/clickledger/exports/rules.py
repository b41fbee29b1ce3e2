"""Pure rules of an export: its columns, how a day is cut into slices, what it has to warn of."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import attrgetter

from clickledger.clock import MINUTE, SECOND, Micros, to_datetime
from clickledger.errors import InvalidInputError
from clickledger.exports.model import Column, Slice
from clickledger.lake import unique
from clickledger.programs import days

#: A stretch with too many clicks for one slice is counted again in steps of these lengths.
#: One microsecond is never cut, however many clicks it holds.
STEPS: tuple[Micros, ...] = (MINUTE, SECOND, 1000, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The program's clicks of one file in one stretch of time."""

    #: Position in the plan's files.
    file: int
    #: Where the stretch begins.
    start: Micros
    #: All the program's clicks: what finding repeats has to look at.
    rows: int
    #: Those of the ads and partners asked for.
    wanted: int
    #: Those of ``wanted`` that the stored ``unique_click`` lets through.
    kept: int
    #: Earliest and latest event time.
    first: Micros
    last: Micros


#: Counts ``[start, end)`` in stretches of ``step``, the last one shorter; only those with clicks.
Counter = Callable[[Micros, Micros, Micros], Sequence[Count]]


def resolve_columns(
    names: Iterable[str], standard: Iterable[Column], extra: Iterable[Column]
) -> tuple[Column, ...]:
    """Return the standard columns, then the extra ones that are named, in the caller's order.

    Raises:
        InvalidInputError: there is no such extra column.
    """
    known = {column.name: column for column in extra}
    added: dict[str, Column] = {}
    for name in names:
        if name not in known:
            raise InvalidInputError.of(
                "Columns", f"{name!r} is no extra column; there are {', '.join(known)}"
            )
        added[name] = known[name]
    return (*standard, *added.values())


def warnings(
    bounds: days.DayBounds, complete_through: Micros | None, replaces: int | None
) -> tuple[str, ...]:
    """Say what a reader of the file has to know of its completeness."""
    found = []
    if complete_through is None:
        found.append("How far the lake was complete is not known; Replay brings what is missing.")
    elif complete_through < bounds.end:
        through = to_datetime(complete_through).strftime("%Y-%m-%dT%H:%M:%SZ")
        found.append(f"The day was still open: complete through {through}; Replay brings the rest.")
    if replaces is not None:
        found.append(
            f"Lake version {replaces}, which was read first, was removed meanwhile; "
            "everything was written again from a newer one."
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Counts of all files for one stretch of time, and how its clicks can be read."""

    start: Micros
    end: Micros
    counts: tuple[Count, ...]
    #: In the order of the export, and ``unique_click`` is stored and true to date.
    direct: bool

    @property
    def weight(self) -> int:
        """Clicks to hold or to look at, whichever is more."""
        return sum(one.wanted if self.direct else one.rows for one in self.counts)

    @property
    def rows(self) -> int:
        return sum(one.kept if self.direct else one.wanted for one in self.counts)


class Cutter:
    """Cuts a day into slices: one offset each, at most so many clicks, read the cheapest way.

    Only files that closing a day has sorted are believed to be in order and to hold a
    ``unique_click`` that is true to date, and the latter only where no other file has clicks
    within the window before: a late click makes repeats of clicks after it.
    """

    def __init__(
        self,
        count: Counter,
        is_sorted: Sequence[bool],
        *,
        slice_rows: int,
        sort_rows: int,
    ) -> None:
        """``slice_rows``: clicks of a slice; ``sort_rows``: of one that must be sorted."""
        self._count = count
        self._sorted = is_sorted
        self._limits = {True: slice_rows, False: sort_rows}

    def cut(self, bounds: days.DayBounds) -> list[Slice]:
        """Cut the day; together the slices hold each click that is asked for once."""
        earlier = self._count(bounds.start - unique.WINDOW, bounds.start, STEPS[0])
        spans = [(span, self._count(span.start, span.end, STEPS[0])) for span in bounds.spans]
        day = _Day([*earlier, *(one for _, counts in spans for one in counts)], self._sorted)
        slices = [
            _slice(day, group, span.offset_seconds)
            for span, counts in spans
            for group in self._groups(self._stretches(day, span.end, counts, 0))
        ]
        return [piece for piece in slices if piece.rows]

    def _stretches(
        self, day: "_Day", end: Micros, counts: Sequence[Count], depth: int
    ) -> Iterator[_Stretch]:
        """Describe each stretch, cutting finer where there are too many clicks for a slice."""
        step = STEPS[depth]
        ordering = sorted(counts, key=attrgetter("start", "first"))
        for begin, group in groupby(ordering, key=attrgetter("start")):
            stretch = day.stretch(begin, min(begin + step, end), tuple(group))
            if stretch.weight > self._limits[stretch.direct] and depth + 1 < len(STEPS):
                finer = self._count(stretch.start, stretch.end, STEPS[depth + 1])
                yield from self._stretches(day, stretch.end, finer, depth + 1)
            elif any(one.wanted for one in stretch.counts):
                yield stretch

    def _groups(self, stretches: Iterable[_Stretch]) -> Iterator[list[_Stretch]]:
        """Join stretches that are read in the same way, as far as a slice holds them."""
        group: list[_Stretch] = []
        weight = 0
        for one in stretches:
            fits = weight + one.weight <= self._limits[one.direct]
            if group and not (fits and one.direct == group[0].direct):
                yield group
                group, weight = [], 0
            group.append(one)
            weight += one.weight
        if group:
            yield group


@dataclass(slots=True)
class _Day:
    """What is known of the day's files: when each has clicks of the program."""

    counts: list[Count]
    is_sorted: Sequence[bool]
    #: Earliest and latest click of each file.
    extents: dict[int, tuple[Micros, Micros]] = field(init=False)
    #: Sorted files never overlap each other (they may touch).
    in_turn: bool = field(init=False)
    #: Latest click of unsorted files in each counted stretch, and where that stretch begins.
    unsorted: list[Count] = field(init=False)

    def __post_init__(self) -> None:
        self.counts.sort(key=attrgetter("start"))
        self.extents = {}
        for one in self.counts:
            first, last = self.extents.get(one.file, (one.first, one.last))
            self.extents[one.file] = (min(first, one.first), max(last, one.last))
        believed = sorted(extent for file, extent in self.extents.items() if self.is_sorted[file])
        self.in_turn = all(before[1] <= after[0] for before, after in pairwise(believed))
        self.unsorted = [one for one in self.counts if not self.is_sorted[one.file]]

    def stretch(self, start: Micros, end: Micros, counts: tuple[Count, ...]) -> _Stretch:
        """Describe one stretch; ``counts`` are by time of their first click."""
        ordered = (
            self.in_turn
            and all(self.is_sorted[one.file] for one in counts)
            and all(before.last < after.first for before, after in pairwise(counts))
        )
        return _Stretch(start, end, counts, ordered and not self._disturbed(start, end))

    def files_between(self, start: Micros, end: Micros) -> tuple[int, ...]:
        """Name the files with clicks in ``[start, end)``, and perhaps a minute around it."""
        low = bisect_left(self.counts, start - STEPS[0], key=attrgetter("start"))
        high = bisect_left(self.counts, end, key=attrgetter("start"))
        return self.in_time_order({one.file for one in self.counts[low:high]})

    def in_time_order(self, files: Collection[int]) -> tuple[int, ...]:
        """Order files by their first click."""
        return tuple(sorted(files, key=lambda file: (self.extents[file], file)))

    def _disturbed(self, start: Micros, end: Micros) -> bool:
        """Tell whether an unsorted file has clicks here or within the window before."""
        low = bisect_left(self.unsorted, start - unique.WINDOW - STEPS[0], key=attrgetter("start"))
        high = bisect_left(self.unsorted, end, key=attrgetter("start"))
        return any(
            one.last > start - unique.WINDOW and one.first < end for one in self.unsorted[low:high]
        )


def _slice(day: _Day, group: Sequence[_Stretch], offset_seconds: int) -> Slice:
    """Make one slice of stretches that follow each other, between them nothing asked for."""
    start, end, direct = group[0].start, group[-1].end, group[0].direct
    return Slice(
        start=start,
        end=end,
        offset_seconds=days.printed_offset(offset_seconds),
        files=day.in_time_order({one.file for stretch in group for one in stretch.counts}),
        direct=direct,
        unique_files=() if direct else day.files_between(start - unique.WINDOW, end),
        rows=sum(stretch.rows for stretch in group),
    )
