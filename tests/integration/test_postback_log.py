"""The log of deliveries: looking them up, replaying them, letting go of old ones."""

from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update

from clickledger.clock import to_datetime
from clickledger.db import tables
from clickledger.errors import ConflictError, NotFoundError
from clickledger.postbacks.model import Attempt, Delivery, Fate, Method, Notification
from clickledger.testing.notifications import NotificationNode

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def node(tmp_path: Path) -> NotificationNode:
    return NotificationNode(tmp_path)


def put(node: NotificationNode, count: int, fate: Fate = Fate.WAITING) -> list[Delivery]:
    """Put events, a minute from one to the next, all of which came to this."""
    earlier = {one.id for one in node.log()}
    for number in range(count):
        node.put(values={"JobId": str(number)})
        node.pass_by(MINUTE)
    made = [one for one in node.log() if one.id not in earlier]
    if fate is not Fate.WAITING:
        finish(node, [one.id for one in made], fate)
    return [one for one in node.log() if one.id not in earlier]


def finish(node: NotificationNode, ids: list[int], fate: Fate) -> None:
    """Write what the sender writes when it is done with a delivery."""
    with node.engine.begin() as connection:
        connection.execute(
            update(tables.deliveries)
            .where(tables.deliveries.c.id.in_(ids))
            .values(
                fate=fate.value,
                next_at=None,
                attempts=3,
                tries=3,
                finished_at=to_datetime(node.now),
            )
        )


def add_attempt(node: NotificationNode, delivery_id: int, number: int) -> Attempt:
    attempt = Attempt(
        delivery_id=delivery_id,
        number=number,
        started_at=to_datetime(node.now),
        duration_ms=12,
        method=Method.POST,
        url="https://hooks.example/in",
        request_headers=(("X-Token", "***"), ("X-Token", "***")),
        request_body='{"a":"Bücher"}',
        status=None,
        response_headers=(("Retry-After", "5"),),
        response_body="",
        outcome="Refused.",
    )
    with node.engine.begin() as connection:
        connection.execute(
            insert(tables.attempts).values(
                **{column.name: getattr(attempt, column.name) for column in tables.attempts.c}
            )
        )
    return attempt


# Looking up


def test_the_list_is_newest_first_in_pages(node: NotificationNode) -> None:
    node.add()
    newest = [one.id for one in put(node, 5)][::-1]
    pages = [node.deliveries.list(node.brand, page=page, page_size=2) for page in (1, 2, 3, 4)]
    assert [one.id for found, _ in pages for one in found] == newest
    assert {total for _, total in pages} == {5}


def test_the_list_can_be_narrowed_down(node: NotificationNode) -> None:
    one, two = node.add(name="one"), node.add(name="two")
    deliveries = put(node, 3)
    failed = node.log(one)[0].id
    finish(node, [failed], Fate.FAILED)
    first, second, third = (found.event_at for found in node.log(one))

    def ids(**wanted: object) -> list[int]:
        found, total = node.deliveries.list(node.brand, **wanted)  # type: ignore[arg-type] # filters by name
        assert total == len(found)
        return [one.id for one in found]

    assert ids() == [found.id for found in deliveries][::-1]
    assert ids(notification_id=two.id) == [found.id for found in node.log(two)][::-1]
    assert ids(fate=Fate.FAILED) == ids(failed_only=True) == [failed]
    assert len(ids(fate=Fate.WAITING)) == 5
    assert len(ids(since=second)) == 4
    assert len(ids(until=second)) == 2
    assert len(ids(since=second, until=third)) == 2
    assert ids(since=third + MINUTE) == []
    assert ids(notification_id=one.id, since=first, until=second, fate=Fate.WAITING) == []


def test_an_account_sees_its_own_only(node: NotificationNode) -> None:
    mine = node.add()
    (delivery,) = put(node, 1, Fate.DELIVERED)
    assert node.deliveries.get(node.brand, delivery.id) == delivery
    assert node.deliveries.get(None, delivery.id) == delivery
    for stranger in (node.rival, node.partner):
        assert node.deliveries.list(stranger) == ((), 0)
        assert node.deliveries.list(stranger, notification_id=mine.id) == ((), 0)
        with pytest.raises(NotFoundError):
            node.deliveries.get(stranger, delivery.id)
        with pytest.raises(NotFoundError):
            node.deliveries.replay(stranger, delivery.id)
        with pytest.raises(NotFoundError):
            node.deliveries.replay_range(stranger, notification_id=mine.id)
        assert node.deliveries.replay_range(stranger) == 0
    assert node.deliveries.get(None, delivery.id) == delivery


@pytest.mark.parametrize("number", [0, -1, 99, 2**31, 2**63, 2**100])
def test_what_is_no_delivery_is_not_found(node: NotificationNode, number: int) -> None:
    for look in (partial(node.deliveries.get, None), partial(node.deliveries.replay, None)):
        with pytest.raises(NotFoundError, match=str(number)):
            look(number)


@pytest.mark.parametrize("key", ["", "\0", "\ud800", "00000000-0000-4000-8000-000000000000"])
def test_what_is_no_notification_has_no_deliveries(node: NotificationNode, key: str) -> None:
    node.add()
    put(node, 1, Fate.FAILED)
    assert node.deliveries.list(None, notification_id=key) == ((), 0)
    with pytest.raises(NotFoundError):
        node.deliveries.replay_range(None, notification_id=key)


def test_the_attempts_are_in_order(node: NotificationNode) -> None:
    node.add()
    one, two = put(node, 2)
    made = [add_attempt(node, one.id, number) for number in (2, 1, 10)]
    add_attempt(node, two.id, 1)
    assert list(node.deliveries.attempts(one.id)) == [made[1], made[0], made[2]]
    assert node.deliveries.attempts(99) == ()


# Replaying one


@pytest.mark.parametrize("fate", [Fate.DELIVERED, Fate.FAILED, Fate.SKIPPED])
def test_what_is_finished_can_be_replayed(node: NotificationNode, fate: Fate) -> None:
    node.add()
    (delivery,) = put(node, 1, fate)
    node.pass_by(HOUR)
    replayed = node.deliveries.replay(node.brand, delivery.id)
    assert replayed == node.deliveries.get(None, delivery.id)
    assert replayed.message_id == delivery.message_id
    assert (replayed.fate, replayed.next_at) == (Fate.WAITING, to_datetime(node.now))
    assert (replayed.tries, replayed.attempts, replayed.finished_at) == (0, 3, None)


def test_what_waits_cannot_be_replayed(node: NotificationNode) -> None:
    node.add()
    (delivery,) = put(node, 1)
    with pytest.raises(ConflictError, match="waiting"):
        node.deliveries.replay(node.brand, delivery.id)
    assert node.deliveries.get(None, delivery.id) == delivery


def test_nothing_is_queued_for_what_is_off_or_removed(node: NotificationNode) -> None:
    made = node.add()
    (delivery,) = put(node, 1, Fate.FAILED)
    node.notifications.disable(node.brand, made.id)
    for replay in (
        partial(node.deliveries.replay, None, delivery.id),
        partial(node.deliveries.replay_range, None, notification_id=made.id),
    ):
        with pytest.raises(ConflictError, match="disabled; enable it"):
            replay()
    node.notifications.remove(node.brand, made.id)
    for replay in (
        partial(node.deliveries.replay, None, delivery.id),
        partial(node.deliveries.replay_range, None, notification_id=made.id),
    ):
        with pytest.raises(ConflictError, match="removed"):
            replay()
    assert node.deliveries.get(None, delivery.id) == delivery


# Replaying a range


def waiting(node: NotificationNode, notification: Notification | None = None) -> list[int]:
    return [one.id for one in node.log(notification) if one.fate is Fate.WAITING]


def test_a_range_is_replayed_in_batches_and_says_how_far_it_is(node: NotificationNode) -> None:
    made = node.add()
    rows: list[dict[str, object]] = [
        {
            "message_id": f"msg_{number}",
            "notification_id": made.id,
            "account_sid": node.brand,
            "kind": "JOB_COMPLETION",
            "event": "CLICK_EXPORT_COMPLETED",
            "program_id": node.program,
            "values": {},
            "event_at": to_datetime(node.now),
            "created_at": to_datetime(node.now),
            "fate": "DELIVERED" if number % 2 else "FAILED",
            "tries": 3,
            "finished_at": to_datetime(node.now),
        }
        for number in range(1100)
    ]
    with node.engine.begin() as connection:
        connection.execute(insert(tables.deliveries), rows)
    told: list[tuple[int, int]] = []
    done = node.deliveries.replay_range(
        None, on_progress=lambda done, total: told.append((done, total))
    )
    assert done == 1100
    assert told == [(0, 1100), (500, 1100), (1000, 1100), (1100, 1100)]
    with node.engine.connect() as connection:
        left = connection.execute(
            select(tables.deliveries.c.fate, tables.deliveries.c.tries, func.count()).group_by(
                tables.deliveries.c.fate, tables.deliveries.c.tries
            )
        ).all()
    assert [tuple(row) for row in left] == [("WAITING", 0, 1100)]


def test_what_is_put_or_finishes_meanwhile_is_not_replayed(node: NotificationNode) -> None:
    node.add()
    (old,) = put(node, 1, Fate.DELIVERED)
    new: list[Delivery] = []

    def meanwhile(done: int, total: int) -> None:
        if not done:
            new.extend(put(node, 1, Fate.DELIVERED))
        assert total == 1

    assert node.deliveries.replay_range(None, on_progress=meanwhile) == 1
    assert waiting(node) == [old.id]
    assert node.deliveries.get(None, new[0].id).fate is Fate.DELIVERED


def test_a_range_keeps_to_its_times(node: NotificationNode) -> None:
    node.add()
    deliveries = put(node, 4, Fate.DELIVERED)
    count = node.deliveries.replay_range(
        node.brand, since=deliveries[1].event_at, until=deliveries[3].event_at
    )
    assert count == 2
    assert waiting(node) == [one.id for one in deliveries[1:3]]


def test_only_what_never_arrived(node: NotificationNode) -> None:
    node.add()
    deliveries = put(node, 4)
    for delivery, fate in zip(
        deliveries, (Fate.DELIVERED, Fate.FAILED, Fate.SKIPPED), strict=False
    ):
        finish(node, [delivery.id], fate)
    assert node.deliveries.replay_range(node.brand, failed_only=True) == 2
    assert waiting(node) == [one.id for one in deliveries[1:]]


def test_a_range_keeps_to_its_notification_and_to_what_is_on(node: NotificationNode) -> None:
    one, two, off = (node.add(name=name) for name in ("one", "two", "off"))
    put(node, 2, Fate.FAILED)
    node.notifications.disable(node.brand, off.id)
    assert node.deliveries.replay_range(node.brand, notification_id=one.id) == 2
    assert waiting(node) == [delivery.id for delivery in node.log(one)]
    assert node.deliveries.replay_range(node.brand) == 2
    assert waiting(node, off) == []
    assert len(waiting(node, two)) == 2


# Letting go


def count(node: NotificationNode, table: str) -> int:
    with node.engine.connect() as connection:
        return connection.execute(
            select(func.count()).select_from(tables.metadata.tables[table])
        ).scalar_one()


def test_what_finished_long_ago_goes_with_its_attempts(node: NotificationNode) -> None:
    node.add()
    old = put(node, 3, Fate.DELIVERED)
    for delivery in old:
        add_attempt(node, delivery.id, 1)
    node.pass_by(HOUR)
    kept = put(node, 2, Fate.FAILED)
    add_attempt(node, kept[0].id, 1)
    waits = put(node, 1)
    limit = node.log()[3].finished_at
    assert limit is not None
    assert node.deliveries.purge(limit) == 3
    assert [one.id for one in node.log()] == [one.id for one in (*kept, *waits)]
    assert count(node, "attempts") == 1
    assert node.deliveries.purge(limit) == 0


def test_a_purge_works_in_batches(node: NotificationNode) -> None:
    node.add()
    (first,) = put(node, 1, Fate.DELIVERED)
    with node.engine.begin() as connection:
        row = connection.execute(select(tables.deliveries)).mappings().one()
        connection.execute(
            insert(tables.deliveries),
            [{**row, "id": first.id + n, "message_id": f"msg_{n}"} for n in range(1, 1000)],
        )
    node.pass_by(HOUR)
    assert node.deliveries.purge(to_datetime(node.now)) == 1000
    assert node.log() == ()


def test_what_was_removed_goes_when_the_last_of_its_log_has_gone(node: NotificationNode) -> None:
    made, stays = node.add(), node.add(name="stays")
    node.put()
    node.notifications.remove(node.brand, made.id)
    node.pass_by(HOUR)
    arrived = [one.id for one in node.log(made)]  # the call was under way when it was removed
    finish(node, arrived, Fate.DELIVERED)
    assert node.deliveries.purge(to_datetime(node.now)) == 0
    assert count(node, "notifications") == 2, "its log is still there"
    node.pass_by(HOUR)
    assert node.deliveries.purge(to_datetime(node.now)) == 1
    assert count(node, "notifications") == 1
    assert node.notifications.find(stays.id) == stays
    assert len(node.log()) == 1


def test_what_waits_for_a_notification_that_is_off_is_skipped(node: NotificationNode) -> None:
    """What a transaction leaves that began before the switch, on a database that lets it."""
    off, on = node.add(), node.add(name="on")
    put(node, 1)
    notifications = tables.notifications
    with node.engine.begin() as connection:
        connection.execute(
            update(notifications)
            .where(notifications.c.id == off.id)
            .values(disabled_at=to_datetime(node.now))
        )
    node.deliveries.purge(to_datetime(node.now) - HOUR)
    assert [one.fate for one in node.log(off)] == [Fate.SKIPPED]
    assert [one.fate for one in node.log(on)] == [Fate.WAITING]
