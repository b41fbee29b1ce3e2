"""The program's day: which instants of UTC belong to a calendar date of a zone.

A day runs from the zone's first instant of its date to the first instant of the next date.
So days follow each other without gap or overlap in every zone, also where clocks change at
midnight, fall back across it, or skip a date.
"""

from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from clickledger.clock import DAY, SECOND, Micros, to_datetime, to_micros
from clickledger.errors import InvalidInputError

_HOUR: Micros = 3600 * SECOND

#: No zone has ever been further from UTC than 16 h (Manila before 1844: 15 h 56 min).
_FURTHEST = 16 * _HOUR

#: Offset changes are looked for at this step: no zone has two within an hour.
_STEP = _HOUR


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a day during which the zone's offset does not change; half open."""

    start: Micros
    end: Micros
    #: East of UTC.
    offset_seconds: int


@dataclass(frozen=True, slots=True)
class DayBounds:
    """A day of a zone in UTC microseconds, half open; a skipped date has no spans."""

    start: Micros
    end: Micros
    #: In order, without gap, from ``start`` to ``end``.
    spans: tuple[Span, ...]


def day_bounds(day: date, zone: str) -> DayBounds:
    """Find the instants of ``day`` in ``zone``.

    Raises:
        InvalidInputError: the zone is unknown, or the year is not within 2 to 9998.
    """
    if not 1 < day.year < MAXYEAR:
        raise InvalidInputError.of("Date", "must lie within the years 2 to 9998")
    rules = load_zone(zone)
    start, end = _first_instant(day, rules), _first_instant(day + timedelta(days=1), rules)
    return DayBounds(start, end, tuple(_spans(start, end, rules)))


def today(zone: str, now: Micros) -> date:
    """Return the date whose day in ``zone`` holds ``now``.

    This is what the zone's clocks show, except where they fall back across midnight
    (St. John's until 2011): from its first instant on, the later date counts.

    Raises:
        InvalidInputError: the zone is unknown.
    """
    rules = load_zone(zone)
    shown = to_datetime(now).astimezone(rules).date()
    following = shown + timedelta(days=1)
    return following if now >= _first_instant(following, rules) else shown


def local_iso(instant: Micros, offset_seconds: int) -> str:
    """Write an instant as ``yyyy-mm-ddThh:mm:ss±hh:mm``; fractions of a second are cut."""
    offset = printed_offset(offset_seconds)
    shown = to_datetime(instant // SECOND * SECOND + offset * SECOND)
    return shown.strftime("%Y-%m-%dT%H:%M:%S") + offset_text(offset_seconds)


def printed_offset(offset_seconds: int) -> int:
    """Cut an offset to whole minutes, the finest that ISO 8601 can show, towards the west.

    Only Liberia before 1972 needs it. Time and offset are both shown with the cut offset,
    so that the text still names the same instant.
    """
    return offset_seconds // 60 * 60


def offset_text(offset_seconds: int) -> str:
    """Write an offset as ``±hh:mm``."""
    hours, minutes = divmod(abs(printed_offset(offset_seconds)) // 60, 60)
    return f"{'-' if offset_seconds < 0 else '+'}{hours:02}:{minutes:02}"


@lru_cache(maxsize=1024)
def load_zone(name: str) -> ZoneInfo:
    """Load the rules of a zone from the pinned ``tzdata``, never from the system's own copy.

    ``ZoneInfo(name)`` would prefer the system's, and a day would depend on the machine.

    Raises:
        InvalidInputError: there is no such zone.
    """
    if name not in zone_names():
        raise InvalidInputError.of("time_zone", f"{name!r} is not an IANA zone name")
    source = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    with source.open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Name every zone there is, links included."""
    listing = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii")
    return frozenset(listing.split())


def _first_instant(day: date, zone: ZoneInfo) -> Micros:
    """Find the first instant whose local date is ``day`` or later."""
    midnight = to_micros(datetime(day.year, day.month, day.day, tzinfo=UTC))
    for span in _spans(midnight - _FURTHEST, midnight + _FURTHEST + DAY, zone):
        reached = max(span.start, midnight - span.offset_seconds * SECOND)
        if reached < span.end:
            return reached
    raise AssertionError(f"{zone.key} never reaches {day}")  # _FURTHEST covers every zone


def _spans(start: Micros, end: Micros, zone: ZoneInfo) -> list[Span]:
    """Cut ``[start, end)`` where the zone's offset changes."""
    spans: list[Span] = []
    begun, position = start, start
    while position < end:
        offset = _offset(position, zone)
        following = min(position + _STEP, end)
        if following < end and _offset(following, zone) == offset:
            position = following
            continue
        position = _change(position, following, zone)
        spans.append(Span(begun, position, offset))
        begun = position
    return spans


def _change(low: Micros, high: Micros, zone: ZoneInfo) -> Micros:
    """Find where the offset that holds at ``low`` ends, at most ``high``; to the second."""
    offset = _offset(low, zone)
    if _offset(high - 1, zone) == offset:
        return high
    while high - low > SECOND:
        middle = (low + high) // 2
        if _offset(middle, zone) == offset:
            low = middle
        else:
            high = middle
    return high // SECOND * SECOND


def _offset(instant: Micros, zone: ZoneInfo) -> int:
    shown = to_datetime(instant).astimezone(zone).utcoffset()
    assert shown is not None  # noqa: S101 - an aware datetime always has one
    return int(shown.total_seconds())
