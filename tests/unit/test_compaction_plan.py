"""Which small files are merged, and in which steps."""

from datetime import date, timedelta

from clickledger.lake.compaction import FULL_BYTES, plan
from clickledger.lake.table import DataFile

DAY = date(2026, 11, 23)
SMALL = 20_000


def file(number: int, size: int = SMALL, *, day: date = DAY, prefix: str = "part-") -> DataFile:
    return DataFile(
        path=f"event_date={day}/{prefix}{number}.parquet",
        size=size,
        rows=size // 150,
        event_date=day,
        least={"event_time": number},
        most={"event_time": number},
    )


def test_few_small_files_are_left_alone_unless_asked_to_be_thorough() -> None:
    files = [file(number) for number in range(7)]
    assert plan(files) == []
    assert plan(files, thorough=True) == [tuple(files)]


def test_one_small_file_is_never_rewritten() -> None:
    assert plan([file(1)], thorough=True) == []


def test_many_small_files_become_one_step_oldest_first() -> None:
    files = [file(number) for number in range(20)]
    assert plan(files[::-1]) == [tuple(files)]


def test_days_are_not_mixed() -> None:
    other = DAY + timedelta(days=1)
    files = [file(number) for number in range(8)]
    others = [file(number, day=other) for number in range(100, 108)]
    assert plan([*others, *files]) == [tuple(files), tuple(others)]


def test_sorted_and_full_files_are_left_alone() -> None:
    sorted_files = [file(number, prefix="sorted-") for number in range(20)]
    full = [file(number, FULL_BYTES) for number in range(20)]
    assert plan([*sorted_files, *full], thorough=True) == []


def test_files_are_merged_with_their_own_size_class() -> None:
    """A click is rewritten once per class, not once per compaction."""
    small = [file(number) for number in range(8)]
    large = [file(number, 4 * 1024 * 1024) for number in range(100, 107)]
    assert plan([*small, *large]) == [tuple(small)]


def test_a_step_is_bounded_in_bytes_and_files() -> None:
    large = [file(number, FULL_BYTES // 3) for number in range(12)]
    steps = plan(large)
    assert [len(step) for step in steps] == [3, 3, 3, 3]
    tiny = [file(number, 100) for number in range(600)]
    assert [len(step) for step in plan(tiny)] == [256, 256, 88]
