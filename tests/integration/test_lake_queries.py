"""Counting clicks, and finding one by its id."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from clickledger.clock import DAY, MINUTE, SECOND, Micros
from clickledger.ids import ClickIds
from clickledger.lake import queries
from clickledger.lake.closing import Closer
from clickledger.lake.files import ROWS
from clickledger.lake.lease import Lease
from clickledger.testing.lake_days import LakeDays, click

DAY_ONE = 20_000 * DAY
NOON = DAY_ONE + DAY // 2
IDS = ClickIds((b"k" * 32,))


def count(days: LakeDays, tmp_path: Path, **where: Micros) -> int:
    return queries.count(days.lake.snapshot(), tmp_path / "tmp", **where)


def test_counts_agree_with_the_rows(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    days.load([click(n, NOON + n * SECOND, program_id=n % 3) for n in range(30)])
    days.load([click(n, NOON + n * SECOND, program_id=7) for n in range(30, 40)])
    days.close([click(n, DAY_ONE - DAY + n, program_id=1) for n in range(50, 55)])
    assert count(days, tmp_path) == 45
    assert count(days, tmp_path, first=DAY_ONE, end=DAY_ONE + DAY) == 40
    assert count(days, tmp_path, first=NOON + 5 * SECOND, end=NOON + 35 * SECOND) == 30
    assert count(days, tmp_path, program_id=7) == 10
    assert count(days, tmp_path, program_id=1) == 15
    assert count(days, tmp_path, program_id=1, first=DAY_ONE) == 10
    assert count(days, tmp_path, first=NOON, end=NOON) == 0
    assert count(days, tmp_path, program_id=99) == 0


def test_bounds_are_half_open_to_the_microsecond(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    days.load([click(0, NOON), click(1, NOON + 1)])
    assert count(days, tmp_path, first=NOON, end=NOON + 1) == 1
    assert count(days, tmp_path, first=NOON + 1, end=NOON + 2) == 1
    assert count(days, tmp_path, first=NOON + 2) == 0


def find(
    days: LakeDays, tmp_path: Path, click_id: str, program_id: int = 1000
) -> dict[str, object]:
    found = queries.find_click(days.lake.snapshot(), program_id, click_id, scratch=tmp_path / "tmp")
    return dict(found or {})


def test_a_click_is_found_with_all_its_columns(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    wanted = IDS.minter(1000).mint(NOON)
    days.load([click(n, NOON + n) for n in range(10)])
    more: dict[str, object] = {"payout": Decimal("1.5"), "reasons": ["x"], "profile_id": "alone"}
    days.load([click(11, NOON + 123, click_id=wanted, **more)])
    row = find(days, tmp_path, wanted)
    assert set(row) == set(ROWS.names)
    assert row["event_time"] == datetime(2024, 10, 4, 12, 0, 0, 123, tzinfo=UTC)
    assert (row["payout"], row["reasons"], row["position"]) == (Decimal("1.5"), ["x"], 11)
    assert row["unique_click"] is True, "computed while the day is open"
    assert find(days, tmp_path, wanted, program_id=1001) == {}
    assert find(days, tmp_path, IDS.minter(1000).mint(NOON)) == {}


def test_of_several_rows_the_first_by_time_and_row_key(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    wanted = IDS.minter(1000).mint(NOON)
    days.load([click(n, NOON, click_id=wanted) for n in (45, 44, 99)])
    days.load([click(2, NOON + MINUTE, click_id=wanted)])
    assert (find(days, tmp_path, wanted)["sequence"], find(days, tmp_path, wanted)["position"]) == (
        2,
        4,
    )


@pytest.mark.parametrize("offset", [-DAY + 1000, -1, 1000, DAY - 1])
def test_an_event_reported_for_another_time_is_found_within_a_day(
    tmp_path: Path, offset: int
) -> None:
    days = LakeDays(tmp_path / "lake")
    wanted = IDS.minter(1000).mint(NOON)
    days.load([click(1, NOON + offset, click_id=wanted)])
    assert find(days, tmp_path, wanted)["click_id"] == wanted


def test_unique_is_the_same_before_and_after_the_day_is_closed(tmp_path: Path) -> None:
    days = LakeDays(tmp_path / "lake")
    first, second = IDS.minter(1000).mint(NOON), IDS.minter(1000).mint(NOON + MINUTE)
    profile: dict[str, object] = {"profile_id": "p", "profile_carried": True}
    days.load([click(1, NOON, click_id=first, **profile)])
    days.load([click(2, NOON + MINUTE, click_id=second, **profile)])
    verdicts = [find(days, tmp_path, wanted)["unique_click"] for wanted in (first, second)]
    assert verdicts == [True, False]
    Closer(days.lake, Lease(tmp_path / "lease"), tmp_path / "tmp").close_days(DAY_ONE + DAY)
    stored = [find(days, tmp_path, wanted)["unique_click"] for wanted in (first, second)]
    assert stored == verdicts


@pytest.mark.parametrize("before", [0, MINUTE, 29 * MINUTE])
def test_a_late_click_makes_a_repeat_before_its_day_is_closed_again(
    tmp_path: Path, before: Micros
) -> None:
    """Also across midnight; where a late click is of another program, what is stored counts."""
    days = LakeDays(tmp_path / "lake")
    profile: dict[str, object] = {"profile_id": "p", "profile_carried": True}
    at = DAY_ONE + 5 * MINUTE
    wanted = IDS.minter(1000).mint(at)
    days.load([click(5, at, click_id=wanted, **profile)])
    closer = Closer(days.lake, Lease(tmp_path / "lease"), tmp_path / "tmp")
    closer.close_days(DAY_ONE + DAY)
    days.load([click(1, at - before, program_id=1, **profile)])
    assert find(days, tmp_path, wanted)["unique_click"] is True
    days.load([click(2, at - before, **profile)])
    assert find(days, tmp_path, wanted)["unique_click"] is False
    closer.close_days(DAY_ONE + DAY)
    assert find(days, tmp_path, wanted)["unique_click"] is False
