"""Rows of the control database ↔ records of postbacks."""

import re
from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, RowMapping, false

from clickledger.clock import to_datetime
from clickledger.db.tables import attempts, deliveries, notifications
from clickledger.postbacks.model import (
    Attempt,
    Delivery,
    Draft,
    Fate,
    Kind,
    Method,
    Notification,
)

#: Anything else cannot be an id of ours, or a SID, and is not shown to the database.
_NOTIFICATION_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_ACCOUNT_SID = re.compile(r"[A-Za-z0-9]{1,64}")

#: The columns of a Notification.
NOTIFICATION = (
    notifications.c.id,
    notifications.c.account_sid,
    notifications.c.name,
    notifications.c.kind,
    notifications.c.draft,
    notifications.c.secret,
    notifications.c.earlier_secret,
    notifications.c.earlier_until,
    notifications.c.created_at,
    notifications.c.changed_at,
    notifications.c.failing_since,
    notifications.c.disabled_at,
    notifications.c.disabled_reason,
    # Not the whole cursor: the sender reads these columns all the time.
    notifications.c.click_cursor["since"].as_string().label("clicks_since"),
)

#: The columns of a Delivery.
DELIVERY = tuple(column for column in deliveries.c if column.name != "created_at")

#: The columns of an Attempt.
ATTEMPT = tuple(attempts.c)


def is_notification(
    notification_id: str, column: ColumnElement[str] = notifications.c.id
) -> ColumnElement[bool]:
    """Ask for the rows of one notification, whatever text was given for its id."""
    well_formed = _NOTIFICATION_ID.fullmatch(notification_id)
    return column == notification_id if well_formed else false()


def is_account(
    account_sid: str, column: ColumnElement[str] = notifications.c.account_sid
) -> ColumnElement[bool]:
    """Ask for the rows of one account, whatever text was given for its SID."""
    return column == account_sid if _ACCOUNT_SID.fullmatch(account_sid) else false()


def draft_json(draft: Draft) -> dict[str, object]:
    """Return what the column ``draft`` holds: all but what has a column of its own."""
    document: dict[str, object] = msgspec.to_builtins(draft)
    del document["name"], document["kind"]
    return document


def draft(name: str, kind: str, document: Mapping[str, object]) -> Draft:
    """Read a draft from its three columns; what an earlier version did not know is as usual."""
    return msgspec.convert({**document, "name": name, "kind": kind}, Draft)


def notification(row: RowMapping, now: datetime) -> Notification:
    """Read a row of the columns ``NOTIFICATION``; ``now`` decides how many secrets sign."""
    since = row["clicks_since"]
    earlier = row["earlier_secret"] is not None and row["earlier_until"] > now
    return Notification(
        id=row["id"],
        account_sid=row["account_sid"],
        draft=draft(row["name"], row["kind"], row["draft"]),
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        failing_since=row["failing_since"],
        disabled_at=row["disabled_at"],
        disabled_reason=row["disabled_reason"],
        clicks_since=None if since is None else to_datetime(int(since)),
        secrets=(row["secret"], row["earlier_secret"]) if earlier else (row["secret"],),
    )


def delivery(row: RowMapping) -> Delivery:
    """Read a row of the columns ``DELIVERY``."""
    return Delivery(**{**row, "kind": Kind(row["kind"]), "fate": Fate(row["fate"])})


def attempt(row: RowMapping) -> Attempt:
    """Read a row of the columns ``ATTEMPT``."""
    return Attempt(
        **{
            **row,
            "method": Method(row["method"]),
            "request_headers": _pairs(row["request_headers"]),
            "response_headers": _pairs(row["response_headers"]),
        }
    )


def _pairs(headers: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in headers)
