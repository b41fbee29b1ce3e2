"""Click postbacks: the lake is followed, and each new click is put into the outbox once.

The loader knows nothing of it. Each notification has a cursor in the control database, which moves
in the transaction that puts its calls: whatever is killed in between, a click has one delivery.
Normally the lake's log is read entry by entry. Row keys in the newest version serve where that
cannot be: at the beginning, and when an entry is not kept any more.
"""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Column, Connection, Engine, Row, or_, select, update

from clickledger.clock import SteadyClock, to_datetime, to_micros
from clickledger.db.tables import notifications, partners, programs
from clickledger.errors import GoneError
from clickledger.lake import following, watermark
from clickledger.lake.following import Addition, Log
from clickledger.lake.store import Lake
from clickledger.postbacks import click_steps, outbox, rows
from clickledger.postbacks.click_rules import Cursor
from clickledger.postbacks.click_steps import Directory, Follower, Program, Step
from clickledger.postbacks.macros import CLICK_COLUMNS
from clickledger.postbacks.model import Kind
from clickledger.programs.days import load_zone

_log = structlog.get_logger(__name__)

#: Seconds between two looks; one that finds nothing costs a query and a file that is not there.
_POLL_S = 1.0
#: Clicks of one transaction, about: others that write wait for it.
_PIECE = 1000
#: A cursor that moved without a word is stored this often, in seconds. What a restart then reads
#: again is little, and a quiet notification costs no write for each load.
_STORE_S = 60.0
_STOP_S = 8.0
_COLUMNS: tuple[Column[Any], ...] = (
    notifications.c.id,
    notifications.c.account_sid,
    notifications.c.name,
    notifications.c.kind,
    notifications.c.draft,
    notifications.c.created_at,
    notifications.c.changed_at,
    notifications.c.click_cursor,
)
_ON = (
    notifications.c.kind == Kind.CLICK.value,
    notifications.c.disabled_at.is_(None),
    notifications.c.removed_at.is_(None),
)


class ClickPostbacks:
    """Follows one lake for the notifications of one control database; one per database at a time.

    ``mark``: file of the lake's mark. ``piece``: clicks of one transaction, about.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        lake: Lake,
        mark: Path,
        clock: SteadyClock,
        poll_s: float = _POLL_S,
        store_s: float = _STORE_S,
        piece: int = _PIECE,
    ) -> None:
        self._engine = engine
        self._lake_log = Log(lake)
        self._mark = mark
        self._clock = clock
        self._poll_s = poll_s
        self._store_s = store_s
        self._piece = piece
        self._followers: dict[str, Follower] = {}
        self._unreadable = rows.Unreadable[str]("notification that follows clicks")
        #: When each cursor was stored last, on the monotonic clock.
        self._stored_at: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="click-postbacks", daemon=True)
        self._trouble = ""

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def halt(self) -> None:
        """Begin to stop: returns at once."""
        self._stopping.set()

    def stop(self) -> None:
        """Stop; a transaction in progress is finished."""
        self.halt()
        self._thread.join(_STOP_S)

    def status(self) -> Mapping[str, object]:
        """Tell how it goes, for probes: plain JSON values; ``trouble`` is empty: all is well."""
        versions = [one.cursor.version for one in list(self._followers.values())]
        return {
            "following": len(versions),
            "version": min((one for one in versions if one is not None), default=None),
            "trouble": self._trouble,
        }

    def look(self) -> int:
        """Put whatever is new since the last look; return how many calls and digests.

        Raises:
            UnavailableError: not all of it could be put; the rest is for the next look.
        """
        self._refresh()
        if not self._followers:
            return 0
        # Taken first: what the mark promises is then in the entries that are read after it.
        mark = watermark.read(self._mark)
        put = 0
        current: set[str] = set()
        while behind := [one for one in self._followers.values() if one.id not in current]:
            if self._stopping.is_set():
                return put
            version = min(map(_version, behind))
            group = [one for one in behind if _version(one) == version]
            try:
                addition = self._next(group)
                if addition is None:
                    current.update(one.id for one in group)
                else:
                    put += self._put(group, addition)
            except GoneError as error:
                _log.warning("clicks_followed_by_row_keys", version=version, reason=str(error))
                put += self._put(group, self._newest(group), by_row_key=True)
        done = [click_steps.close(one, mark) for one in self._followers.values()]
        return put + self._commit(done)

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
                self._trouble = ""
            except Exception as error:  # noqa: BLE001 - one bad look must not end the looking
                if not self._trouble:
                    _log.exception("click_postbacks_failed")
                self._trouble = f"{type(error).__name__}: {error}"
            self._stopping.wait(self._poll_s)

    def _refresh(self) -> None:
        """Read which notifications are on."""
        with self._engine.connect() as connection:
            found = connection.execute(select(*_COLUMNS).where(*_ON)).all()
        followers = {}
        for row in found:
            with self._unreadable.left_out(row.id):
                followers[row.id] = self._follower(row)
        self._followers = followers
        self._stored_at = {one: at for one, at in self._stored_at.items() if one in self._followers}

    def _follower(self, row: Row[Any]) -> Follower:
        draft = rows.draft(row.id, row.name, row.kind, row.draft)
        known = self._followers.get(row.id)
        if row.click_cursor is None:
            cursor = Cursor.begin(to_micros(row.created_at))
        elif known and known.stored == row.click_cursor:
            cursor = known.cursor
        else:
            with rows.stored(f"the cursor of notification {row.id}"):
                cursor = Cursor.read(row.click_cursor)
        if cursor.version is None and (known is None or known.cursor.since != cursor.since):
            _log.info(
                "click_postbacks_begin",
                notification=row.id,
                account=row.account_sid,
                since=to_datetime(cursor.since).isoformat(),
            )
        return Follower(
            id=row.id,
            account_sid=row.account_sid,
            draft=draft,
            changed_at=row.changed_at,
            stored=row.click_cursor,
            cursor=cursor,
        )

    def _still(self, group: Iterable[Follower]) -> list[Follower]:
        """Return these followers as they are now, without those that were dropped."""
        return [self._followers[one.id] for one in group if one.id in self._followers]

    def _next(self, group: Sequence[Follower]) -> Addition | None:
        version = group[0].cursor.version
        return self._newest(group) if version is None else self._lake_log.after(version)

    def _newest(self, group: Sequence[Follower]) -> Addition:
        return self._lake_log.present(min(one.cursor.complete for one in group))

    def _put(
        self, group: Sequence[Follower], addition: Addition, *, by_row_key: bool = False
    ) -> int:
        """Put the new ones of these clicks, piece by piece, for followers at one version."""
        in_load = not by_row_key and group[0].cursor.version is not None
        received_from = min(one.cursor.since if in_load else one.cursor.complete for one in group)
        put = 0
        if any(latest >= received_from for _, latest in addition.spools.values()):
            if in_load:
                self._lake_log.settle(addition.version)
            directory = self._directory(group)
            for clicks in following.pieces(
                addition,
                CLICK_COLUMNS.values(),
                received_from=received_from,
                programs=directory.programs,
                limit=self._piece,
            ):
                steps = click_steps.tell(self._still(group), directory, clicks, in_load=in_load)
                put += self._commit(steps)
                if self._stopping.is_set():
                    return put
        return put + self._commit([click_steps.arrive(one, addition) for one in self._still(group)])

    def _commit(self, steps: Sequence[Step]) -> int:
        """Put events and move cursors, in one transaction; what moves silently is stored later."""
        storing = []
        for step in steps:
            if step.speaks or self._is_stale(step):
                storing.append(step)
            else:
                self._followers[step.follower.id] = replace(step.follower, cursor=step.cursor)
        if not storing:
            return 0
        put = 0
        stored: list[Follower] = []
        with self._engine.begin() as connection:
            unchanged = _unchanged(connection, [step.follower for step in storing])
            now = to_datetime(self._clock.now())
            for step in storing:
                if step.follower.id not in unchanged:
                    continue
                document = step.cursor.document()
                put += outbox.put_to(connection, step.follower.id, step.events, now)
                connection.execute(
                    update(notifications)
                    .where(notifications.c.id == step.follower.id)
                    .values(click_cursor=document)
                )
                stored.append(replace(step.follower, cursor=step.cursor, stored=document))
        for step in storing:  # who has just been changed, or switched off, is read anew
            self._followers.pop(step.follower.id, None)
        for follower in stored:
            self._followers[follower.id] = follower
            self._stored_at[follower.id] = time.monotonic()
        return put

    def _is_stale(self, step: Step) -> bool:
        before = self._stored_at.get(step.follower.id)
        late = before is None or time.monotonic() - before >= self._store_s
        return late and step.cursor.document() != step.follower.stored

    def _directory(self, group: Sequence[Follower]) -> Directory:
        sids = {one.account_sid for one in group}
        with self._engine.connect() as connection:
            of_partners = connection.execute(
                select(partners.c.id, partners.c.sid, partners.c.advertiser_sid).where(
                    or_(partners.c.sid.in_(sids), partners.c.advertiser_sid.in_(sids))
                )
            ).all()
            brands = sids | {row.advertiser_sid for row in of_partners}
            of_programs = connection.execute(
                select(
                    programs.c.id,
                    programs.c.advertiser_sid,
                    programs.c.time_zone,
                    programs.c.hide_sub_ids,
                ).where(programs.c.advertiser_sid.in_(brands))
            ).all()
        return Directory(
            programs={
                row.id: Program(
                    brand=row.advertiser_sid,
                    zone=load_zone(row.time_zone),
                    hide_sub_ids=row.hide_sub_ids,
                )
                for row in of_programs
            },
            partners={row.id: (row.sid, row.advertiser_sid) for row in of_partners},
        )


def _version(follower: Follower) -> int:
    return -1 if follower.cursor.version is None else follower.cursor.version


def _unchanged(connection: Connection, followers: Sequence[Follower]) -> set[str]:
    """Lock the rows of these followers; return the ids of those that are on and as we know them."""
    found = connection.execute(
        select(notifications.c.id, notifications.c.changed_at, notifications.c.click_cursor)
        .where(notifications.c.id.in_([one.id for one in followers]), *_ON)
        .order_by(notifications.c.id)
        .with_for_update()
    )
    now = {row.id: (row.changed_at, row.click_cursor) for row in found}
    return {one.id for one in followers if now.get(one.id) == (one.changed_at, one.stored)}
