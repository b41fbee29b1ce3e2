"""What an attempt leads to: delivered, tried again at a known time, or given up."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from clickledger.postbacks.model import Fate, Outcome
from clickledger.postbacks.schedule import (
    RETRY_AFTER_CAP_S,
    SCHEDULE_S,
    Verdict,
    after,
    retry_after,
    worn_out,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def outcome(
    status: int | None = None, problem: str = "", headers: tuple[tuple[str, str], ...] = ()
) -> Outcome:
    return Outcome(started_at=NOW, duration_ms=5, status=status, problem=problem, headers=headers)


def verdict(
    status: int | None = None,
    problem: str = "",
    *,
    tries: int = 1,
    jitter: float = 0.5,
    asked: str = "",
) -> Verdict:
    headers = (("Date", "x"), ("Retry-After", asked)) if asked else ()
    return after(outcome(status, problem, headers), tries=tries, now=NOW, jitter=jitter)


def pause(found: Verdict) -> float:
    assert found.next_at is not None
    return (found.next_at - NOW).total_seconds()


def test_the_schedule_is_the_published_one() -> None:
    assert SCHEDULE_S == (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    assert sum(SCHEDULE_S) == (75 * 60 + 35) * 60 + 5


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
@pytest.mark.parametrize("tries", [1, 10, 99])
def test_any_2xx_is_delivered(status: int, tries: int) -> None:
    assert verdict(status, tries=tries) == Verdict(
        fate=Fate.DELIVERED,
        next_at=None,
        disable=False,
        sentence=f"Delivered: the endpoint answered {status}.",
    )


def test_an_acknowledgement_counts_even_if_its_body_broke_off() -> None:
    assert verdict(200, "the connection was closed").fate is Fate.DELIVERED


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (100, "answered 100 Continue; attempt 2 of 10 follows at 2026-03-01T12:00:05Z."),
        (301, "answered 301 Moved Permanently (redirects are not followed); attempt 2"),
        (302, "answered 302 Found (redirects are not followed); attempt 2"),
        (304, "(redirects are not followed)"),
        (399, "answered 399 (redirects are not followed); attempt 2"),
        (400, "answered 400 Bad Request; attempt 2 of 10"),
        (404, "answered 404 Not Found; attempt 2 of 10"),
        (429, "answered 429 Too Many Requests; attempt 2 of 10"),
        (500, "answered 500 Internal Server Error; attempt 2 of 10"),
        (503, "answered 503 Service Unavailable; attempt 2 of 10"),
        (599, "Failed: the endpoint answered 599; attempt 2 of 10"),
    ],
)
def test_any_other_status_is_tried_again(status: int, says: str) -> None:
    found = verdict(status)
    assert (found.fate, found.disable) == (Fate.WAITING, False)
    assert pause(found) == 5
    assert says in found.sentence


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        ("the connection was refused", "Failed: the connection was refused; attempt 2 of 10"),
        ("It timed out.", "Failed: It timed out; attempt 2"),
        ("", "Failed: there was no answer; attempt 2"),
    ],
)
def test_no_answer_is_tried_again_and_told(problem: str, says: str) -> None:
    found = verdict(None, problem)
    assert found.fate is Fate.WAITING
    assert says in found.sentence


@pytest.mark.parametrize("tries", range(1, 10))
@pytest.mark.parametrize(("jitter", "factor"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_each_pause_is_the_schedules_and_up_to_a_fifth_more_or_less(
    tries: int, jitter: float, factor: float
) -> None:
    found = verdict(500, tries=tries, jitter=jitter)
    assert pause(found) == pytest.approx(SCHEDULE_S[tries] * factor)
    assert f"attempt {tries + 1} of 10" in found.sentence


@pytest.mark.parametrize("tries", [10, 11])
def test_after_the_last_attempt_it_is_given_up(tries: int) -> None:
    assert verdict(500, tries=tries, asked="60") == Verdict(
        fate=Fate.FAILED,
        next_at=None,
        disable=False,
        sentence=f"Given up after {tries} attempts: the endpoint answered 500 Internal Server "
        "Error.",
    )


@pytest.mark.parametrize("tries", [1, 10])
def test_gone_gives_up_at_once_and_switches_the_notification_off(tries: int) -> None:
    assert verdict(410, tries=tries) == Verdict(
        fate=Fate.FAILED,
        next_at=None,
        disable=True,
        sentence="Given up: the endpoint answered 410 Gone; the endpoint wants no more calls.",
    )


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asked", "jitter", "seconds"),
    [
        ("120", 0.0, 120),
        ("120", 1.0, 144),
        ("0", 0.5, 5),
        ("5", 0.0, 5),
        ("5", 1.0, 6),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 0.0, 120),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.5, 5),
        ("100000", 0.0, RETRY_AFTER_CAP_S),
        ("100000", 1.0, RETRY_AFTER_CAP_S),
        ("soon", 0.5, 5),
    ],
)
def test_a_busy_endpoint_is_left_alone_as_long_as_it_asks(
    status: int, asked: str, jitter: float, seconds: float
) -> None:
    assert pause(verdict(status, asked=asked, jitter=jitter)) == pytest.approx(seconds)


def test_a_wish_shorter_than_the_schedule_does_not_bring_the_next_attempt_forward() -> None:
    assert pause(verdict(503, tries=4, asked="60")) == 7200


def test_a_wish_is_told() -> None:
    assert (
        "Too Many Requests, which asked for 120 s; attempt 2" in verdict(429, asked="120").sentence
    )


@pytest.mark.parametrize("status", [500, 404, 302, None])
def test_only_429_and_503_may_ask_for_a_pause(status: int | None) -> None:
    assert pause(verdict(status, asked="120")) == 5


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((), 0),
        ((("X", "1"),), 0),
        ((("retry-after", " 7 "),), 7),
        ((("RETRY-AFTER", "7"), ("Retry-After", "9")), 7),
        ((("Retry-After", "-7"),), 0),
        ((("Retry-After", "7.5"),), 0),
        ((("Retry-After", "٧"),), 0),
        ((("Retry-After", ""),), 0),
        ((("Retry-After", "9" * 6000),), 86_400),
        ((("Retry-After", "Sun, 01 Mar 2026 12:00:30 GMT"),), 30),
        ((("Retry-After", "Sun, 01 Mar 2026 13:00:30 +0100"),), 30),
        ((("Retry-After", "Sun, 01 Mar 2026 12:00:30 -0000"),), 30),
        ((("Retry-After", "Sunday, 01-Mar-26 12:00:30 GMT"),), 30),
        ((("Retry-After", "Sun Mar  1 12:00:30 2026"),), 30),
        ((("Retry-After", "Wed, 01 Mar 9999 12:00:30 GMT"),), 86_400),
        ((("Retry-After", "Sun, 99 Mar 2026 12:00:30 GMT"),), 0),
        ((("Retry-After", "Sun, 01 Mar 2026 12:00:30 +999999"),), 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    headers: tuple[tuple[str, str], ...], seconds: float
) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("failing", "days", "says"),
    [
        (None, 5, ""),
        (timedelta(days=5) - timedelta(microseconds=1), 5, ""),
        (
            timedelta(days=5),
            5,
            "every call has failed since 2026-02-24T12:00:00Z, for 5 days or more",
        ),
        (timedelta(days=9), 0.5, "since 2026-02-20T12:00:00Z, for 0.5 days or more"),
    ],
)
def test_an_endpoint_wears_out_after_days_of_failures(
    failing: timedelta | None, days: float, says: str
) -> None:
    since = None if failing is None else NOW - failing
    found = worn_out(since, NOW, days)
    assert found.endswith(says)
    assert bool(found) is bool(says)


def test_instants_are_told_in_utc() -> None:
    summer = timezone(timedelta(hours=2))
    assert "2026-02-20T12:00:00Z" in worn_out(
        datetime(2026, 2, 20, 14, tzinfo=summer), NOW.astimezone(summer), 5
    )
    found = after(outcome(500), tries=1, now=NOW.astimezone(summer), jitter=0.5)
    assert "2026-03-01T12:00:05Z" in found.sentence
