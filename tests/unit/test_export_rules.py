"""Rules of an export: columns, warnings, which slices are read directly, who writes what."""

from collections.abc import Sequence
from datetime import date

import pytest

from clickledger.clock import MINUTE, SECOND
from clickledger.errors import InvalidInputError
from clickledger.exports import plan, rules
from clickledger.exports.formats.registry import FORMATS
from clickledger.exports.model import ResultFormat, Slice
from clickledger.exports.rules import Count, Cutter
from clickledger.exports.writer import batches
from clickledger.lake import unique
from clickledger.lake.schema import EXPORT_COLUMNS
from clickledger.programs import days

BOUNDS = days.day_bounds(date(2026, 5, 1), "UTC")
START = BOUNDS.start


def counts(*clicks: tuple[int, int]) -> rules.Counter:
    """Count clicks given as (file, microseconds after the day's start)."""

    def count(start: int, end: int, step: int) -> Sequence[Count]:
        return [
            Count(
                file=file,
                start=start + (START + at - start) // step * step,
                rows=1,
                wanted=1,
                kept=1,
                first=START + at,
                last=START + at,
            )
            for file, at in clicks
            if start <= START + at < end
        ]

    return count


def cut(count: rules.Counter, is_sorted: Sequence[bool], rows: int = 100) -> list[Slice]:
    return Cutter(count, is_sorted, slice_rows=rows, sort_rows=rows).cut(BOUNDS)


def test_the_columns_are_the_42_of_the_wire_then_the_extra_ones_as_asked() -> None:
    names = [column.name for column in plan.columns(("Reasons", "RowKey", "Reasons"))]
    assert names[:42] == [column.name for column in EXPORT_COLUMNS]
    assert names[42:] == ["Reasons", "RowKey"]


def test_an_unknown_extra_column_is_refused() -> None:
    with pytest.raises(InvalidInputError) as refused:
        plan.columns(("Reason",))
    assert refused.value.fields[0].field == "Columns"


def test_every_result_format_has_its_file_format() -> None:
    assert set(FORMATS) == set(ResultFormat)


def test_a_closed_day_is_read_as_it_lies() -> None:
    (piece,) = cut(counts((0, 0), (0, MINUTE), (1, 2 * MINUTE)), [True, True])
    assert (piece.direct, piece.files, piece.unique_files) == (True, (0, 1), ())
    assert (piece.start, piece.rows) == (START, 3)


def test_files_are_read_in_the_order_of_their_clicks() -> None:
    (piece,) = cut(counts((1, 0), (0, MINUTE)), [True, True])
    assert piece.files == (1, 0)


def test_sorted_files_that_overlap_are_not_believed() -> None:
    pieces = cut(counts((0, 0), (1, MINUTE), (0, 2 * MINUTE)), [True, True])
    assert not any(piece.direct for piece in pieces)


def test_a_tie_across_two_sorted_files_is_sorted() -> None:
    """Which of the two comes first is a matter of the row key."""
    assert [piece.direct for piece in cut(counts((0, 0), (1, 0)), [True, True])] == [False]


def test_a_late_click_disturbs_its_minute_and_the_half_hour_after_it() -> None:
    hour = 60 * MINUTE
    sorted_clicks = [(0, at) for at in range(0, 3 * hour, MINUTE)]
    pieces = cut(counts(*sorted_clicks, (1, hour)), [True, False])
    assert [piece.direct for piece in pieces] == [True, False, True]
    before, disturbed, after = pieces
    assert before.end == disturbed.start == START + hour
    assert after.start == START + hour + unique.WINDOW
    assert set(disturbed.files) == set(disturbed.unique_files) == {0, 1}


def test_a_late_click_of_the_day_before_disturbs_this_day() -> None:
    pieces = cut(counts((1, -SECOND), (0, MINUTE), (0, 31 * MINUTE)), [True, False])
    assert [(piece.direct, piece.files) for piece in pieces] == [(False, (0,)), (True, (0,))]
    assert pieces[0].unique_files == (1, 0)


def test_a_minute_too_full_is_cut_by_the_second_then_finer() -> None:
    crowd = [(0, number) for number in range(5)]
    pieces = cut(counts(*crowd, (0, 30 * SECOND)), [True], rows=2)
    assert [piece.rows for piece in pieces] == [2, 2, 2]


def test_one_microsecond_is_never_cut() -> None:
    assert [piece.rows for piece in cut(counts(*[(0, 7)] * 5), [True], rows=2)] == [5]


def test_a_day_without_clicks_has_no_slices() -> None:
    assert cut(counts(), []) == []


def test_slices_do_not_span_a_change_of_the_clocks() -> None:
    bounds = days.day_bounds(date(2026, 3, 8), "America/New_York")
    after = bounds.spans[1].start - START
    count = counts((0, after - 1), (0, after))
    pieces = Cutter(count, [True], slice_rows=9, sort_rows=9).cut(bounds)
    assert [piece.offset_seconds for piece in pieces] == [-5 * 3600, -4 * 3600]


def test_warnings_say_what_is_missing() -> None:
    assert rules.warnings(BOUNDS, BOUNDS.end, None) == ()
    (still_open,) = rules.warnings(BOUNDS, BOUNDS.end - SECOND, None)
    assert "complete through 2026-05-01T23:59:59Z" in still_open
    assert "Replay" in still_open
    unknown, replaced = rules.warnings(BOUNDS, None, 17)
    assert "Replay" in unknown
    assert "version 17" in replaced


def piece(rows: int, *, direct: bool) -> Slice:
    return Slice(
        start=0,
        end=1,
        offset_seconds=0,
        files=(0,),
        direct=direct,
        unique_files=() if direct else (0,),
        rows=rows,
    )


@pytest.mark.parametrize(
    ("slices", "finished", "expected"),
    [
        ([], (), []),
        ([piece(9, direct=True)] * 2, (), [[0], [1]]),
        ([piece(9, direct=False)] * 2, (), [[0, 1]]),
        ([piece(200_000, direct=False)] * 2, (), [[0], [1]]),
        ([piece(9, direct=False)] * 4, (1,), [[0], [2, 3]]),
        ([piece(9, direct=False), piece(9, direct=True)] * 2, (), [[0], [1], [2], [3]]),
    ],
)
def test_slices_to_be_judged_share_the_work_with_their_neighbours(
    slices: list[Slice], finished: tuple[int, ...], expected: list[list[int]]
) -> None:
    assert list(batches(slices, finished)) == expected
