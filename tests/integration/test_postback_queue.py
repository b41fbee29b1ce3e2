"""What is due, in which order, and what is written when a call has ended."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, event, update
from structlog.testing import capture_logs

from clickledger.clock import to_datetime
from clickledger.db.tables import deliveries, notifications
from clickledger.postbacks import outbox, schedule
from clickledger.postbacks.model import Delivery, Fate, Method, Notification, Outcome
from clickledger.postbacks.places import Places
from clickledger.postbacks.queue import Due, Queue, Result
from clickledger.postbacks.rendering import Renderer
from clickledger.postbacks.signing import sign
from clickledger.testing.notifications import NotificationNode


class Post:
    """A node, and its queue as a worker uses it."""

    def __init__(self, root: Path) -> None:
        self.node = NotificationNode(root)
        self.queue = Queue(self.node.engine, disable_days=5)

    def put(self, to: Notification, count: int = 1, **said: object) -> None:
        now = to_datetime(self.node.now)
        with self.node.engine.begin() as connection:
            events = [self.node.event(**said) for _ in range(count)]
            assert outbox.put_to(connection, to.id, events, now) == count

    def due(
        self, busy: Mapping[str, set[int]] | None = None, places: Places | None = None
    ) -> Sequence[Due]:
        return self.queue.due(to_datetime(self.node.now), busy or {}, places or Places())

    def ids(self, busy: set[int] | None = None, places: Places | None = None) -> list[int]:
        """Return what is due at all endpoints; ``busy`` holds for each."""
        everywhere = {found.id: busy or set() for found in self.node.notifications.list()[0]}
        return [one.id for due in self.due(everywhere, places) for one in due.deliveries]

    def result(self, notification: Notification, delivery: Delivery, **said: object) -> Result:
        """Describe a call that was answered 200, but for what is ``said`` of the outcome."""
        now = to_datetime(self.node.now)
        usual: dict[str, object] = {"started_at": now, "duration_ms": 5, "status": 200}
        outcome = Outcome(**{**usual, **said})  # type: ignore[arg-type]  # a test's own fields
        prepared = Renderer(notification.draft).prepare(
            delivery.event, delivery.message_id, delivery.values
        )
        return Result(
            delivery=delivery,
            draft=notification.draft,
            prepared=sign(prepared, notification.secrets, delivery.message_id, now),
            outcome=outcome,
            ended_at=now,
            verdict=schedule.after(outcome, tries=delivery.tries + 1, now=now, jitter=0.5),
        )

    def finish(self, *outcomes: Mapping[str, object]) -> None:
        """Write one outcome after the other for what is due, in turn."""
        found = [(due.notification, one) for due in self.due() for one in due.deliveries]
        self.queue.finish(
            [
                self.result(notification, one, **said)
                for (notification, one), said in zip(found, outcomes, strict=True)
            ]
        )

    def refreshed(self, notification: Notification) -> Notification:
        return self.node.notifications.find(notification.id)


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def test_nothing_is_due_before_its_time(post: Post) -> None:
    to = post.node.add(minimum_delay_s=60)
    post.put(to)
    assert not post.due()
    post.node.pass_by(timedelta(seconds=60))
    assert [(due.notification.id, len(due.deliveries)) for due in post.due()] == [(to.id, 1)]


def test_first_attempts_go_before_retries_and_the_longest_due_first(post: Post) -> None:
    post.put(post.node.add(), 6)
    first, second, third, *_ = post.ids()
    now = to_datetime(post.node.now)
    for which, tries, ago in ((first, 3, 1), (second, 1, 2), (third, 9, 3)):
        with post.node.engine.begin() as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == which)
                .values(tries=tries, next_at=now - timedelta(seconds=ago))
            )
    assert post.ids() == [4, 5, 6, third, second, first]
    assert post.ids(places=Places(each=4)) == [4, 5, 6, third]
    assert post.ids(busy={4, third}) == [5, 6, second, first]


def test_a_failing_endpoint_gets_few_retries(post: Post) -> None:
    to = post.node.add()
    post.put(to, 5)
    post.finish(*[{"status": 500}] * 5)
    post.node.pass_by(timedelta(seconds=10))
    assert len(post.ids(places=Places(failing=2))) == 2
    assert post.refreshed(to).failing_since is not None


def test_each_endpoint_has_its_own_queue(post: Post) -> None:
    slow, quick = post.node.add(name="slow"), post.node.add(name="quick")
    post.put(slow, 50)
    post.put(quick, 3)
    places = Places(total=20, each=10)
    found = {due.notification.id: len(due.deliveries) for due in post.due(places=places)}
    assert found[quick.id] == 3
    assert 0 < found[slow.id] <= 10
    assert places.taken == sum(found.values())


def test_what_is_switched_off_or_removed_is_not_due(post: Post) -> None:
    off, removed = post.node.add(name="off"), post.node.add(name="removed")
    for to in (off, removed):
        post.put(to)
    now = to_datetime(post.node.now)
    with post.node.engine.begin() as connection:  # their deliveries wait on, as in a race
        for to, column in ((off, "disabled_at"), (removed, "removed_at")):
            connection.execute(
                update(notifications).where(notifications.c.id == to.id).values({column: now})
            )
    assert not post.due()


def test_nothing_of_a_key_is_due_while_an_earlier_one_waits(post: Post) -> None:
    to = post.node.add()
    for key in ("a", "a", "b", "", "a", "b", ""):
        post.put(to, order_key=key)
    assert post.ids() == [1, 3, 4, 7]
    assert post.ids(busy={1}) == [3, 4, 7], "what is under way waits too"
    post.finish({"status": 500}, {"status": 200}, {"status": 200}, {"status": 200})
    assert post.ids() == [6], "a waits for its retry"
    post.node.pass_by(timedelta(seconds=10))
    assert post.ids() == [6, 1]
    post.finish({}, {})
    assert post.ids() == [2]


def test_the_order_of_a_key_holds_for_each_endpoint_by_itself(post: Post) -> None:
    one, other = post.node.add(name="one"), post.node.add(name="other")
    post.put(one, order_key="a")
    post.put(other, order_key="a")
    assert sorted(post.ids()) == [1, 2]


def test_any_outcomes_of_a_key_keep_its_order(post: Post) -> None:
    """Each of the ways in which four events of a key can fail and then arrive."""
    to = post.node.add()
    for fails in itertools.product((0, 1), repeat=4):
        post.put(to, 4, order_key="a")
        arrived: list[int] = []
        left = list(fails)
        for _ in range(8):
            found = [(due.notification, one) for due in post.due() for one in due.deliveries]
            assert len(found) <= 1
            for notification, one in found:
                status = 500 if left[len(arrived)] else 200
                left[len(arrived)] = 0
                post.queue.finish([post.result(notification, one, status=status)])
                arrived += [one.id] * (status == 200)
            post.node.pass_by(timedelta(seconds=10))
        assert arrived == sorted(arrived)
        assert len(arrived) == 4


def test_an_acknowledged_call_ends_the_delivery_and_is_in_the_log(post: Post) -> None:
    to = post.node.add(
        method=Method.POST,
        url="https://hooks.example/in?token=geheim&job={JobId}",
        headers={"Authorization": "Bearer hush-hush"},
    )
    post.put(to)
    post.finish({"headers": (("Set-Cookie", "a=b"), ("X", "1")), "body": b"ok\x00\xff hush-hush"})
    delivery = post.node.log()[0]
    assert (delivery.fate, delivery.attempts, delivery.tries) == (Fate.DELIVERED, 1, 1)
    assert delivery.finished_at == to_datetime(post.node.now)
    assert delivery.next_at is None
    attempt = post.node.deliveries.attempts(delivery.id)[0]
    assert (attempt.number, attempt.status, attempt.method) == (1, 200, Method.POST)
    assert attempt.url == "https://hooks.example/in?token=***&job=1"
    headers = dict(attempt.request_headers)
    assert headers["Authorization"] == "***"
    assert headers["webhook-signature"] == "v1,***"
    assert headers["webhook-id"] == delivery.message_id
    assert dict(attempt.response_headers) == {"Set-Cookie": "***", "X": "1"}
    assert attempt.response_body == "ok\ufffd\ufffd ***"
    assert '"JobId"' in attempt.request_body
    assert attempt.outcome.startswith("Delivered")


def test_a_call_that_failed_waits_for_its_next_place_in_the_schedule(post: Post) -> None:
    to = post.node.add()
    post.put(to)
    began = to_datetime(post.node.now)
    for number, pause in enumerate(schedule.SCHEDULE_S[1:], 1):
        post.finish({"status": None, "problem": "no answer came within 15 s"})
        delivery = post.node.log()[0]
        assert (delivery.fate, delivery.attempts, delivery.tries) == (Fate.WAITING, number, number)
        assert delivery.next_at == to_datetime(post.node.now) + timedelta(seconds=pause)
        assert not post.due()
        post.node.pass_by(timedelta(seconds=pause))
        if number < 9:
            assert post.refreshed(to).failing_since == began
    post.finish({"status": 503})
    delivery = post.node.log()[0]
    assert (delivery.fate, delivery.attempts, delivery.next_at) == (Fate.FAILED, 10, None)
    assert len(post.node.deliveries.attempts(delivery.id)) == 10
    assert post.refreshed(to).disabled_at is None, "it has failed for less than five days"


def test_retry_after_is_honoured(post: Post) -> None:
    post.put(post.node.add())
    post.finish({"status": 429, "headers": (("Retry-After", "120"),)})
    next_at = post.node.log()[0].next_at
    assert next_at is not None
    assert next_at - to_datetime(post.node.now) >= timedelta(seconds=120)


def test_an_endpoint_that_is_gone_is_switched_off_and_what_waits_is_skipped(post: Post) -> None:
    to, other = post.node.add(name="gone"), post.node.add(name="other")
    post.put(to, 3)
    post.put(other)
    due = next(due for due in post.due() if due.notification.id == to.id)
    post.queue.finish([post.result(to, due.deliveries[0], status=410)])
    assert [one.fate for one in post.node.log(to)] == [Fate.FAILED, Fate.SKIPPED, Fate.SKIPPED]
    assert "410" in post.refreshed(to).disabled_reason
    assert post.refreshed(other).disabled_at is None
    assert [due.notification.id for due in post.due()] == [other.id]


def test_an_endpoint_that_fails_for_days_is_switched_off(post: Post) -> None:
    to = post.node.add()
    for _ in range(6):
        post.put(to)
        one = post.due()[0].deliveries[0]
        post.queue.finish([post.result(to, one, status=500)])
        post.node.pass_by(timedelta(days=1))
    assert "every call has failed since" in post.refreshed(to).disabled_reason
    assert {one.fate for one in post.node.log()} == {Fate.SKIPPED}


def test_one_success_clears_the_record(post: Post) -> None:
    to = post.node.add()
    post.put(to, 3)
    post.finish({"status": 500}, {"status": 200}, {"status": 500, "duration_ms": 7})
    assert post.refreshed(to).failing_since == to_datetime(post.node.now)
    post.node.pass_by(timedelta(seconds=10))
    post.finish({"status": 500}, {"status": 200})
    assert post.refreshed(to).failing_since is None


@pytest.mark.parametrize(("status", "fate"), [(200, Fate.DELIVERED), (500, Fate.SKIPPED)])
def test_what_was_skipped_while_under_way_counts_only_when_it_arrived(
    post: Post, status: int, fate: Fate
) -> None:
    to = post.node.add()
    post.put(to)
    one = post.due()[0].deliveries[0]
    post.node.notifications.disable(post.node.brand, to.id)
    post.queue.finish([post.result(to, one, status=status)])
    stored = post.node.log()[0]
    assert (stored.fate, stored.attempts, stored.next_at) == (fate, 1, None)
    assert stored.finished_at is not None
    assert len(post.node.deliveries.attempts(one.id)) == 1


def test_what_is_gone_meanwhile_has_no_log_and_spoils_nothing(post: Post) -> None:
    to = post.node.add()
    post.put(to, 2)
    found = post.due()[0]
    results = [post.result(to, one) for one in found.deliveries]
    with post.node.engine.begin() as connection:
        connection.execute(delete(deliveries).where(deliveries.c.id == found.deliveries[0].id))
    post.queue.finish(results)
    assert [one.fate for one in post.node.log()] == [Fate.DELIVERED]
    with post.node.engine.begin() as connection:
        connection.execute(delete(notifications).where(notifications.c.id == "none"))
    post.queue.finish([])


def test_a_request_that_could_not_be_written_is_in_the_log(post: Post) -> None:
    to = post.node.add(url="https://hooks.example/in?token=geheim&job={JobId}")
    post.put(to)
    one = post.due()[0].deliveries[0]
    whole = post.result(to, one, status=None, problem="the request could not be made")
    post.queue.finish(
        [
            Result(
                delivery=one,
                draft=to.draft,
                prepared=None,
                outcome=whole.outcome,
                ended_at=whole.ended_at,
                verdict=whole.verdict,
            )
        ]
    )
    attempt = post.node.deliveries.attempts(one.id)[0]
    assert attempt.url == "https://hooks.example/in?token=***&job={JobId}"
    assert (attempt.request_headers, attempt.request_body) == ((), "")


def test_the_backlog_is_counted(post: Post) -> None:
    assert post.queue.backlog().due_at is None
    began = to_datetime(post.node.now)
    post.put(post.node.add(), 3)
    backlog = post.queue.backlog()
    assert (backlog.waiting, backlog.due_at) == (3, began)


def test_what_waits_for_an_earlier_one_of_its_key_is_not_overdue(post: Post) -> None:
    post.put(post.node.add(), 2, order_key="a")
    post.finish({"status": 500})
    post.node.pass_by(timedelta(seconds=10))
    ((retry,),) = (due.deliveries for due in post.due())
    assert post.queue.backlog().due_at == retry.next_at
    assert retry.next_at is not None
    assert retry.next_at > retry.event_at


def test_what_is_due_is_found_by_index(post: Post) -> None:
    """The log may hold millions of finished deliveries: none of them is looked at."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    post.put(post.node.add(), order_key="a")
    event.listen(post.node.engine, "before_cursor_execute", note)
    post.due()
    post.queue.backlog()
    event.remove(post.node.engine, "before_cursor_execute", note)
    asked = [statement for statement in seen if "FROM deliveries" in statement]
    assert len(asked) == 4, "endpoints, first attempts, retries, backlog"
    for statement in asked:
        with post.node.engine.connect() as connection:
            plan = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement}", ("x",) * statement.count("?")
            )
            steps = [row.detail for row in plan]
        assert any("ix_deliveries_waiting" in step for step in steps), statement
        assert not [
            step for step in steps if step.startswith("SCAN deliveries") and "INDEX" not in step
        ], statement


def test_an_endpoint_that_cannot_be_read_holds_up_no_other(post: Post) -> None:
    spoilt, sound = post.node.add(), post.node.add(name="other")
    for one in (spoilt, sound):
        post.put(one)
    post.node.spoil(spoilt, {"url": 7})
    with capture_logs() as lines:
        found = [[due.notification.id for due in post.due()] for _ in range(3)]
    assert found == [[sound.id]] * 3
    assert [line["id"] for line in lines] == [spoilt.id]  # not with every look
    post.node.spoil(spoilt, {"url": "https://hooks.example/"})
    assert {due.notification.id for due in post.due()} == {spoilt.id, sound.id}


def test_a_delivery_that_cannot_be_read_holds_up_no_other(post: Post) -> None:
    post.put(post.node.add(), 3)
    with post.node.engine.begin() as connection:
        connection.execute(update(deliveries).where(deliveries.c.id == 1).values(kind="LATER"))
    with capture_logs() as lines:
        found = [post.ids(places=Places(each=1)) for _ in range(3)]
    assert found == [[], [2], [2]]  # seen once, it takes no place of others
    assert [line["id"] for line in lines] == [1]


def test_an_earlier_url_has_no_say_about_the_present_one(post: Post) -> None:
    to = post.node.add()
    post.put(to, 2)
    (due,) = post.due()
    elsewhere = replace(to.draft, url="https://elsewhere.example/")
    post.node.notifications.change(to.account_sid, to.id, elsewhere)
    post.queue.finish([post.result(to, due.deliveries[0], status=410)])
    post.queue.finish([post.result(to, due.deliveries[1], status=500)])
    changed = post.refreshed(to)
    assert (changed.disabled_at, changed.failing_since) == (None, None)


def test_what_is_replayed_while_under_way_is_not_given_up(post: Post) -> None:
    to = post.node.add()
    post.put(to)
    last = len(schedule.SCHEDULE_S) - 1
    with post.node.engine.begin() as connection:
        connection.execute(update(deliveries).values(tries=last))
    (due,) = post.due()
    post.node.notifications.disable(to.account_sid, to.id)
    post.node.notifications.enable(to.account_sid, to.id)
    post.node.deliveries.replay(None, due.deliveries[0].id)
    post.queue.finish([post.result(to, due.deliveries[0], status=500)])
    (delivery,) = post.node.log()
    assert (delivery.fate, delivery.tries, delivery.attempts) == (Fate.WAITING, 0, 1)
    assert delivery.next_at == to_datetime(post.node.now)
