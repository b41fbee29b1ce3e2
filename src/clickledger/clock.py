"""The clock: UTC microseconds since 1970, never running backwards within a process."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

#: An instant as stored everywhere: microseconds since 1970-01-01T00:00:00Z.
Micros = int

SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
DAY: Micros = 24 * 60 * MINUTE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wall_clock() -> Micros:
    """Read the system clock: UTC microseconds, which may step backwards."""
    return time.time_ns() // 1000


class SteadyClock:
    """A clock whose readings never decrease, whatever the system clock does.

    The received time of a click and the spool's low-water mark both depend on it:
    a mark says "nothing earlier will be appended any more".
    """

    __slots__ = ("_last", "_read")

    def __init__(self, read: Callable[[], Micros] = wall_clock) -> None:
        self._read = read
        self._last = 0

    def now(self) -> Micros:
        """Return the present instant in UTC microseconds."""
        now = self._read()
        if now < self._last:
            return self._last
        self._last = now
        return now


def to_datetime(instant: Micros) -> datetime:
    """Turn UTC microseconds into an aware UTC datetime, exactly."""
    return _EPOCH + timedelta(microseconds=instant)


def to_micros(moment: datetime) -> Micros:
    """Turn an aware datetime into UTC microseconds, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
