"""The log: every delivery and each of its attempts; replaying them, and letting go of old ones."""

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    delete,
    exists,
    func,
    select,
    update,
)

from clickledger.clock import SteadyClock, to_datetime
from clickledger.db.tables import attempts, deliveries, notifications
from clickledger.errors import ConflictError, NotFoundError
from clickledger.postbacks import outbox, rows
from clickledger.postbacks.model import Attempt, Delivery, Fate

_log = structlog.get_logger(__name__)

#: Deliveries that one transaction replays or removes: the writers of the database take turns,
#: and none of them is to wait long.
_BATCH = 500

#: Largest id that a database can be asked for.
_MAX_ID = 2**63 - 1

#: Finished, and nobody was told.
_NEVER_ARRIVED = (Fate.FAILED, Fate.SKIPPED)


class Deliveries:
    """The deliveries of all accounts; safe to share between threads.

    Where an account is asked for, None means every one, for the operator.
    """

    def __init__(self, engine: Engine, clock: SteadyClock) -> None:
        self._engine = engine
        self._clock = clock

    def list(
        self,
        account_sid: str | None,
        *,
        notification_id: str | None = None,
        fate: Fate | None = None,
        failed_only: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
        page: int = 1,
        page_size: int = 1000,
    ) -> tuple[Sequence[Delivery], int]:
        """Return one page of deliveries, newest first, and how many there are on all pages.

        An event exactly at ``since`` is in, one exactly at ``until`` is not. ``failed_only``:
        FAILED and SKIPPED, which never arrived.
        """
        wanted = _wanted(account_sid, notification_id, since, until)
        if fate is not None:
            wanted.append(deliveries.c.fate == fate.value)
        if failed_only:
            wanted.append(_of(_NEVER_ARRIVED))
        with self._engine.connect() as connection:
            total = _count(connection, wanted)
            found = connection.execute(
                select(*rows.DELIVERY)
                .where(*wanted)
                .order_by(deliveries.c.id.desc())
                .limit(page_size)
                .offset((page - 1) * page_size)
            ).mappings()
            return tuple(map(rows.delivery, found)), total

    def get(self, account_sid: str | None, delivery_id: int) -> Delivery:
        """Return a delivery; NotFoundError when there is none, or it is another account's."""
        with self._engine.connect() as connection:
            return _delivery(connection, account_sid, delivery_id)

    def attempts(self, delivery_id: int) -> Sequence[Attempt]:
        """Return the attempts of a delivery, the first one first."""
        with self._engine.connect() as connection:
            found = connection.execute(
                select(*rows.ATTEMPT)
                .where(attempts.c.delivery_id == delivery_id)
                .order_by(attempts.c.number)
            ).mappings()
            return tuple(map(rows.attempt, found))

    def replay(self, account_sid: str | None, delivery_id: int) -> Delivery:
        """Queue a finished delivery once more, due now and with the same message id.

        Raises:
            NotFoundError: there is none, or it is another account's.
            ConflictError: it waits already, or its notification is off or removed.
        """
        with self._engine.begin() as connection:
            found = _delivery(connection, account_sid, delivery_id)
            _check_on(connection, found.notification_id)
            if not self._replay(connection, [delivery_id]):
                raise ConflictError(
                    f"Delivery {delivery_id} is waiting to be sent; it can be replayed when it "
                    "is DELIVERED, FAILED or SKIPPED."
                )
            replayed = _delivery(connection, account_sid, delivery_id)
        _log.info("delivery replayed", id=delivery_id, notification=found.notification_id)
        return replayed

    def replay_range(
        self,
        account_sid: str | None,
        *,
        notification_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        failed_only: bool = False,
        on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> int:
        """Queue the finished deliveries of a time once more, oldest first; return how many.

        Without a notification: of all that are on. ``failed_only``: FAILED and SKIPPED, which
        never arrived. Works in batches and tells ``on_progress`` after each how many are done,
        of how many; what a break leaves undone, another call does.

        Raises:
            NotFoundError: there is no such notification, or it is another account's.
            ConflictError: it is off.
        """
        fates = _NEVER_ARRIVED if failed_only else (*_NEVER_ARRIVED, Fate.DELIVERED)
        wanted = _wanted(account_sid, notification_id, since, until)
        wanted.append(_of(fates))
        wanted.append(deliveries.c.notification_id.in_(select(notifications.c.id).where(_ON)))
        with self._engine.connect() as connection:
            if notification_id is not None:
                _check_owner(connection, account_sid, notification_id)
                _check_on(connection, notification_id)
            # What is put from now on, and may finish while this works, is not meant.
            newest = select(func.coalesce(func.max(deliveries.c.id), 0))
            wanted.append(deliveries.c.id <= connection.execute(newest).scalar_one())
            total = _count(connection, wanted)
        on_progress(0, total)
        replayed, last = 0, 0
        while batch := self._next_batch(wanted, last):
            with self._engine.begin() as connection:
                replayed += self._replay(connection, batch)
            last = batch[-1]
            on_progress(replayed, max(total, replayed))
        if replayed:
            _log.info("deliveries replayed", count=replayed, notification=notification_id)
        return replayed

    def purge(self, before: datetime) -> int:
        """Remove what finished before then, with its attempts; return how many deliveries.

        A removed notification goes when the last of its deliveries has gone.
        """
        off = select(notifications.c.id).where(~_ON)
        with self._engine.begin() as connection:
            # Put by a transaction that did not see yet that its notification had been switched
            # off: nothing would ever send it.
            outbox.skip(connection, off, self._now())
        purged = 0
        old = select(deliveries.c.id).where(deliveries.c.finished_at < before).limit(_BATCH)
        while True:
            with self._engine.begin() as connection:
                # Its attempts go with it: the foreign key cascades.
                removed = connection.execute(
                    delete(deliveries).where(deliveries.c.id.in_(old))
                ).rowcount
            purged += removed
            if removed < _BATCH:
                break
        with self._engine.begin() as connection:
            connection.execute(
                delete(notifications).where(
                    notifications.c.removed_at < before,
                    ~exists().where(deliveries.c.notification_id == notifications.c.id),
                )
            )
        return purged

    def _next_batch(self, wanted: Sequence[ColumnElement[bool]], last: int) -> Sequence[int]:
        with self._engine.connect() as connection:
            return (
                connection.execute(
                    select(deliveries.c.id)
                    .where(*wanted, deliveries.c.id > last)
                    .order_by(deliveries.c.id)
                    .limit(_BATCH)
                )
                .scalars()
                .all()
            )

    def _replay(self, connection: Connection, delivery_ids: Sequence[int]) -> int:
        """Queue those of these deliveries that are finished; return how many were."""
        return connection.execute(
            update(deliveries)
            .where(deliveries.c.id.in_(delivery_ids), deliveries.c.fate != Fate.WAITING.value)
            .values(fate=Fate.WAITING.value, tries=0, next_at=self._now(), finished_at=None)
        ).rowcount

    def _now(self) -> datetime:
        return to_datetime(self._clock.now())


#: A notification that is there and switched on.
_ON = notifications.c.disabled_at.is_(None) & notifications.c.removed_at.is_(None)


def _wanted(
    account_sid: str | None,
    notification_id: str | None,
    since: datetime | None,
    until: datetime | None,
) -> list[ColumnElement[bool]]:
    wanted = []
    if account_sid is not None:
        wanted.append(rows.is_account(account_sid, deliveries.c.account_sid))
    if notification_id is not None:
        wanted.append(rows.is_notification(notification_id, deliveries.c.notification_id))
    if since is not None:
        wanted.append(deliveries.c.event_at >= since)
    if until is not None:
        wanted.append(deliveries.c.event_at < until)
    return wanted


def _of(fates: Sequence[Fate]) -> ColumnElement[bool]:
    return deliveries.c.fate.in_([fate.value for fate in fates])


def _count(connection: Connection, wanted: Sequence[ColumnElement[bool]]) -> int:
    return connection.execute(
        select(func.count()).select_from(deliveries).where(*wanted)
    ).scalar_one()


def _delivery(connection: Connection, account_sid: str | None, delivery_id: int) -> Delivery:
    wanted = _wanted(account_sid, None, None, None)
    if 0 < delivery_id <= _MAX_ID:
        query = select(*rows.DELIVERY).where(deliveries.c.id == delivery_id, *wanted)
        row = connection.execute(query).mappings().one_or_none()
        if row is not None:
            return rows.delivery(row)
    raise NotFoundError(f"There is no delivery {delivery_id}.")


def _check_owner(connection: Connection, account_sid: str | None, notification_id: str) -> None:
    owner = connection.execute(
        select(notifications.c.account_sid).where(rows.is_notification(notification_id))
    ).scalar_one_or_none()
    if owner is None or account_sid not in {None, owner}:
        raise NotFoundError("There is no such notification.")


def _check_on(connection: Connection, notification_id: str) -> None:
    """Refuse to queue for a notification for which nothing is sent."""
    columns = (notifications.c.disabled_at, notifications.c.removed_at)
    row = connection.execute(select(*columns).where(notifications.c.id == notification_id)).one()
    if row.removed_at is not None:
        raise ConflictError("The notification has been removed: nothing is sent for it any more.")
    if row.disabled_at is not None:
        raise ConflictError("The notification is disabled; enable it, then replay.")
