"""Whatever is done to notifications and deliveries, nothing is lost and nothing is doubled."""

from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import create_engine, select, update
from sqlalchemy.pool import StaticPool

from clickledger.clock import SECOND, SteadyClock, to_datetime
from clickledger.db.tables import accounts, deliveries, metadata, notifications
from clickledger.errors import ConflictError, NotFoundError
from clickledger.postbacks import outbox
from clickledger.postbacks.log import Deliveries
from clickledger.postbacks.model import Draft, Event, Fate, Kind
from clickledger.postbacks.store import Notifications
from clickledger.testing.notifications import OVERLAP, FixedGuard

SIDS = ("IR1", "IR2")
NAMES = ("a", "b")
PLACES = st.tuples(st.sampled_from(SIDS), st.sampled_from(NAMES))
KEEP = timedelta(minutes=10)


class History(RuleBasedStateMachine):
    """Two accounts, two names in each; every call that there is, beside a plain model of it all."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_700_000_000 * SECOND
        self.engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            for sid in SIDS:
                connection.execute(
                    accounts.insert().values(
                        sid=sid, kind="advertiser", name=sid, token_hash=b"", created_at=self.moment
                    )
                )
        clock = SteadyClock(lambda: self.now)
        self.store = Notifications(self.engine, clock, FixedGuard(), OVERLAP)
        self.log = Deliveries(self.engine, clock)
        #: The notifications that are there: account and name → id; and which of them are on.
        self.ids: dict[tuple[str, str], str] = {}
        self.on: set[str] = set()
        #: Deliveries by id: notification, message id, fate, and since when it is finished.
        self.model: dict[int, tuple[str, str, Fate, datetime | None]] = {}

    def teardown(self) -> None:
        self.engine.dispose()

    @property
    def moment(self) -> datetime:
        return to_datetime(self.now)

    def skip(self, notification_id: str) -> None:
        for key, (owner, message, fate, _) in self.model.items():
            if owner == notification_id and fate is Fate.WAITING:
                self.model[key] = (owner, message, Fate.SKIPPED, self.moment)

    @rule(seconds=st.sampled_from([1, 60, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(place=PLACES)
    def add(self, place: tuple[str, str]) -> None:
        if place in self.ids:
            return
        draft = Draft(name=place[1], kind=Kind.CLICK, url="https://hooks.example/")
        made = self.store.create(place[0], draft)
        self.ids[place] = made.id
        self.on.add(made.id)

    @rule(sids=st.sampled_from([("IR1",), ("IR2",), SIDS]))
    def put(self, sids: tuple[str, ...]) -> None:
        wanted = {one for (sid, _), one in self.ids.items() if sid in sids}
        event = Event(
            kind=Kind.CLICK,
            name="CLICK",
            account_sids=sids,
            program_id=1,
            at=self.moment,
            values={},
        )
        with self.engine.begin() as connection:
            assert outbox.put(connection, event, self.moment) == len(wanted)
        new = [one for one in self.log.list(None)[0] if one.id not in self.model]
        assert {one.notification_id for one in new} == wanted
        assert len(new) == len(wanted)
        for one in new:
            on = one.notification_id in self.on
            self.model[one.id] = (
                one.notification_id,
                one.message_id,
                Fate.WAITING if on else Fate.SKIPPED,
                None if on else self.moment,
            )

    @rule(fate=st.sampled_from([Fate.DELIVERED, Fate.FAILED]), data=st.data())
    @precondition(lambda self: self.waiting())
    def finish(self, fate: Fate, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.waiting()))
        with self.engine.begin() as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == key)
                .values(fate=fate.value, next_at=None, tries=3, finished_at=self.moment)
            )
        owner, message, _, _ = self.model[key]
        self.model[key] = (owner, message, fate, self.moment)

    def waiting(self) -> list[int]:
        return [key for key, (*_, fate, _) in self.model.items() if fate is Fate.WAITING]

    @rule(place=PLACES)
    def disable(self, place: tuple[str, str]) -> None:
        if place in self.ids:
            self.store.disable(place[0], self.ids[place])
            self.on.discard(self.ids[place])
            self.skip(self.ids[place])

    @rule(place=PLACES)
    def enable(self, place: tuple[str, str]) -> None:
        if place in self.ids:
            self.store.enable(place[0], self.ids[place])
            self.on.add(self.ids[place])

    @rule(place=PLACES)
    def remove(self, place: tuple[str, str]) -> None:
        if place in self.ids:
            gone = self.ids.pop(place)
            self.store.remove(place[0], gone)
            self.on.discard(gone)
            self.skip(gone)
            with pytest.raises(NotFoundError):
                self.store.get(place[0], gone)

    @rule(data=st.data())
    @precondition(lambda self: self.model)
    def replay(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        owner, message, fate, _ = self.model[key]
        if owner not in self.on or fate is Fate.WAITING:
            with pytest.raises(ConflictError):
                self.log.replay(None, key)
            return
        assert self.log.replay(None, key).tries == 0
        self.model[key] = (owner, message, Fate.WAITING, None)

    @rule(sid=st.sampled_from([None, *SIDS]), failed_only=st.booleans())
    def replay_range(self, sid: str | None, failed_only: bool) -> None:
        owners = {one for (owner, _), one in self.ids.items() if sid in {None, owner}} & self.on
        meant = [
            key
            for key, (owner, _, fate, _) in self.model.items()
            if owner in owners
            and fate is not Fate.WAITING
            and not (failed_only and fate is Fate.DELIVERED)
        ]
        assert self.log.replay_range(sid, failed_only=failed_only) == len(meant)
        for key in meant:
            owner, message, _, _ = self.model[key]
            self.model[key] = (owner, message, Fate.WAITING, None)

    @rule()
    def purge(self) -> None:
        limit = self.moment - KEEP
        old = [key for key, (*_, at) in self.model.items() if at is not None and at < limit]
        assert self.log.purge(limit) == len(old)
        for key in old:
            del self.model[key]

    @invariant()
    def the_log_is_as_the_model_says(self) -> None:
        found, total = self.log.list(None)
        assert total == len(found)
        assert {
            one.id: (one.notification_id, one.message_id, one.fate, one.finished_at)
            for one in found
        } == self.model
        assert all((one.next_at is not None) == (one.fate is Fate.WAITING) for one in found)

    @invariant()
    def only_what_is_on_has_anything_waiting(self) -> None:
        assert {self.model[key][0] for key in self.waiting()} <= self.on

    @invariant()
    def every_delivery_has_its_notification(self) -> None:
        with self.engine.connect() as connection:
            known = set(connection.execute(select(notifications.c.id)).scalars())
        assert {owner for owner, *_ in self.model.values()} | set(self.ids.values()) <= known


TestHistories = History.TestCase
TestHistories.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
