"""Postbacks: what is to be told, whom, how, and what became of it. All instants are aware UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What a notification tells of (impact-api 4.1)."""

    JOB_COMPLETION = "JOB_COMPLETION"
    CLICK = "CLICK"
    ACTION_LIFECYCLE = "ACTION_LIFECYCLE"
    ACTION_CLEARING = "ACTION_CLEARING"
    ACTION_INQUIRY = "ACTION_INQUIRY"
    TRACKING_VALUE_REQUEST = "TRACKING_VALUE_REQUEST"
    #: Of one event type, on tracking only.
    EVENT_TYPE = "EVENT_TYPE"


#: The events of each kind that a notification may select; all of them when it names none.
EVENTS: Mapping[Kind, tuple[str, ...]] = {
    Kind.JOB_COMPLETION: (
        "CLICK_EXPORT_COMPLETED",
        "CLICK_EXPORT_FAILED",
        "REPORT_EXPORT_COMPLETED",
        "REPORT_EXPORT_FAILED",
    ),
    Kind.CLICK: ("CLICK",),
    Kind.ACTION_LIFECYCLE: ("TRACKED", "MODIFIED", "REVERSED"),
    Kind.ACTION_CLEARING: ("CLEARED",),
    Kind.ACTION_INQUIRY: ("CREATED", "RESOLVED"),
    Kind.TRACKING_VALUE_REQUEST: ("PROMO_CODE", "URL", "PHONE"),
    Kind.EVENT_TYPE: ("TRACKED",),
}

#: The event that stands for a minute of clicks above the limit of a notification.
CLICK_DIGEST = "CLICK_DIGEST"


class Method(StrEnum):
    """How an endpoint is called."""

    GET = "GET"
    POST = "POST"


class BodyFormat(StrEnum):
    """What the body of a POST is written in."""

    JSON = "JSON"
    XML = "XML"
    FORM = "FORM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A notification as someone wants it: what may be said when one is made or changed."""

    #: Unique within the account.
    name: str
    kind: Kind
    #: May hold ``{Macro}`` tokens in its query.
    url: str
    method: Method = Method.GET
    #: Template of a POST; empty: every macro of the kind, by its name, in ``body_format``.
    body: str = ""
    body_format: BodyFormat = BodyFormat.JSON
    #: Of ``EVENTS``; empty: all of the kind.
    events: tuple[str, ...] = ()
    #: Empty: all.
    program_ids: tuple[int, ...] = ()
    partner_ids: tuple[int, ...] = ()
    #: Of ``EVENT_TYPE`` only: the event types (ActionTrackerId) it is about; empty: all.
    action_tracker_ids: tuple[int, ...] = ()
    #: Seconds between an event and the first attempt.
    minimum_delay_s: int = 0
    #: Sent as they are, besides our own; values are secrets.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: Of ``CLICK`` only: calls per second; above it a digest per minute takes their place.
    click_limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A configured postback: one endpoint of one account."""

    id: str
    account_sid: str
    draft: Draft
    created_at: datetime
    changed_at: datetime
    #: Since when each attempt has failed; None: the last one did not.
    failing_since: datetime | None
    #: When it was switched off, by hand or by us; None: it is on.
    disabled_at: datetime | None
    #: Why it was switched off; empty while it is on.
    disabled_reason: str
    #: Of ``CLICK``: it is told of clicks received from then on; None: the lake is not followed yet.
    clicks_since: datetime | None = None
    #: ``whsec_…``, newest first; the second one signs too while a rotation lasts.
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, to be told to whoever asked for it."""

    kind: Kind
    #: One of ``EVENTS[kind]``, or ``CLICK_DIGEST``.
    name: str
    #: The accounts it concerns: the brand, and the partner if there is one.
    account_sids: tuple[str, ...]
    program_id: int
    partner_id: int | None = None
    #: Of ``EVENT_TYPE`` and the actions.
    action_tracker_id: int | None = None
    #: Events with the same key reach an endpoint in the order they were put; empty: in any.
    order_key: str = ""
    at: datetime
    #: Macro → value; a macro that is not here is empty.
    values: Mapping[str, str]


class Fate(StrEnum):
    """What has become of a delivery."""

    WAITING = "WAITING"
    DELIVERED = "DELIVERED"
    #: Every attempt of the schedule failed.
    FAILED = "FAILED"
    #: Its notification was switched off: not sent, and there to be replayed.
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one endpoint."""

    #: In the order in which events were put.
    id: int
    #: ``webhook-id`` of every attempt: ``msg_`` and letters and digits.
    message_id: str
    notification_id: str
    account_sid: str
    kind: Kind
    event: str
    program_id: int
    partner_id: int | None
    order_key: str
    values: Mapping[str, str]
    event_at: datetime
    fate: Fate
    #: When it is due; None: it is not waiting.
    next_at: datetime | None
    #: Attempts ever made.
    attempts: int
    #: Attempts since it was put or last replayed: its place in the schedule.
    tries: int
    #: When it was delivered, given up or skipped.
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request as it goes out, byte for byte."""

    method: Method
    #: Scheme, host and port in their normal form.
    scheme: str
    host: str
    port: int
    #: Path and query exactly as sent: what is signed for a GET.
    target: str
    #: In the order sent, without ``Host`` and ``Content-Length``.
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes

    @property
    def url(self) -> str:
        """The address in full."""
        standard = {"http": 80, "https": 443}[self.scheme]
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == standard else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one attempt."""

    started_at: datetime
    duration_ms: int
    #: Status of the answer; None: there was none.
    status: int | None
    #: Why there was no answer, or not all of it; empty when there was.
    problem: str = ""
    #: Head of the answer, in the order received.
    headers: tuple[tuple[str, str], ...] = ()
    #: First bytes of its body.
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call as the log shows it: secrets are masked."""

    delivery_id: int
    #: From 1, over the life of the delivery.
    number: int
    started_at: datetime
    duration_ms: int
    method: Method
    url: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: str
    status: int | None
    response_headers: tuple[tuple[str, str], ...]
    response_body: str
    #: A sentence: what this attempt led to.
    outcome: str
