"""The outbox: an event becomes deliveries in the very transaction of the change that caused it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, literal_column, select, update

from clickledger import ids
from clickledger.db.tables import deliveries, notifications
from clickledger.postbacks import rows, rules
from clickledger.postbacks.model import Event, Fate

#: As declared by the table.
_REASON_CHARS = 2000


def put(connection: Connection, event: Event, now: datetime) -> int:
    """Queue an event for every notification that wants it; return for how many.

    One that is disabled gets its delivery too, SKIPPED: it is in the log and can be replayed.
    One that cannot be read gets none, and a line in our own log.
    """
    found = connection.execute(
        _interested()
        .where(
            notifications.c.account_sid.in_(event.account_sids),
            notifications.c.kind == event.kind.value,
        )
        .order_by(notifications.c.id)
    ).all()
    return _queue(connection, found, [event], now)


def put_to(
    connection: Connection, notification_id: str, events: Iterable[Event], now: datetime
) -> int:
    """Queue many events, in order, for one notification; return how many of them it wants.

    Events of another account or kind are not for it. None are when it has been removed.
    """
    found = connection.execute(_interested().where(notifications.c.id == notification_id)).all()
    return _queue(connection, found, events, now)


def switch_off(connection: Connection, notification_id: str, reason: str, now: datetime) -> bool:
    """Disable a notification and skip what waits for it; False: it was not on."""
    switched = connection.execute(
        update(notifications)
        .where(
            notifications.c.id == notification_id,
            notifications.c.disabled_at.is_(None),
            notifications.c.removed_at.is_(None),
        )
        .values(disabled_at=now, disabled_reason=reason[:_REASON_CHARS])
    )
    if switched.rowcount != 1:
        return False
    skip(connection, [notification_id], now)
    return True


def skip(
    connection: Connection, notification_ids: Sequence[str] | Select[tuple[str]], now: datetime
) -> int:
    """Take what waits for these notifications out of the queue; return how many deliveries."""
    skipped = connection.execute(
        update(deliveries)
        .where(
            deliveries.c.notification_id.in_(notification_ids),
            # Written out, and with its second column, SQLite takes the index of what waits; it
            # would read the whole log of a notification otherwise.
            deliveries.c.fate == literal_column("'WAITING'"),
            deliveries.c.tries >= 0,
        )
        .values(fate=Fate.SKIPPED.value, next_at=None, finished_at=now)
    )
    return skipped.rowcount


def _interested() -> Select[Any]:
    return select(
        notifications.c.id,
        notifications.c.account_sid,
        notifications.c.name,
        notifications.c.kind,
        notifications.c.draft,
        notifications.c.disabled_at,
    ).where(notifications.c.removed_at.is_(None))


def _queue(
    connection: Connection, found: Sequence[Row[Any]], events: Iterable[Event], now: datetime
) -> int:
    wanting = []
    # The change goes on without it: whoever caused the event did nothing wrong.
    unreadable = rows.Unreadable[str]("notification")
    for row in found:
        with unreadable.left_out(row.id):
            wanting.append((row, rows.draft(row.id, row.name, row.kind, row.draft)))
    queued = [
        _delivery(row, event, draft.minimum_delay_s, now)
        for event in events
        for row, draft in wanting
        if row.account_sid in event.account_sids
        and draft.kind is event.kind
        and rules.matches(draft, event)
    ]
    if queued:
        connection.execute(insert(deliveries), queued)
    return len(queued)


def _delivery(row: Row[Any], event: Event, delay_s: int, now: datetime) -> dict[str, object]:
    on = row.disabled_at is None
    return {
        "message_id": ids.new_message_id(),
        "notification_id": row.id,
        "account_sid": row.account_sid,
        "kind": event.kind.value,
        "event": event.name,
        "program_id": event.program_id,
        "partner_id": event.partner_id,
        "order_key": event.order_key,
        "values": dict(event.values),
        "event_at": event.at,
        "created_at": now,
        "fate": Fate.WAITING.value if on else Fate.SKIPPED.value,
        "next_at": event.at + timedelta(seconds=delay_s) if on else None,
        "attempts": 0,
        "tries": 0,
        "finished_at": None if on else now,
    }
