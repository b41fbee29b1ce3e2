"""Instants are exact, and a process never sees time run backwards."""

from datetime import UTC, datetime

from clickledger.clock import SteadyClock, to_datetime, to_micros


def test_a_steady_clock_does_not_step_back() -> None:
    readings = iter([5, 3, 7])
    clock = SteadyClock(lambda: next(readings))
    assert [clock.now() for _ in range(3)] == [5, 5, 7]


def test_conversion_is_exact_to_the_microsecond() -> None:
    moment = datetime(2026, 11, 23, 14, 46, 0, 123457, tzinfo=UTC)
    assert to_datetime(to_micros(moment)) == moment
    assert to_micros(to_datetime(1)) == 1
    assert to_micros(to_datetime(-1)) == -1
