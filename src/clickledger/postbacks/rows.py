"""Rows of the control database ↔ records of postbacks."""

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from datetime import datetime
from typing import Generic, TypeVar

import msgspec
import structlog
from sqlalchemy import ColumnElement, RowMapping, false

from clickledger.clock import to_datetime
from clickledger.db.tables import attempts, deliveries, notifications
from clickledger.errors import CorruptedError
from clickledger.postbacks.model import (
    Attempt,
    Delivery,
    Draft,
    Fate,
    Kind,
    Method,
    Notification,
)

_log = structlog.get_logger(__name__)
_Id = TypeVar("_Id", int, str)

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


@contextmanager
def stored(what: str) -> Iterator[None]:
    """Raise CorruptedError when what is read here from a row is not what was once written."""
    try:
        yield
    except (msgspec.ValidationError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise CorruptedError(f"{what} cannot be read: {error}") from error


class Unreadable(Generic[_Id]):
    """Leaves rows out that cannot be read, so that they hold nothing else up.

    The log tells of each once, until it can be read again. ``what``: their name in the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._known: set[_Id] = set()

    @property
    def known(self) -> AbstractSet[_Id]:
        """Those that were left out the last time."""
        return self._known

    @contextmanager
    def left_out(self, row_id: _Id) -> Iterator[None]:
        """Do without what is read here, if that raises CorruptedError."""
        try:
            yield
        except CorruptedError as error:
            if row_id not in self._known:
                self._known.add(row_id)
                _log.error(f"{self._what} left out", id=row_id, reason=str(error))
        else:
            self._known.discard(row_id)


def draft(notification_id: str, name: str, kind: str, document: Mapping[str, object]) -> Draft:
    """Read a draft from its columns; what an earlier version did not know is as usual.

    Raises:
        CorruptedError: another version wrote it, or somebody else.
    """
    with stored(f"notification {notification_id}"):
        return msgspec.convert({**document, "name": name, "kind": kind}, Draft)


def notification(row: RowMapping, now: datetime) -> Notification:
    """Read a row of the columns ``NOTIFICATION``; ``now`` decides how many secrets sign.

    Raises:
        CorruptedError: as ``draft`` does.
    """
    since = row["clicks_since"]
    read = draft(row["id"], row["name"], row["kind"], row["draft"])
    with stored(f"notification {row['id']}"):
        earlier = row["earlier_secret"] is not None and row["earlier_until"] > now
        return Notification(
            id=row["id"],
            account_sid=row["account_sid"],
            draft=read,
            created_at=row["created_at"],
            changed_at=row["changed_at"],
            failing_since=row["failing_since"],
            disabled_at=row["disabled_at"],
            disabled_reason=row["disabled_reason"],
            clicks_since=None if since is None else to_datetime(int(since)),
            secrets=(row["secret"], row["earlier_secret"]) if earlier else (row["secret"],),
        )


def delivery(row: RowMapping) -> Delivery:
    """Read a row of the columns ``DELIVERY``.

    Raises:
        CorruptedError: another version wrote it, or somebody else.
    """
    with stored(f"delivery {row['id']}"):
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
