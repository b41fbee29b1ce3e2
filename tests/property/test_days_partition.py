"""Days of any zone follow each other without gap or overlap, and spans keep one offset."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from clickledger.clock import to_datetime, to_micros
from clickledger.programs import days

ZONES = st.sampled_from(sorted(days.zone_names()))
DATES = st.dates(date(1970, 1, 1), date(2037, 12, 31))
INSTANTS = st.datetimes(datetime(1970, 1, 2), datetime(2037, 12, 31)).map(  # noqa: DTZ001 - made aware below
    lambda moment: to_micros(moment.replace(tzinfo=UTC))
)


@given(ZONES, DATES)
@example("Pacific/Apia", date(2011, 12, 29))
@example("Pacific/Apia", date(2011, 12, 30))
@example("America/St_Johns", date(2006, 10, 28))
@example("Africa/Monrovia", date(1972, 1, 6))
@example("America/Sao_Paulo", date(2018, 2, 17))
def test_a_day_ends_where_the_next_begins(zone: str, day: date) -> None:
    bounds = days.day_bounds(day, zone)
    assert bounds.start <= bounds.end == days.day_bounds(day + timedelta(days=1), zone).start


@given(ZONES, DATES)
@example("Australia/Lord_Howe", date(2024, 4, 7))
@example("Pacific/Apia", date(2011, 12, 30))
def test_spans_fill_the_day_and_hold_one_offset_each(zone: str, day: date) -> None:
    bounds = days.day_bounds(day, zone)
    rules = days.load_zone(zone)
    position = bounds.start
    for span in bounds.spans:
        assert span.start == position < span.end
        position = span.end
        for instant in range(span.start, span.end, max(1, (span.end - span.start) // 20)):
            shown = to_datetime(instant).astimezone(rules)
            assert shown.utcoffset() == timedelta(seconds=span.offset_seconds)
    assert position == bounds.end
    offsets = [span.offset_seconds for span in bounds.spans]
    assert all(a != b for a, b in pairwise(offsets))


@given(ZONES, INSTANTS)
@example("America/St_Johns", to_micros(datetime(2006, 10, 29, 2, 45, tzinfo=UTC)))
@example("Pacific/Apia", to_micros(datetime(2011, 12, 30, 10, tzinfo=UTC)))
def test_every_instant_lies_in_its_own_today(zone: str, instant: int) -> None:
    bounds = days.day_bounds(days.today(zone, instant), zone)
    assert bounds.start <= instant < bounds.end


@given(ZONES, INSTANTS)
def test_the_text_of_an_instant_names_that_instant(zone: str, instant: int) -> None:
    offset = to_datetime(instant).astimezone(days.load_zone(zone)).utcoffset()
    assert offset is not None
    text = days.local_iso(instant, int(offset.total_seconds()))
    assert len(text) == 25
    assert to_micros(datetime.fromisoformat(text)) == instant // 1_000_000 * 1_000_000
