"""The worker delivers what is in the outbox, to receivers that do as they like."""

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import event, select, update
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from clickledger.clock import SteadyClock, to_datetime, wall_clock
from clickledger.config import Settings
from clickledger.db.tables import deliveries, notifications
from clickledger.metrics import Metrics
from clickledger.postbacks import outbox
from clickledger.postbacks.model import Delivery, Fate, Method, Notification
from clickledger.postbacks.network import Guard
from clickledger.postbacks.work import PostbackWorker
from clickledger.testing.notifications import NotificationNode
from clickledger.testing.receiver import Receiver, receiver


class Office:
    """A node at the present time, a receiver, and a worker between them."""

    def __init__(self, root: Path, running: Receiver, **settings: float) -> None:
        self.node = NotificationNode(root)
        self.node.now = wall_clock()
        self.receiver = running
        self.metrics = Metrics(CollectorRegistry())
        self.worker = PostbackWorker(
            engine=self.node.engine,
            settings=Settings(**settings),  # type: ignore[arg-type]  # numbers, by name
            metrics=self.metrics,
            clock=SteadyClock(),
            guard=Guard([ip_network("127.0.0.0/8")], [running.port]),
            poll_s=0.02,
            jitter=lambda: 0.5,
        )

    def add(self, path: str, name: str = "", **said: Any) -> Notification:  # noqa: ANN401 - a draft's fields, by name
        url = f"{self.receiver.url(path)}?job={{JobId}}"
        return self.node.add(name=name or path, url=url, **said)

    def put(self, to: Notification, count: int = 1, **said: object) -> None:
        self.node.now = wall_clock()
        now = to_datetime(self.node.now)
        with self.node.engine.begin() as connection:
            outbox.put_to(connection, to.id, [self.node.event(**said) for _ in range(count)], now)

    def due_now(self) -> None:
        """Let every pause of the schedule be over."""
        with self.node.engine.begin() as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.fate == Fate.WAITING.value)
                .values(next_at=to_datetime(wall_clock()))
            )

    def fates(self, to: Notification) -> list[Fate]:
        return [one.fate for one in self.node.log(to)]

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"clickledger_{name}", labels) or 0.0


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with receiver(tmp_path) as running:
        made = Office(tmp_path, running, postback_timeout_s=1.0)
        made.worker.start()
        try:
            yield made
        finally:
            made.worker.stop()


def until(true: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it does not become true"
        time.sleep(0.02)


def attempts_of(office: Office, one: Delivery) -> list[str]:
    return [attempt.outcome for attempt in office.node.deliveries.attempts(one.id)]


def test_tells_an_event_signed_and_soon(office: Office) -> None:
    to = office.add("/ok/jobs", method=Method.POST)
    office.put(to)
    request = office.receiver.wait_for(1)[0]
    until(lambda: office.fates(to) == [Fate.DELIVERED])
    one = office.node.log(to)[0]
    assert request.message_id == one.message_id
    assert request.at - one.event_at.timestamp() < 5
    assert request.target == "/ok/jobs?job=1"
    Webhook(to.secrets[0]).verify(request.body, dict(request.headers))
    until(lambda: office.counted("postback_attempts_total", outcome="delivered") == 1)
    assert office.counted("postback_first_attempt_seconds_count") == 1
    assert office.worker.status() == {
        "delivering": True,
        "under_way": 0,
        "waiting": 0,
        "trouble": "",
    }


def test_tries_again_with_the_same_id_until_it_arrives(office: Office) -> None:
    to = office.add("/fail/2/jobs")
    office.put(to)
    for count in (1, 2):
        office.receiver.wait_for(count)
        until(lambda count=count: office.node.log(to)[0].attempts == count)  # type: ignore[misc]  # bound now
        office.due_now()
    until(lambda: office.fates(to) == [Fate.DELIVERED])
    requests = office.receiver.requests()
    assert len({request.message_id for request in requests}) == 1
    assert len(requests) == 3
    assert len(attempts_of(office, office.node.log(to)[0])) == 3
    assert office.node.notifications.find(to.id).failing_since is None
    assert office.counted("postback_attempts_total", outcome="to_retry") == 2


def test_gone_switches_off_and_busy_waits_as_asked(office: Office) -> None:
    gone, busy = office.add("/gone"), office.add("/busy/60")
    office.put(gone)
    office.put(busy)
    until(lambda: office.fates(gone) == [Fate.FAILED])
    until(lambda: office.node.log(busy)[0].attempts == 1)
    assert office.node.notifications.find(gone.id).disabled_at is not None
    one = office.node.log(busy)[0]
    assert one.next_at is not None
    assert one.next_at - to_datetime(wall_clock()) > timedelta(seconds=50)
    assert office.counted("postback_attempts_total", outcome="given_up") == 1


def test_endpoints_that_stall_delay_no_other(office: Office) -> None:
    """Several hold on to their calls, with more waiting than they get places for."""
    stalled = [office.add(f"/{path}/{n}") for n in range(5) for path in ("stall", "drip")]
    for to in stalled:
        office.put(to, 200)
    office.receiver.wait_for(200)
    quick = office.add("/ok/quick")
    for _ in range(5):
        began = time.time()
        office.put(quick)
        until(lambda: office.fates(quick)[-1] is Fate.DELIVERED)
        assert time.time() - began < 3, "a call to the others takes 1 s, and they have 2,000"
    assert office.worker.status()["under_way"] != 0


def test_events_of_a_key_arrive_in_order_whatever_fails(office: Office) -> None:
    to = office.add("/fail/1/actions", method=Method.POST)
    for number in range(4):
        office.put(to, order_key="action 7", values={"JobId": str(number)})
    for _ in range(200):
        if office.fates(to) == [Fate.DELIVERED] * 4:
            break
        office.due_now()
        time.sleep(0.05)
    jobs = [request.target.rpartition("=")[2] for request in office.receiver.requests()]
    assert jobs == ["0", "0", "1", "1", "2", "2", "3", "3"]


def test_a_replayed_delivery_keeps_its_id(office: Office) -> None:
    to = office.add("/ok")
    office.put(to)
    until(lambda: office.fates(to) == [Fate.DELIVERED])
    one = office.node.log(to)[0]
    office.node.deliveries.replay(None, one.id)
    first, second = office.receiver.wait_for(2)
    assert first.message_id == second.message_id
    until(lambda: office.fates(to) == [Fate.DELIVERED])
    assert office.node.log(to)[0].attempts == 2


def test_a_changed_notification_is_called_as_it_is_now(office: Office) -> None:
    to = office.add("/status/500/old")
    office.put(to)
    until(lambda: office.node.log(to)[0].attempts == 1)
    url = office.receiver.url("/ok/new")
    office.node.notifications.change(
        office.node.brand, to.id, dataclasses.replace(to.draft, url=url)
    )
    office.due_now()
    until(lambda: office.fates(to) == [Fate.DELIVERED])
    assert [request.target for request in office.receiver.requests()] == [
        "/status/500/old?job=1",
        "/ok/new",
    ]


def test_what_cannot_be_written_as_a_request_fails_like_a_call(office: Office) -> None:
    """A draft of an earlier version may say what this one cannot send."""
    to = office.add("/ok")
    with office.node.engine.begin() as connection:
        draft = connection.execute(select(notifications.c.draft)).scalar_one()
        connection.execute(
            update(notifications).values(draft={**draft, "url": "http://shop.example/?a={Nothing}"})
        )
    office.put(to)
    until(lambda: office.node.log(to)[0].attempts == 1)
    one = office.node.log(to)[0]
    assert one.fate is Fate.WAITING
    assert "the request could not be made" in attempts_of(office, one)[0]


def test_a_database_that_is_away_is_waited_for(office: Office, tmp_path: Path) -> None:
    to = office.add("/ok")
    database, hidden = tmp_path / "control.db", tmp_path / "hidden.db"
    office.put(to)
    until(lambda: office.fates(to) == [Fate.DELIVERED])
    os.rename(database, hidden)  # noqa: PTH104 - at once
    until(lambda: "does not answer" in str(office.worker.status()["trouble"]))
    os.rename(hidden, database)  # noqa: PTH104
    office.put(to)
    until(lambda: office.fates(to) == [Fate.DELIVERED] * 2)
    until(lambda: office.worker.status()["trouble"] == "")
    assert len(office.receiver.requests()) == 2


def test_what_has_ended_while_the_database_is_away_is_written_once_it_is_back(
    office: Office, tmp_path: Path
) -> None:
    to = office.add("/slow/0.3")
    database, hidden = tmp_path / "control.db", tmp_path / "hidden.db"
    office.put(to, 3)
    office.receiver.wait_for(3)
    os.rename(database, hidden)  # noqa: PTH104 - at once
    until(lambda: office.worker.status()["under_way"] == 0)
    until(lambda: "does not answer" in str(office.worker.status()["trouble"]))
    os.rename(hidden, database)  # noqa: PTH104
    until(lambda: office.fates(to) == [Fate.DELIVERED] * 3)
    assert len(office.receiver.requests()) == 3, "none is sent again"


def test_an_outcome_that_cannot_be_written_spoils_no_other_and_is_not_sent_without_end(
    office: Office,
) -> None:
    spoilt, well = office.add("/ok/spoilt"), office.add("/ok/well")
    with office.node.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON attempts WHEN NEW.url LIKE '%spoilt%' "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    office.put(spoilt)
    office.put(well, 5)
    until(lambda: office.fates(well) == [Fate.DELIVERED] * 5)
    office.put(well)
    until(lambda: office.fates(well) == [Fate.DELIVERED] * 6)
    assert office.fates(spoilt) == [Fate.WAITING]
    assert len(office.receiver.requests("/ok/spoilt")) == 1
    assert office.worker.status()["trouble"] == ""


def test_stopping_lets_calls_end_and_writes_them_down(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        office = Office(tmp_path, running)
        to = office.add("/slow/0.5")
        office.put(to, 20)
        office.worker.start()
        running.wait_for(20)
        office.worker.stop()
        assert office.fates(to) == [Fate.DELIVERED] * 20


def test_stopping_does_not_wait_for_a_call_that_stalls(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        office = Office(tmp_path, running)
        to = office.add("/stall")
        office.put(to)
        office.worker.start()
        running.wait_for(1)
        began = time.monotonic()
        office.worker.stop()
        assert time.monotonic() - began < 6
        assert office.fates(to) == [Fate.WAITING]
        assert office.worker.status()["delivering"] is False


def test_old_deliveries_are_removed(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        office = Office(tmp_path, running, postback_keep_days=30)
        to = office.add("/ok")
        office.put(to, 2)
        long_ago = to_datetime(wall_clock()) - timedelta(days=31)
        with office.node.engine.begin() as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == 1)
                .values(fate=Fate.DELIVERED.value, next_at=None, finished_at=long_ago)
            )
        office.worker.purge()
        assert [one.id for one in office.node.log()] == [2]


def test_a_count_that_fails_ends_no_call(tmp_path: Path) -> None:
    failed = threading.Event()

    def fail(*call: object) -> None:
        if "AS waiting" in str(call[2]):
            failed.set()
            raise ValueError("no count")

    with receiver(tmp_path) as running:
        office = Office(tmp_path, running)
        event.listen(office.node.engine, "before_cursor_execute", fail)
        to = office.add("/ok")
        with capture_logs() as lines:
            office.worker.start()
            try:
                assert failed.wait(10)
                office.put(to)
                until(lambda: office.fates(to) == [Fate.DELIVERED])
            finally:
                office.worker.stop()
    assert not lines
