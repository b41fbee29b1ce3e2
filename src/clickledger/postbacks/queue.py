"""The worker's side of deliveries: what is due, in which order, and what became of it.

Nothing is marked as under way in the database: what a killed worker was at is due again at the
next start. So there may be one worker for a control database, which knows what it is at.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Select,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    not_,
    or_,
    select,
    union_all,
    update,
)

from clickledger.db.tables import attempts, deliveries, notifications
from clickledger.postbacks import masking, outbox, rows, schedule
from clickledger.postbacks.model import Delivery, Draft, Fate, Notification, Outcome, Prepared
from clickledger.postbacks.places import Places
from clickledger.postbacks.schedule import Verdict

_log = structlog.get_logger(__name__)

#: As declared by the table.
_OUTCOME_CHARS = 2000
#: Characters of a request's body that the log keeps.
_BODY_CHARS = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What may be sent to one endpoint now."""

    notification: Notification
    #: Those that were never tried come first.
    deliveries: Sequence[Delivery]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One call that was made, and what it leads to."""

    delivery: Delivery
    draft: Draft
    #: As it was sent; None: it could not be written.
    prepared: Prepared | None
    outcome: Outcome
    ended_at: datetime
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits."""

    waiting: int
    #: When that was due which has been due the longest and is in turn; None: nothing waits.
    due_at: datetime | None


class Queue:
    """Deliveries as the worker sees them; safe to share between threads.

    ``disable_days``: of nothing but failures, after which a notification is switched off.
    """

    def __init__(self, engine: Engine, disable_days: float) -> None:
        self._engine = engine
        self._disable_days = disable_days
        self._unreadable = rows.Unreadable[str]("notification")
        self._unreadable_deliveries = rows.Unreadable[int]("delivery")

    def due(
        self, now: datetime, busy: Mapping[str, AbstractSet[int]], places: Places
    ) -> Sequence[Due]:
        """List what may be sent now, endpoint by endpoint, and take the places for it.

        ``busy``: the deliveries under way, by notification. First attempts go before retries.
        Nothing is sent of an order key of which something earlier still waits. What cannot be
        read is left where it is, and holds nothing else up.
        """
        found = []
        with self._engine.connect() as connection:
            endpoints = []
            for row in connection.execute(_ENDPOINTS, {"now": now}).mappings():
                with self._unreadable.left_out(row["id"]):
                    endpoints.append(rows.notification(row, now))
            for notification in endpoints:
                chosen = self._chosen(connection, notification, busy, places, now)
                if chosen:
                    found.append(Due(notification=notification, deliveries=chosen))
        return found

    def backlog(self) -> Backlog:
        """Count what waits."""
        with self._engine.connect() as connection:
            row = connection.execute(_BACKLOG).one()
        return Backlog(waiting=row.waiting, due_at=row.due_at)

    def finish(self, results: Sequence[Result]) -> None:
        """Write what became of calls, all in one transaction: fate, log, the endpoint's record.

        A notification is switched off here when its endpoint asks for that or has failed for
        too long. A delivery that was taken out of the queue meanwhile stays out, and one that
        was replayed stays due, unless it arrived; one that is gone has no log.
        """
        with self._engine.begin() as connection:
            records = _Records.read(connection, results)
            finished = [
                made
                for result in results
                if (made := _finished(result, records.deliveries.get(result.delivery.id)))
            ]
            if finished:
                connection.execute(_FINISH, [row for row, _ in finished])
                connection.execute(insert(attempts), [row for _, row in finished])
            switched_off = self._judge(connection, results, records.notifications)
        for notification_id, reason in switched_off:
            _log.warning("notification disabled", id=notification_id, reason=reason)

    def _chosen(
        self,
        connection: Connection,
        notification: Notification,
        busy: Mapping[str, AbstractSet[int]],
        places: Places,
        now: datetime,
    ) -> Sequence[Delivery]:
        endpoint = notification.id
        failing = notification.failing_since is not None
        chosen: list[Delivery] = []
        for query, retry in ((_FIRST, False), (_RETRIES, True)):
            room = places.retry_room(endpoint, failing=failing) if retry else places.room(endpoint)
            if not room:
                continue
            values = {
                "endpoint": endpoint,
                "now": now,
                "busy": sorted(busy.get(endpoint, set()) | self._unreadable_deliveries.known),
                "room": room,
            }
            for row in connection.execute(query, values).mappings():
                with self._unreadable_deliveries.left_out(row["id"]):
                    chosen.append(rows.delivery(row))
                    places.take(endpoint, retry=retry)
        return chosen

    def _judge(
        self,
        connection: Connection,
        results: Sequence[Result],
        records: Mapping[str, RowMapping],
    ) -> list[tuple[str, str]]:
        """Keep the endpoints' records, and switch off those that it is time for.

        What an earlier URL of a notification answers says nothing of the present one.
        """
        switched_off = []
        by_endpoint: defaultdict[str, list[Result]] = defaultdict(list)
        for result in results:
            endpoint = result.delivery.notification_id
            if endpoint in records and records[endpoint]["url"] == result.draft.url:
                by_endpoint[endpoint].append(result)
        for endpoint, of_it in by_endpoint.items():
            was = since = records[endpoint]["failing_since"]
            gone = ""
            for result in of_it:  # in the order in which the calls ended
                arrived = result.verdict.fate is Fate.DELIVERED
                since = None if arrived else since or result.outcome.started_at
                if result.verdict.disable:
                    gone = result.verdict.sentence
            now = of_it[-1].ended_at
            reason = gone or schedule.worn_out(since, now, self._disable_days)
            if since != was:
                connection.execute(
                    update(notifications)
                    .where(notifications.c.id == endpoint)
                    .values(failing_since=since)
                )
            if reason and outbox.switch_off(connection, endpoint, reason, now):
                switched_off.append((endpoint, reason))
        return switched_off


@dataclass(frozen=True, slots=True)
class _Records:
    """What the database says of the deliveries of some results, and of their endpoints."""

    notifications: Mapping[str, RowMapping]
    deliveries: Mapping[int, RowMapping]

    @classmethod
    def read(cls, connection: Connection, results: Sequence[Result]) -> "_Records":
        """Read them, to be changed; in the order in which whoever else changes them does."""
        endpoints = {result.delivery.notification_id for result in results}
        ids = [result.delivery.id for result in results]
        of_endpoints = connection.execute(_RECORDS, {"ids": sorted(endpoints)}).mappings()
        known = {row["id"]: row for row in of_endpoints}
        of_deliveries = connection.execute(_STANDING, {"ids": sorted(ids)}).mappings()
        return cls(known, {row["id"]: row for row in of_deliveries})


def _finished(
    result: Result, row: RowMapping | None
) -> tuple[dict[str, object], dict[str, object]] | None:
    """Make the new values of a delivery and the row of its attempt; None: it is gone."""
    if row is None:
        return None
    verdict = result.verdict
    tries = row["tries"]
    waits = row["fate"] == Fate.WAITING.value and tries == result.delivery.tries
    stands = waits or verdict.fate is Fate.DELIVERED
    number = row["attempts"] + 1
    delivery = {
        "delivery": row["id"],
        "to_fate": verdict.fate.value if stands else row["fate"],
        "to_next_at": verdict.next_at if stands else row["next_at"],
        "to_attempts": number,
        "to_tries": tries + 1 if stands else tries,
        "to_finished_at": (
            row["finished_at"]
            if not stands
            else None
            if verdict.fate is Fate.WAITING
            else result.ended_at
        ),
    }
    return delivery, {"delivery_id": row["id"], "number": number, **_shown(result)}


def _shown(result: Result) -> dict[str, object]:
    """Return what the log shows of a call: no secrets, and nothing a database cannot hold."""
    draft, sent, outcome = result.draft, result.prepared, result.outcome
    url = draft.url if sent is None else sent.url
    return {
        "started_at": outcome.started_at,
        "duration_ms": outcome.duration_ms,
        "method": draft.method.value,
        "url": masking.url(url, draft.url),
        "request_headers": [] if sent is None else masking.request_headers(sent.headers),
        "request_body": "" if sent is None else _text(sent.body, draft)[:_BODY_CHARS],
        "status": outcome.status,
        "response_headers": masking.response_headers(outcome.headers, draft),
        "response_body": _text(outcome.body, draft),
        "outcome": result.verdict.sentence[:_OUTCOME_CHARS],
    }


def _text(body: bytes, draft: Draft) -> str:
    # PostgreSQL has no NUL in text.
    text = body.decode("utf-8", "replace").replace("\x00", "\ufffd")
    return masking.text(text, draft) if text else ""


# Conditions of the partial indexes are written out: bound values would not be recognised.
_WAITING = deliveries.c.fate == literal_column("'WAITING'")
_NEVER_TRIED = deliveries.c.tries == literal_column("0")
_DUE = deliveries.c.next_at <= bindparam("now")
#: Attempts that something still waiting can have behind it.
_TRIES = range(1, len(schedule.SCHEDULE_S))

_earlier = deliveries.alias("earlier")
_IN_TURN = or_(
    deliveries.c.order_key == literal_column("''"),
    not_(
        exists().where(
            _earlier.c.notification_id == deliveries.c.notification_id,
            _earlier.c.order_key == deliveries.c.order_key,
            _earlier.c.order_key != literal_column("''"),
            _earlier.c.fate == literal_column("'WAITING'"),
            _earlier.c.id < deliveries.c.id,
        )
    ),
)


def _of_endpoint(tries: int) -> tuple[ColumnElement[bool], ...]:
    return (
        deliveries.c.notification_id == bindparam("endpoint"),
        _WAITING,
        deliveries.c.tries == literal_column(str(tries)),
        _DUE,
        deliveries.c.id.not_in(bindparam("busy", expanding=True)),
        _IN_TURN,
    )


def _retries() -> Select[Any]:
    """Those due the longest; for each place in the schedule by itself, as the index has them."""
    places = [
        select(deliveries.c.id, deliveries.c.next_at)
        .where(*_of_endpoint(tries))
        .order_by(deliveries.c.next_at)
        .limit(bindparam("room"))
        .subquery(f"after_{tries}")
        for tries in _TRIES
    ]
    all_places = union_all(*(select(place.c.id, place.c.next_at) for place in places)).subquery()
    return (
        select(*rows.DELIVERY)
        .join(all_places, all_places.c.id == deliveries.c.id)
        .order_by(deliveries.c.next_at, deliveries.c.id)
        .limit(bindparam("room"))
    )


_ENDPOINTS = (
    select(*rows.NOTIFICATION)
    .where(
        notifications.c.disabled_at.is_(None),
        notifications.c.removed_at.is_(None),
        or_(
            *(
                exists().where(
                    deliveries.c.notification_id == notifications.c.id, _WAITING, tried, _DUE
                )
                for tried in (
                    _NEVER_TRIED,
                    deliveries.c.tries.in_([literal_column(str(tries)) for tries in _TRIES]),
                )
            )
        ),
    )
    .order_by(notifications.c.id)
)
_FIRST = (
    select(*rows.DELIVERY)
    .where(*_of_endpoint(0))
    .order_by(deliveries.c.next_at, deliveries.c.id)
    .limit(bindparam("room"))
)
_RETRIES = _retries()
_BACKLOG = select(
    func.count().label("waiting"),
    # What has to wait for an earlier one of its key is not late.
    func.min(deliveries.c.next_at).filter(_IN_TURN).label("due_at"),
).where(_WAITING)
_RECORDS = (
    select(
        notifications.c.id,
        notifications.c.failing_since,
        notifications.c.draft["url"].as_string().label("url"),
    )
    .where(notifications.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(notifications.c.id)
    .with_for_update()
)
_STANDING = (
    select(
        deliveries.c.id,
        deliveries.c.fate,
        deliveries.c.next_at,
        deliveries.c.attempts,
        deliveries.c.tries,
        deliveries.c.finished_at,
    )
    .where(deliveries.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(deliveries.c.id)
    .with_for_update()
)
_FINISH = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("delivery"))
    .values(
        fate=bindparam("to_fate"),
        next_at=bindparam("to_next_at"),
        attempts=bindparam("to_attempts"),
        tries=bindparam("to_tries"),
        finished_at=bindparam("to_finished_at"),
    )
)
