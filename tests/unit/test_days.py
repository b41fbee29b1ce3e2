"""The program's day, in the zones that are known to be awkward."""

from datetime import UTC, date, datetime, timedelta

import pytest

from clickledger.clock import SECOND, to_datetime, to_micros
from clickledger.errors import InvalidInputError
from clickledger.programs import days

HOUR = 3600 * SECOND


@pytest.mark.parametrize(
    ("zone", "day", "hours", "first", "last"),
    [
        ("UTC", "2026-05-01", 24, "2026-05-01T00:00:00+00:00", "2026-05-01T23:59:59+00:00"),
        (
            "America/New_York",
            "2026-03-08",
            23,
            "2026-03-08T00:00:00-05:00",
            "2026-03-08T23:59:59-04:00",
        ),
        (
            "America/New_York",
            "2026-11-01",
            25,
            "2026-11-01T00:00:00-04:00",
            "2026-11-01T23:59:59-05:00",
        ),
        (
            "Asia/Kathmandu",
            "2026-05-01",
            24,
            "2026-05-01T00:00:00+05:45",
            "2026-05-01T23:59:59+05:45",
        ),
        (
            "Pacific/Kiritimati",
            "2026-05-01",
            24,
            "2026-05-01T00:00:00+14:00",
            "2026-05-01T23:59:59+14:00",
        ),
        (
            "Australia/Lord_Howe",
            "2024-10-06",
            23.5,
            "2024-10-06T00:00:00+10:30",
            "2024-10-06T23:59:59+11:00",
        ),
        (
            "Australia/Lord_Howe",
            "2024-04-07",
            24.5,
            "2024-04-07T00:00:00+11:00",
            "2024-04-07T23:59:59+10:30",
        ),
        # The clocks skip the first hour: the day begins at one o'clock.
        (
            "America/Sao_Paulo",
            "2018-11-04",
            23,
            "2018-11-04T01:00:00-02:00",
            "2018-11-04T23:59:59-02:00",
        ),
        # The clocks fall back at midnight: the day has its last hour twice.
        (
            "America/Sao_Paulo",
            "2018-02-17",
            25,
            "2018-02-17T00:00:00-02:00",
            "2018-02-17T23:59:59-03:00",
        ),
        (
            "Pacific/Apia",
            "2011-12-29",
            24,
            "2011-12-29T00:00:00-10:00",
            "2011-12-29T23:59:59-10:00",
        ),
        (
            "Pacific/Apia",
            "2011-12-31",
            24,
            "2011-12-31T00:00:00+14:00",
            "2011-12-31T23:59:59+14:00",
        ),
        # At 00:01 the clocks fall back into the evening before: the date begins once, not twice.
        (
            "America/St_Johns",
            "2006-10-29",
            25,
            "2006-10-29T00:00:00-02:30",
            "2006-10-29T23:59:59-03:30",
        ),
    ],
)
def test_a_day_has_its_zones_length(
    zone: str, day: str, hours: float, first: str, last: str
) -> None:
    bounds = days.day_bounds(date.fromisoformat(day), zone)
    assert (bounds.end - bounds.start) / HOUR == hours
    assert days.local_iso(bounds.start, bounds.spans[0].offset_seconds) == first
    assert days.local_iso(bounds.end - 1, bounds.spans[-1].offset_seconds) == last


def test_a_skipped_date_is_empty() -> None:
    bounds = days.day_bounds(date(2011, 12, 30), "Pacific/Apia")
    assert bounds.start == bounds.end == to_micros(datetime(2011, 12, 30, 10, tzinfo=UTC))
    assert bounds.spans == ()


def test_a_span_ends_where_the_offset_changes() -> None:
    first, second = days.day_bounds(date(2026, 3, 8), "America/New_York").spans
    assert first.end == second.start == to_micros(datetime(2026, 3, 8, 7, tzinfo=UTC))
    assert (first.offset_seconds, second.offset_seconds) == (-5 * 3600, -4 * 3600)


@pytest.mark.parametrize(
    ("zone", "now", "expected"),
    [
        ("America/Los_Angeles", datetime(2026, 5, 1, 6, 59, 59, tzinfo=UTC), "2026-04-30"),
        ("America/Los_Angeles", datetime(2026, 5, 1, 7, tzinfo=UTC), "2026-05-01"),
        ("Pacific/Apia", datetime(2011, 12, 30, 9, 59, tzinfo=UTC), "2011-12-29"),
        ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC), "2011-12-31"),
        # Clocks show the 28th again for 59 minutes; the 29th has begun all the same.
        ("America/St_Johns", datetime(2006, 10, 29, 2, 45, tzinfo=UTC), "2006-10-29"),
    ],
)
def test_today_is_the_day_that_holds_now(zone: str, now: datetime, expected: str) -> None:
    assert days.today(zone, to_micros(now)).isoformat() == expected


def test_an_offset_with_seconds_still_names_the_same_instant() -> None:
    """Liberia was 44 min 30 s behind UTC until 1972; ISO 8601 shows whole minutes."""
    instant = days.day_bounds(date(1971, 5, 5), "Africa/Monrovia").start
    text = days.local_iso(instant, -(44 * 60 + 30))
    assert text == "1971-05-04T23:59:30-00:45"
    assert datetime.fromisoformat(text) == to_datetime(instant)


def test_fractions_of_a_second_are_cut() -> None:
    moment = datetime(2026, 5, 1, tzinfo=UTC) - timedelta(microseconds=1)
    assert days.local_iso(to_micros(moment), 3600) == "2026-05-01T00:59:59+01:00"


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "america/new_york", "."])
def test_an_unknown_zone_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        days.day_bounds(date(2026, 5, 1), name)
    assert refused.value.fields[0].field == "time_zone"


@pytest.mark.parametrize("day", [date.min, date.max])
def test_a_date_at_the_end_of_the_calendar_is_refused(day: date) -> None:
    with pytest.raises(InvalidInputError) as refused:
        days.day_bounds(day, "UTC")
    assert refused.value.fields[0].field == "Date"
