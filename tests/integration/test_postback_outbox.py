"""The outbox: who gets a delivery of an event, when it is due, and that it is all or nothing."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, update
from structlog.testing import capture_logs

from clickledger.clock import to_datetime
from clickledger.db import tables
from clickledger.postbacks import outbox
from clickledger.postbacks.model import CLICK_DIGEST, Delivery, Event, Fate, Kind
from clickledger.testing.notifications import NotificationNode

CLICKS: Mapping[str, Any] = {"kind": Kind.CLICK, "url": "https://hooks.example/?c={ClickId}"}


@pytest.fixture
def node(tmp_path: Path) -> NotificationNode:
    return NotificationNode(tmp_path)


def click(node: NotificationNode, number: int, **said: Any) -> Event:  # noqa: ANN401 - an event's fields
    usual: dict[str, Any] = {
        "kind": Kind.CLICK,
        "name": "CLICK",
        "account_sids": (node.brand, node.partner),
        "partner_id": node.partner_id,
        "values": {"ClickId": str(number)},
    }
    return node.event(**{**usual, **said})


def test_a_delivery_has_all_that_the_event_said(node: NotificationNode) -> None:
    made = node.add(kind=Kind.ACTION_LIFECYCLE, url="https://hooks.example/?a={ActionId}")
    happened = to_datetime(node.now)
    node.pass_by(timedelta(seconds=2))
    values = {"ActionId": "1.2.3", "Comment": 'Bücher "&" \n\0\ud800 \U0001f600'}
    assert (
        node.put(
            kind=Kind.ACTION_LIFECYCLE,
            name="REVERSED",
            partner_id=node.partner_id,
            order_key="1.2.3",
            at=happened,
            values=values,
        )
        == 1
    )
    (delivery,) = node.log()
    assert re.fullmatch("msg_[A-Za-z0-9]{24}", delivery.message_id)
    assert delivery == Delivery(
        id=delivery.id,
        message_id=delivery.message_id,
        notification_id=made.id,
        account_sid=node.brand,
        kind=Kind.ACTION_LIFECYCLE,
        event="REVERSED",
        program_id=node.program,
        partner_id=node.partner_id,
        order_key="1.2.3",
        values=values,
        event_at=happened,
        fate=Fate.WAITING,
        next_at=happened,
        attempts=0,
        tries=0,
        finished_at=None,
    )


def test_every_notification_that_wants_it_gets_one_of_its_own(node: NotificationNode) -> None:
    brands = [node.add(name=name, **CLICKS) for name in ("one", "two")]
    partners = node.add(node.partner, **CLICKS)
    node.add(name="jobs")
    node.add(node.rival, **CLICKS)
    node.add(name="elsewhere", partner_ids=(node.other_id,), **CLICKS)
    with node.engine.begin() as connection:
        assert outbox.put(connection, click(node, 1), to_datetime(node.now)) == 3
    wanted = {one.id: one.account_sid for one in (*brands, partners)}
    assert {one.notification_id: one.account_sid for one in node.log()} == wanted
    assert len({one.message_id for one in node.log()}) == 3


def test_the_filters_of_a_notification_are_kept(node: NotificationNode) -> None:
    failed = node.add(events=("CLICK_EXPORT_FAILED",), program_ids=(node.program,))
    node.put()
    node.put(name="CLICK_EXPORT_FAILED", program_id=999)
    assert node.log() == ()
    node.put(name="CLICK_EXPORT_FAILED")
    assert [one.notification_id for one in node.log()] == [failed.id]


def test_an_event_that_nobody_wants_leaves_nothing(node: NotificationNode) -> None:
    assert node.put() == 0
    assert node.log() == ()


def test_it_is_due_after_the_minimum_delay(node: NotificationNode) -> None:
    node.add(minimum_delay_s=90)
    happened = to_datetime(node.now)
    node.pass_by(timedelta(seconds=5))
    node.put(at=happened)
    (delivery,) = node.log()
    assert delivery.next_at == happened + timedelta(seconds=90)


def test_what_is_off_gets_its_delivery_skipped(node: NotificationNode) -> None:
    node.notifications.disable(node.brand, node.add().id)
    node.pass_by(timedelta(seconds=5))
    assert node.put() == 1
    (delivery,) = node.log()
    assert (delivery.fate, delivery.next_at) == (Fate.SKIPPED, None)
    assert delivery.finished_at == to_datetime(node.now)


def test_a_change_that_is_undone_leaves_no_delivery(node: NotificationNode) -> None:
    class Undone(Exception):  # noqa: N818 - it is no error
        pass

    def change_and_fail() -> None:
        with node.engine.begin() as connection:
            connection.execute(update(tables.directory_version).values(version=99))
            assert outbox.put(connection, node.event(), to_datetime(node.now)) == 1
            raise Undone

    node.add()
    with pytest.raises(Undone):
        change_and_fail()
    assert node.log() == ()


def test_ids_grow_in_the_order_in_which_events_were_put(node: NotificationNode) -> None:
    node.add()
    for number in range(5):
        node.put(values={"JobId": str(number)})
    log = node.log()
    assert [one.values["JobId"] for one in log] == list("01234")
    assert sorted(one.id for one in log) == [one.id for one in log]


def test_many_events_for_one_notification_keep_their_order(node: NotificationNode) -> None:
    mine = node.add(program_ids=(node.program,), **CLICKS)
    node.add(name="another", **CLICKS)
    events = [click(node, number) for number in range(700)]
    events[3] = replace(events[3], program_id=999)
    events[4] = replace(events[4], account_sids=(node.rival,))
    events[5] = node.event()
    events[6] = replace(events[6], name=CLICK_DIGEST)
    with node.engine.begin() as connection:
        assert outbox.put_to(connection, mine.id, events, to_datetime(node.now)) == 697
    log = node.log()
    assert {one.notification_id for one in log} == {mine.id}
    assert [one.values["ClickId"] for one in log] == [
        str(number) for number in range(700) if number not in {3, 4, 5}
    ]
    assert [one.event for one in log[:4]] == ["CLICK", "CLICK", "CLICK", CLICK_DIGEST]


def test_nothing_is_put_to_what_was_removed(node: NotificationNode) -> None:
    mine = node.add(**CLICKS)
    node.notifications.remove(node.brand, mine.id)
    with node.engine.begin() as connection:
        assert outbox.put_to(connection, mine.id, [click(node, 1)], to_datetime(node.now)) == 0


def test_switching_off_skips_what_waits_for_it_and_nothing_else(node: NotificationNode) -> None:
    mine, other = node.add(), node.add(name="other")
    node.put()
    now = to_datetime(node.now)
    with node.engine.begin() as connection:
        assert outbox.switch_off(connection, mine.id, "It is gone. " * 500, now)
        assert not outbox.switch_off(connection, mine.id, "Again.", now)
    assert [one.fate for one in node.log(mine)] == [Fate.SKIPPED]
    assert [one.fate for one in node.log(other)] == [Fate.WAITING]
    off = node.notifications.find(mine.id)
    assert off.disabled_at == now
    assert off.disabled_reason == ("It is gone. " * 500)[:2000]


def test_switching_off_does_not_read_the_whole_log(node: NotificationNode) -> None:
    made = node.add()
    plans: list[str] = []

    def explain(
        connection: Connection,
        _cursor: object,
        statement: str,
        parameters: Any,  # noqa: ANN401 - whatever the driver takes
        *_: object,
    ) -> None:
        if statement.startswith("UPDATE deliveries"):
            found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row.detail for row in found)

    event.listen(node.engine, "before_cursor_execute", explain)
    node.notifications.disable(node.brand, made.id)
    assert ["ix_deliveries_waiting" in plan for plan in plans] == [True]


@pytest.mark.parametrize("document", [{"url": 7}, {}, ["url"], None])
def test_a_notification_that_cannot_be_read_keeps_nothing_from_the_others(
    node: NotificationNode, document: object
) -> None:
    spoilt, sound = node.add(), node.add(name="other")
    node.spoil(spoilt, document)
    with capture_logs() as lines:
        assert node.put() == 1
    assert [one.notification_id for one in node.log()] == [sound.id]
    assert [(line["log_level"], line["id"]) for line in lines] == [("error", spoilt.id)]
