"""Notifications in the control database: what each account has asked to be told, and where.

Everything is checked before it is stored, and all that is wrong is told at once. A notification
belongs to one account and stays there; to every other it does not exist.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    exc,
    func,
    insert,
    null,
    select,
    update,
)

from clickledger import ids
from clickledger.clock import SteadyClock, to_datetime, to_micros
from clickledger.db.tables import accounts, notifications, partners, programs
from clickledger.errors import (
    ClickledgerError,
    ConflictError,
    FieldError,
    InvalidInputError,
    NotFoundError,
)
from clickledger.postbacks import outbox, rows, rules, signing, templates
from clickledger.postbacks.click_rules import Cursor
from clickledger.postbacks.macros import MACROS
from clickledger.postbacks.model import Draft, Kind, Notification

_log = structlog.get_logger(__name__)

_BY_HAND = "Disabled by hand."


class Guard(Protocol):
    """What decides which addresses may be called."""

    def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Look a host up; a ClickledgerError says in a sentence why it may not be called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What came of the drafts of one ``apply``, each in the order given."""

    created: tuple[Notification, ...]
    changed: tuple[Notification, ...]
    unchanged: tuple[Notification, ...]


class InvalidDraftsError(InvalidInputError):
    """Some of several drafts are wrong; ``of_draft`` tells each one's errors by its position."""

    def __init__(self, of_draft: Mapping[int, Sequence[FieldError]]) -> None:
        fields = [error for errors in of_draft.values() for error in errors]
        super().__init__(_sentence(fields), *fields)
        self.of_draft = of_draft


class Notifications:
    """The notifications of all accounts; safe to share between threads.

    ``overlap``: how long the earlier secret signs too after a rotation. Methods that take an
    account and an id raise NotFoundError when that account has no such notification.
    """

    def __init__(
        self, engine: Engine, clock: SteadyClock, guard: Guard, overlap: timedelta
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._guard = guard
        self._overlap = overlap

    def create(
        self,
        account_sid: str,
        draft: Draft,
        secret: str | None = None,
        *,
        known: Sequence[FieldError] = (),
    ) -> Notification:
        """Add a notification; without a secret it gets a new one.

        ``known``: what the caller found wrong before; it is told with the rest.

        Raises:
            InvalidInputError: names every wrong field.
            NotFoundError: there is no such account.
        """
        errors = (*known, *self._judge(draft), *_judge_secret(secret))
        with self._writing() as connection:
            account = _Account.read(connection, account_sid)
            _refuse(errors + account.judge(draft))
            made = self._insert(connection, account_sid, draft, secret)
        _tell(made.id, account_sid, "created")
        return made

    def get(self, account_sid: str, notification_id: str) -> Notification:
        """Return a notification of this account."""
        return self._find(rows.is_notification(notification_id), rows.is_account(account_sid))

    def find(self, notification_id: str) -> Notification:
        """Return a notification of any account, for the operator."""
        return self._find(rows.is_notification(notification_id))

    def list(
        self, account_sid: str | None = None, page: int = 1, page_size: int = 1000
    ) -> tuple[Sequence[Notification], int]:
        """Return one page of notifications, oldest first, and how many there are on all pages.

        ``account_sid`` None: of every account, for the operator.
        """
        wanted: tuple[ColumnElement[bool], ...] = (notifications.c.removed_at.is_(None),)
        if account_sid is not None:
            wanted += (rows.is_account(account_sid),)
        with self._engine.connect() as connection:
            total = connection.execute(
                select(func.count()).select_from(notifications).where(*wanted)
            ).scalar_one()
            found = connection.execute(
                select(*rows.NOTIFICATION)
                .where(*wanted)
                .order_by(notifications.c.created_at, notifications.c.id)
                .limit(page_size)
                .offset((page - 1) * page_size)
            ).mappings()
            now = self._now()
            return tuple(rows.notification(row, now) for row in found), total

    def change(
        self,
        account_sid: str,
        notification_id: str,
        draft: Draft,
        *,
        made_of: Draft | None = None,
        known: Sequence[FieldError] = (),
    ) -> Notification:
        """Put another draft in the place of the present one; the kind cannot change.

        ``made_of``: the draft that the new one differs from by what was asked for.
        ``known``: what the caller found wrong before; it is told with the rest.

        What waits is sent as the new draft says. A new URL starts with a clean record.

        Raises:
            InvalidInputError: names every wrong field.
            ConflictError: the present draft is not the one that the new one was made of.
        """
        errors = (*known, *self._judge(draft))
        with self._writing() as connection:
            account = _Account.read(connection, account_sid)
            present = self._locked(connection, account_sid, notification_id)
            if made_of is not None and present.draft != made_of:
                raise ConflictError("The notification was changed at the same time; try again.")
            _refuse(errors + account.judge(draft, present))
            changed = self._update(connection, present, draft)
        _tell(changed.id, account_sid, "changed")
        return changed

    def remove(self, account_sid: str, notification_id: str) -> None:
        """Remove a notification; what waits for it is skipped, its log stays for its time.

        One that cannot be read can be removed as well.
        """
        with self._writing() as connection:
            now = self._now()
            removed = connection.execute(
                update(notifications)
                .where(
                    rows.is_notification(notification_id),
                    rows.is_account(account_sid),
                    notifications.c.removed_at.is_(None),
                )
                .values(
                    removed_at=now,
                    changed_at=now,
                    # Nothing is signed for it any more.
                    secret="",
                    earlier_secret=None,
                    earlier_until=None,
                )
            )
            if removed.rowcount != 1:
                raise _no_such()
            outbox.skip(connection, [notification_id], now)
        _tell(notification_id, account_sid, "removed")

    def enable(self, account_sid: str, notification_id: str) -> Notification:
        """Switch a notification on, with a clean record; one that is on stays as it is.

        Nothing that was skipped meanwhile is sent; a replay does that. Clicks are followed from
        the lake's present on.
        """
        with self._writing() as connection:
            present = self._locked(connection, account_sid, notification_id)
            if present.disabled_at is None:
                return present
            now = self._now()
            # Put by a transaction that did not see yet that it had been switched off.
            outbox.skip(connection, [present.id], now)
            follows = present.draft.kind is Kind.CLICK
            cursor = Cursor.begin(to_micros(now)).document() if follows else null()
            enabled = self._store(
                connection,
                present.id,
                disabled_at=None,
                disabled_reason="",
                failing_since=None,
                click_cursor=cursor,
            )
        _tell(enabled.id, account_sid, "enabled")
        return enabled

    def disable(
        self, account_sid: str, notification_id: str, reason: str = _BY_HAND
    ) -> Notification:
        """Switch a notification off; what waits is skipped. One that is off keeps its reason."""
        with self._writing() as connection:
            present = self._locked(connection, account_sid, notification_id)
            if not outbox.switch_off(connection, present.id, reason, self._now()):
                return present
            disabled = self._locked(connection, account_sid, notification_id)
        _tell(disabled.id, account_sid, "disabled", reason=reason)
        return disabled

    def rotate_secret(
        self, account_sid: str, notification_id: str, secret: str | None = None
    ) -> Notification:
        """Give a notification another secret; the present one signs too for a while.

        A secret that was still signing besides the present one ends at once: two at most sign.

        Raises:
            InvalidInputError: ``secret`` is none, or is the present one.
        """
        errors = _judge_secret(secret)
        with self._writing() as connection:
            present = self._locked(connection, account_sid, notification_id)
            if secret == present.secrets[0]:
                errors = (FieldError(field="Secret", message="is the present one already"),)
            _refuse(errors)
            rotated = self._store(
                connection,
                present.id,
                secret=secret or signing.new_secret(),
                earlier_secret=present.secrets[0],
                earlier_until=self._now() + self._overlap,
            )
        _tell(rotated.id, account_sid, "secret rotated")
        return rotated

    def apply(self, account_sid: str, drafts: Sequence[Draft]) -> Applied:
        """Make the notifications of these names as these drafts say, all of them or none.

        What is there under another name is left alone; so is whether one is enabled.

        Raises:
            InvalidDraftsError: names every wrong field of every draft.
            NotFoundError: there is no such account.
        """
        judged = [self._judge(draft) for draft in drafts]
        created, changed, unchanged = [], [], []
        with self._writing() as connection:
            account = _Account.read(connection, account_sid)
            present = {
                found.draft.name: found for found in self._all_locked(connection, account_sid)
            }
            of_draft: dict[int, Sequence[FieldError]] = {}
            names: set[str] = set()
            for position, (draft, errors) in enumerate(zip(drafts, judged, strict=True)):
                found = errors + account.judge(draft, present.get(draft.name))
                if draft.name in names:
                    found += (FieldError(field="Name", message="stands here twice"),)
                names.add(draft.name)
                if found:
                    of_draft[position] = found
            if of_draft:
                raise InvalidDraftsError(of_draft)
            for draft in drafts:
                earlier = present.get(draft.name)
                if earlier is None:
                    created.append(self._insert(connection, account_sid, draft, None))
                elif earlier.draft == draft:
                    unchanged.append(earlier)
                else:
                    changed.append(self._update(connection, earlier, draft))
        for change, told in (("created", created), ("changed", changed)):
            for notification in told:
                _tell(notification.id, account_sid, change)
        return Applied(created=tuple(created), changed=tuple(changed), unchanged=tuple(unchanged))

    def _judge(self, draft: Draft) -> tuple[FieldError, ...]:
        """Find what is wrong with a draft in itself, and with the address it names."""
        errors = tuple(rules.check(draft))
        if any(error.field == "Url" for error in errors):
            return errors
        url = templates.compile_url(draft.url, MACROS[draft.kind])
        try:
            self._guard.addresses(url.host, url.port)
        except ClickledgerError as error:
            return (*errors, FieldError(field="Url", message=str(error)))
        return errors

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except exc.IntegrityError as error:  # another has just taken the name, on PostgreSQL
            raise _invalid([_NAME_TAKEN]) from error

    def _insert(
        self, connection: Connection, account_sid: str, draft: Draft, secret: str | None
    ) -> Notification:
        notification_id, now = ids.new_notification_id(), self._now()
        connection.execute(
            insert(notifications).values(
                id=notification_id,
                account_sid=account_sid,
                name=draft.name,
                kind=draft.kind.value,
                draft=rows.draft_json(draft),
                secret=secret or signing.new_secret(),
                created_at=now,
                changed_at=now,
            )
        )
        return self._read(connection, notification_id)

    def _update(self, connection: Connection, present: Notification, draft: Draft) -> Notification:
        record = {} if draft.url == present.draft.url else {"failing_since": None}
        return self._store(
            connection, present.id, name=draft.name, draft=rows.draft_json(draft), **record
        )

    def _store(
        self, connection: Connection, notification_id: str, **values: object
    ) -> Notification:
        connection.execute(
            update(notifications)
            .where(notifications.c.id == notification_id)
            .values(changed_at=self._now(), **values)
        )
        return self._read(connection, notification_id)

    def _read(self, connection: Connection, notification_id: str) -> Notification:
        query = select(*rows.NOTIFICATION).where(notifications.c.id == notification_id)
        return rows.notification(connection.execute(query).mappings().one(), self._now())

    def _locked(
        self, connection: Connection, account_sid: str, notification_id: str
    ) -> Notification:
        """Read a notification that this transaction is going to change."""
        wanted = rows.is_notification(notification_id)
        found = self._all_locked(connection, account_sid, wanted)
        return _present(found[0] if found else None)

    def _all_locked(
        self, connection: Connection, account_sid: str, *wanted: ColumnElement[bool]
    ) -> Sequence[Notification]:
        now = self._now()
        found = connection.execute(
            select(*rows.NOTIFICATION)
            .where(
                rows.is_account(account_sid),
                notifications.c.removed_at.is_(None),
                *wanted,
            )
            .order_by(notifications.c.id)
            # Its key does not change: an event that is put meanwhile need not wait.
            .with_for_update(key_share=True)
        ).mappings()
        return [rows.notification(row, now) for row in found]

    def _find(self, *wanted: ColumnElement[bool]) -> Notification:
        query = select(*rows.NOTIFICATION).where(notifications.c.removed_at.is_(None), *wanted)
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return _present(None if row is None else rows.notification(row, self._now()))

    def _now(self) -> datetime:
        return to_datetime(self._clock.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """What an account may name in a draft, and the names it has given already."""

    program_ids: frozenset[int]
    partner_ids: frozenset[int]
    #: Name → id of the notification that has it.
    names: Mapping[str, str]

    @classmethod
    def read(cls, connection: Connection, sid: str) -> "_Account":
        """Read it; NotFoundError when there is none."""
        known = connection.execute(
            select(accounts.c.kind).where(rows.is_account(sid, accounts.c.sid))
        )
        if known.one_or_none() is None:
            raise NotFoundError(f"there is no account {sid!r}")
        # A partner account is one partner of one brand, and is told of that brand's programs.
        own = select(partners.c.advertiser_sid).where(partners.c.sid == sid)
        brand = (programs.c.advertiser_sid == sid) | programs.c.advertiser_sid.in_(own)
        mine = (partners.c.advertiser_sid == sid) | (partners.c.sid == sid)
        there = (notifications.c.account_sid == sid, notifications.c.removed_at.is_(None))
        named = connection.execute(select(notifications.c.name, notifications.c.id).where(*there))
        return cls(
            program_ids=frozenset(connection.execute(select(programs.c.id).where(brand)).scalars()),
            partner_ids=frozenset(connection.execute(select(partners.c.id).where(mine)).scalars()),
            names={row.name: row.id for row in named},
        )

    def judge(self, draft: Draft, present: Notification | None = None) -> tuple[FieldError, ...]:
        """Find what is wrong with a draft in this account, in the place of ``present``."""
        errors = [
            FieldError(field=field, message=f"there is no {what} {number}")
            for field, what, named, known in (
                ("ProgramIds", "program", draft.program_ids, self.program_ids),
                ("PartnerIds", "partner", draft.partner_ids, self.partner_ids),
            )
            for number in named
            if number > 0 and number not in known
        ]
        holder = self.names.get(draft.name)
        if holder is not None and (present is None or holder != present.id):
            errors.append(_NAME_TAKEN)
        if present is not None and present.draft.kind is not draft.kind:
            errors.append(
                FieldError(
                    field="Kind",
                    message=f"is {present.draft.kind.value} and cannot change; "
                    "make another notification",
                )
            )
        return tuple(errors)


_NAME_TAKEN = FieldError(field="Name", message="another notification has this name")


def _judge_secret(secret: str | None) -> tuple[FieldError, ...]:
    if secret is None:
        return ()
    problem = signing.check_secret(secret)
    return (FieldError(field="Secret", message=problem),) if problem else ()


def _refuse(errors: Sequence[FieldError]) -> None:
    if errors:
        raise _invalid(errors)


def _invalid(errors: Sequence[FieldError]) -> InvalidInputError:
    return InvalidInputError(_sentence(errors), *errors)


def _sentence(errors: Sequence[FieldError]) -> str:
    return "; ".join(f"{error.field}: {error.message}" for error in errors)


def _present(found: Notification | None) -> Notification:
    if found is None:
        raise _no_such()
    return found


def _no_such() -> NotFoundError:
    return NotFoundError("There is no such notification.")


def _tell(notification_id: str, account_sid: str, change: str, **facts: object) -> None:
    """Write one line for a notification that has changed; only after the commit."""
    _log.info("notification", id=notification_id, account=account_sid, change=change, **facts)
