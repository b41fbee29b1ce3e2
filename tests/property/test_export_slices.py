"""Slices hold each click of the day once, stay small, and say rightly how they may be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from clickledger.clock import MINUTE, SECOND, to_datetime
from clickledger.exports.rules import Count, Cutter
from clickledger.lake import unique
from clickledger.programs import days

DAYS = [
    ("UTC", date(2026, 5, 1)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2024, 4, 7)),
    ("America/Sao_Paulo", date(2018, 2, 17)),
    ("Pacific/Apia", date(2011, 12, 30)),
    ("Pacific/Apia", date(2011, 12, 31)),
]


@dataclass(frozen=True)
class Click:
    time: int
    file: int
    wanted: bool = True
    kept: bool = True


@dataclass(frozen=True)
class Files:
    """Counts clicks as the lake would."""

    clicks: Sequence[Click]

    def __call__(self, start: int, end: int, step: int) -> list[Count]:
        groups: dict[tuple[int, int], list[Click]] = {}
        for one in self.clicks:
            if start <= one.time < end:
                groups.setdefault((one.file, (one.time - start) // step), []).append(one)
        return [
            Count(
                file=file,
                start=start + number * step,
                rows=len(found),
                wanted=sum(one.wanted for one in found),
                kept=sum(one.wanted and one.kept for one in found),
                first=min(one.time for one in found),
                last=max(one.time for one in found),
            )
            for (file, number), found in groups.items()
        ]


@st.composite
def a_day_of_clicks(
    draw: st.DrawFn,
) -> tuple[days.DayBounds, str, list[Click], list[bool], int]:
    zone, day = draw(st.sampled_from(DAYS))
    bounds = days.day_bounds(day, zone)
    crowded = st.integers(0, 40).map(lambda n: bounds.start + 7 * MINUTE + n)
    dense = st.integers(0, 3 * MINUTE).map(lambda n: bounds.start + n)
    anywhere = st.integers(bounds.start - 40 * MINUTE, max(bounds.end, bounds.start) + MINUTE)
    midnight = st.integers(-35 * MINUTE, 35 * MINUTE).map(lambda n: bounds.start + n)
    clicks = draw(
        st.lists(
            st.builds(
                Click,
                time=st.one_of(crowded, dense, anywhere, midnight),
                file=st.integers(0, 3),
                wanted=st.booleans(),
                kept=st.booleans(),
            ),
            max_size=40,
        )
    )
    is_sorted = draw(st.lists(st.booleans(), min_size=4, max_size=4))
    return bounds, zone, clicks, is_sorted, draw(st.integers(1, 8))


@settings(max_examples=60)
@given(a_day_of_clicks())
@example(
    (
        days.day_bounds(date(2026, 5, 1), "UTC"),
        "UTC",
        [Click(days.day_bounds(date(2026, 5, 1), "UTC").start + 5, file) for file in range(3)],
        [True] * 4,
        2,
    )
)
def test_slices_partition_the_day_and_can_be_believed(
    case: tuple[days.DayBounds, str, list[Click], list[bool], int],
) -> None:
    bounds, zone, clicks, is_sorted, limit = case
    cutter = Cutter(Files(clicks), is_sorted, slice_rows=limit, sort_rows=max(1, limit // 2))
    slices = cutter.cut(bounds)
    today = [one for one in clicks if bounds.start <= one.time < bounds.end]

    # in order, without overlap, within the day
    assert all(one.start < one.end for one in slices)
    assert all(before.end <= after.start for before, after in pairwise(slices))
    assert all(bounds.start <= one.start and one.end <= bounds.end for one in slices)

    read = 0
    rules = days.load_zone(zone)
    for piece in slices:
        inside = [one for one in today if piece.start <= one.time < piece.end]
        wanted = [one for one in inside if one.wanted]
        expected = [one for one in wanted if one.kept] if piece.direct else wanted
        assert piece.rows == len(expected) > 0
        read += len(wanted)

        # the files named hold everything that is to be written
        assert {one.file for one in expected} <= set(piece.files)

        # small, unless a single microsecond is crowded
        most = limit if piece.direct else max(1, limit // 2)
        assert piece.rows <= most or len({one.time for one in expected}) == 1

        # one offset
        for instant in (piece.start, piece.end - 1):
            shown = to_datetime(instant).astimezone(rules).utcoffset()
            assert shown == timedelta(seconds=piece.offset_seconds)

        if piece.direct:
            assert piece.unique_files == ()
            in_turn = [
                one.time
                for file in piece.files
                for one in sorted(expected, key=lambda one: one.time)
                if one.file == file
            ]
            assert in_turn == sorted(in_turn)
            of_time = {one.time: one.file for one in expected}
            assert all(of_time[one.time] == one.file for one in expected)  # no ties across files
            late = [one.time for one in clicks if not is_sorted[one.file]]
            assert not any(
                0 <= one.time - other < unique.WINDOW for one in expected for other in late
            )
        else:
            for one in wanted:
                near = {a.file for a in clicks if 0 <= one.time - a.time < unique.WINDOW}
                assert near <= set(piece.unique_files)

    # nothing is left out but what is known not to be kept
    left_out = sum(one.wanted for one in today) - read
    assert left_out <= sum(one.wanted and not one.kept for one in today)
    kept = {one.time for one in today if one.wanted and one.kept}
    assert all(any(piece.start <= time < piece.end for piece in slices) for time in kept)


@settings(max_examples=40)
@given(st.integers(1, 50), st.integers(0, 10 * SECOND), st.integers(1, 7))
def test_a_crowded_minute_is_cut_as_fine_as_it_takes(count: int, spread: int, limit: int) -> None:
    bounds = days.day_bounds(date(2026, 5, 1), "UTC")
    clicks = [Click(bounds.start + spread * number // count, 0) for number in range(count)]
    slices = Cutter(Files(clicks), [True], slice_rows=limit, sort_rows=limit).cut(bounds)
    assert sum(one.rows for one in slices) == count
    for piece in slices:
        times = {one.time for one in clicks if piece.start <= one.time < piece.end}
        assert piece.rows <= limit or len(times) == 1
