"""When a call is tried again, and when it is given up. Pure rules."""

import email.utils
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from clickledger.postbacks.model import Fate, Outcome

#: Seconds before each attempt, from the one before it: the example of Standard Webhooks 1.0.0.
#: The last attempt is made some 75 h 35 min after the event.
SCHEDULE_S = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
#: Each pause is up to this share longer or shorter, so that calls that failed together do not
#: come back together.
JITTER = 0.2
#: Longest pause that an endpoint may ask for with ``Retry-After``.
RETRY_AFTER_CAP_S = 86_400

_SUCCESSES = range(200, 300)
_REDIRECTS = range(300, 400)
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an attempt leads to."""

    fate: Fate
    #: When to try again; None: not any more.
    next_at: datetime | None
    #: Whether the notification is to be switched off: the endpoint asked for that.
    disable: bool
    #: For the log.
    sentence: str


def after(outcome: Outcome, *, tries: int, now: datetime, jitter: float) -> Verdict:
    """Judge an attempt.

    ``tries``: attempts since the delivery was put or last replayed, this one included.
    ``jitter``: 0 to 1, at random. ``now``: aware, when the attempt ended.

    The head of the answer decides: a 2xx acknowledges, whatever becomes of the body.
    """
    status = outcome.status
    if status in _SUCCESSES:
        return Verdict(
            fate=Fate.DELIVERED,
            next_at=None,
            disable=False,
            sentence=f"Delivered: the endpoint answered {status}.",
        )
    what = failure(outcome)
    if status == HTTPStatus.GONE:
        return Verdict(
            fate=Fate.FAILED,
            next_at=None,
            disable=True,
            sentence=f"Given up: {what}; the endpoint wants no more calls.",
        )
    if tries >= len(SCHEDULE_S):
        return Verdict(
            fate=Fate.FAILED,
            next_at=None,
            disable=False,
            sentence=f"Given up after {tries} attempts: {what}.",
        )
    pause = SCHEDULE_S[tries] * (1 + JITTER * (2 * jitter - 1))
    asked = retry_after(outcome.headers, now) if status in _BUSY else 0.0
    # Never before what was asked for; calls that were all asked the same spread out behind it.
    pause = max(pause, min(asked * (1 + JITTER * jitter), RETRY_AFTER_CAP_S))
    next_at = now + timedelta(seconds=pause)
    wish = f", which asked for {asked:.0f} s" if asked else ""
    return Verdict(
        fate=Fate.WAITING,
        next_at=next_at,
        disable=False,
        sentence=f"Failed: {what}{wish}; attempt {tries + 1} of {len(SCHEDULE_S)} follows at "
        f"{next_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}.",
    )


def retry_after(headers: Iterable[tuple[str, str]], now: datetime) -> float:
    """Return the seconds that an answer asks to wait, at most 24 h; 0: it does not say."""
    for name, value in headers:
        if name.lower() == "retry-after":
            return min(_seconds(value.strip(), now), RETRY_AFTER_CAP_S)
    return 0.0


def worn_out(failing_since: datetime | None, now: datetime, days: float) -> str:
    """Say in a sentence that an endpoint has failed for too long; nothing: it has not."""
    if failing_since is None or now - failing_since < timedelta(days=days):
        return ""
    since = failing_since.astimezone(UTC)
    return f"every call has failed since {since:%Y-%m-%dT%H:%M:%SZ}, for {days:g} days or more"


def failure(outcome: Outcome) -> str:
    """Say in half a sentence why an attempt was not acknowledged."""
    if outcome.status is None:
        return outcome.problem.rstrip(".") or "there was no answer"
    try:
        phrase = f" {HTTPStatus(outcome.status).phrase}"
    except ValueError:
        phrase = ""
    redirect = ""
    if outcome.status in _REDIRECTS:
        redirect = " (redirects are not followed)"
    return f"the endpoint answered {outcome.status}{phrase}{redirect}"


def _seconds(value: str, now: datetime) -> float:
    if re.fullmatch(r"[0-9]+", value):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
