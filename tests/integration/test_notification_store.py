"""Notifications: who may see and change them, and everything that is wrong told at once."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Row, event, select
from structlog.testing import capture_logs

from clickledger.clock import to_datetime
from clickledger.db.tables import notifications as rows
from clickledger.errors import CorruptedError, InvalidInputError, NotFoundError
from clickledger.postbacks.model import BodyFormat, Draft, Fate, Kind, Method, Notification
from clickledger.postbacks.signing import new_secret
from clickledger.postbacks.store import InvalidDraftsError
from clickledger.testing.notifications import OVERLAP, NotificationNode, draft


@pytest.fixture
def node(tmp_path: Path) -> NotificationNode:
    return NotificationNode(tmp_path)


def wrong(error: InvalidInputError) -> list[tuple[str, str]]:
    return [(field.field, field.message) for field in error.fields]


def stored(node: NotificationNode, notification: Notification) -> Row[Any]:
    with node.engine.connect() as connection:
        return connection.execute(select(rows).where(rows.c.id == notification.id)).one()


# Making, finding, listing


def test_a_notification_comes_back_as_it_was_asked_for(node: NotificationNode) -> None:
    asked = Draft(
        name="Bücher & Co",
        kind=Kind.EVENT_TYPE,
        url="https://hooks.example:443/in?event={EventType}",
        method=Method.POST,
        body='<a b="{ActionId}"/>',
        body_format=BodyFormat.XML,
        events=("TRACKED",),
        program_ids=(node.program,),
        partner_ids=(node.partner_id, node.other_id),
        action_tracker_ids=(7,),
        minimum_delay_s=60,
        headers={"X-Token": "s3cret", "x-more": "a, b"},
        click_limit=9,
    )
    made = node.notifications.create(node.brand, asked)
    assert made.draft == asked
    assert (made.account_sid, made.disabled_at, made.disabled_reason) == (node.brand, None, "")
    assert made.created_at == made.changed_at == to_datetime(node.now)
    assert [secret[:6] for secret in made.secrets] == ["whsec_"]
    assert node.notifications.get(node.brand, made.id) == made
    assert node.notifications.find(made.id) == made


def test_what_is_secret_is_not_in_its_text(node: NotificationNode) -> None:
    made = node.add(headers={"X-Token": "s3cret"})
    assert "whsec_" not in repr(made)
    assert "s3cret" not in repr(made)


def test_a_secret_can_be_brought_along(node: NotificationNode) -> None:
    secret = new_secret()
    assert node.notifications.create(node.brand, draft(), secret).secrets == (secret,)
    with pytest.raises(InvalidInputError) as caught:
        node.notifications.create(node.brand, draft(name="other"), "hunter2")
    assert wrong(caught.value) == [("Secret", "must start with whsec_")]


def test_another_accounts_notification_does_not_exist(node: NotificationNode) -> None:
    made = node.add()
    calls: list[Callable[[str, str], object]] = [
        node.notifications.get,
        node.notifications.remove,
        node.notifications.enable,
        node.notifications.disable,
        node.notifications.rotate_secret,
        lambda sid, key: node.notifications.change(sid, key, draft(name="mine")),
    ]
    for stranger in (node.rival, node.partner):
        for call in calls:
            with pytest.raises(NotFoundError):
                call(stranger, made.id)
        assert node.notifications.list(stranger) == ((), 0)
    assert node.notifications.find(made.id) == made


@pytest.mark.parametrize("key", ["", "x", "\0", "\ud800", "9" * 5000, "' OR 1=1"])
def test_what_is_no_id_is_not_found(node: NotificationNode, key: str) -> None:
    node.add()
    calls = (
        node.notifications.find,
        partial(node.notifications.get, node.brand),
        partial(node.notifications.enable, node.brand),
    )
    for call in calls:
        with pytest.raises(NotFoundError):
            call(key)


@pytest.mark.parametrize("sid", ["IRnobody", "", "\0", "\ud800", "' OR 1=1"])
def test_an_account_that_is_not_there_has_none(node: NotificationNode, sid: str) -> None:
    made = node.add()
    assert node.notifications.list(sid) == ((), 0)
    assert node.deliveries.list(sid) == ((), 0)
    for call in (
        partial(node.notifications.create, sid, draft(name="new")),
        partial(node.notifications.apply, sid, [draft()]),
        partial(node.notifications.get, sid, made.id),
        partial(node.notifications.change, sid, made.id, draft()),
    ):
        with pytest.raises(NotFoundError):
            call()
    node.notifications.remove(node.brand, made.id)
    assert node.notifications.list() == ((), 0)


def test_the_list_is_oldest_first_in_pages(node: NotificationNode) -> None:
    made = []
    for number in range(5):
        made.append(node.add(name=f"n{number}").id)
        node.pass_by(timedelta(seconds=1))
    node.add(node.partner)
    pages = [node.notifications.list(node.brand, page, 2) for page in (1, 2, 3, 4)]
    assert [one.id for found, _ in pages for one in found] == made
    assert {total for _, total in pages} == {5}
    assert node.notifications.list()[1] == 6


# What is wrong


def test_everything_that_is_wrong_is_told_at_once(node: NotificationNode) -> None:
    node.add(name="taken")
    node.guard.refused["inside.example"] = "inside.example is at 10.0.0.1, a private address."
    with pytest.raises(InvalidInputError) as caught:
        node.notifications.create(
            node.brand,
            draft(
                name="taken",
                url="https://inside.example/",
                events=("CLICK",),
                program_ids=(node.program, node.program_of_rival, 999),
                partner_ids=(77,),
                minimum_delay_s=-1,
            ),
            "whsec_short",
        )
    fields = [field for field, _ in wrong(caught.value)]
    assert sorted(set(fields)) == [
        *("Events", "MinimumDelay", "Name", "PartnerIds", "ProgramIds", "Secret", "Url"),
    ]
    assert ("ProgramIds", f"there is no program {node.program_of_rival}") in wrong(caught.value)
    assert ("ProgramIds", "there is no program 999") in wrong(caught.value)
    assert ("Url", "inside.example is at 10.0.0.1, a private address.") in wrong(caught.value)
    assert "Name: another notification has this name" in str(caught.value)
    assert node.notifications.list()[1] == 1


def test_a_url_that_is_none_is_not_looked_up(node: NotificationNode) -> None:
    with pytest.raises(InvalidInputError) as caught:
        node.add(url="ftp://hooks.example/")
    assert [field for field, _ in wrong(caught.value)] == ["Url"]
    assert node.guard.asked == []


def test_the_address_that_will_be_called_is_judged(node: NotificationNode) -> None:
    node.add(url="https://HOOKS.example/?a={JobId}")
    node.add(name="two", url="http://bücher.example:8080/")
    assert node.guard.asked == [("hooks.example", 443), ("xn--bcher-kva.example", 8080)]


@pytest.mark.parametrize("number", [-1, 0, 2**31, 2**63, 2**100])
def test_odd_numbers_name_nothing(node: NotificationNode, number: int) -> None:
    with pytest.raises(InvalidInputError) as caught:
        node.add(program_ids=(number,))
    assert [field for field, _ in wrong(caught.value)] == ["ProgramIds"]


@pytest.mark.parametrize("name", ["", " ", "a\0b", "\ud800", "x" * 256])
def test_odd_names_are_refused(node: NotificationNode, name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        node.add(name=name)
    assert [field for field, _ in wrong(caught.value)] == ["Name"]


def test_a_partner_may_name_its_brands_programs_and_itself(node: NotificationNode) -> None:
    made = node.add(
        node.partner,
        kind=Kind.CLICK,
        url="https://blog.example/?c={ClickId}",
        program_ids=(node.program,),
        partner_ids=(node.partner_id,),
    )
    assert node.notifications.get(node.partner, made.id) == made
    with pytest.raises(InvalidInputError) as caught:
        node.notifications.change(
            node.partner,
            made.id,
            replace(made.draft, program_ids=(node.program_of_rival,), partner_ids=(node.other_id,)),
        )
    assert wrong(caught.value) == [
        ("ProgramIds", f"there is no program {node.program_of_rival}"),
        ("PartnerIds", f"there is no partner {node.other_id}"),
    ]


def test_two_accounts_may_use_the_same_name(node: NotificationNode) -> None:
    assert node.add().draft.name == node.add(node.partner).draft.name


def test_a_rival_for_the_name_that_is_first_by_a_hair_wins(node: NotificationNode) -> None:
    """Many at once: one gets the name, the others are told."""
    outcomes: list[object] = []
    start = threading.Barrier(4)

    def create() -> None:
        start.wait()
        try:
            outcomes.append(node.add(name="one"))
        except InvalidInputError as error:
            outcomes.append(wrong(error))

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [("Name", "another notification has this name")]
    assert [outcome for outcome in outcomes if outcome == told] == [told] * 3
    assert node.notifications.list()[1] == 1


def test_a_name_taken_within_our_look_and_our_write_is_told(node: NotificationNode) -> None:
    """What PostgreSQL lets happen: the constraint decides, not our look."""
    taken: list[str] = []

    def take(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT INTO notifications") and not taken:
            taken.append("jobs")
            connection.exec_driver_sql(
                "INSERT INTO notifications "
                "(id, account_sid, name, kind, draft, secret, created_at, changed_at) "
                f"SELECT 'x', sid, 'jobs', 'CLICK', '{{}}', '', created_at, created_at "
                f"FROM accounts WHERE sid = '{node.brand}'"
            )

    event.listen(node.engine, "before_cursor_execute", take)
    with pytest.raises(InvalidInputError) as caught:
        node.add()
    assert taken
    assert wrong(caught.value) == [("Name", "another notification has this name")]
    assert node.add().draft.name == "jobs", "the rival was undone with us"


# Changing, removing


def test_a_change_takes_the_place_of_all_that_was_said(node: NotificationNode) -> None:
    made = node.add(headers={"X-Token": "a"}, minimum_delay_s=5)
    node.pass_by(timedelta(minutes=1))
    wanted = draft(name="renamed", url="https://other.example/", method=Method.POST)
    changed = node.notifications.change(node.brand, made.id, wanted)
    assert changed == replace(made, draft=wanted, changed_at=to_datetime(node.now))
    assert node.notifications.find(made.id) == changed
    assert node.guard.asked[-1] == ("other.example", 443)


def test_a_change_may_keep_the_name(node: NotificationNode) -> None:
    made = node.add()
    wanted = replace(made.draft, minimum_delay_s=5)
    assert node.notifications.change(node.brand, made.id, wanted).draft == wanted


def test_a_change_that_is_wrong_changes_nothing(node: NotificationNode) -> None:
    node.add(name="taken")
    made = node.add()
    with pytest.raises(InvalidInputError) as caught:
        node.notifications.change(
            node.brand,
            made.id,
            draft(name="taken", kind=Kind.CLICK, url="https://x.example/{ClickId}"),
        )
    assert sorted({field for field, _ in wrong(caught.value)}) == ["Kind", "Name", "Url"]
    kind = "is JOB_COMPLETION and cannot change; make another notification"
    assert ("Kind", kind) in wrong(caught.value)
    assert node.notifications.find(made.id) == made


def test_a_new_url_starts_with_a_clean_record(node: NotificationNode) -> None:
    made = node.add()
    with node.engine.begin() as connection:
        connection.execute(rows.update().values(failing_since=to_datetime(node.now)))
    failing = node.notifications.change(node.brand, made.id, replace(made.draft, name="same url"))
    assert failing.failing_since == to_datetime(node.now)
    mended = node.notifications.change(
        node.brand, made.id, replace(made.draft, url="https://b.example/")
    )
    assert mended.failing_since is None


def test_what_was_removed_is_gone_but_for_its_log(node: NotificationNode) -> None:
    made = node.add()
    assert node.put() == 1
    node.notifications.remove(node.brand, made.id)
    calls: tuple[Callable[[str], object], ...] = (
        node.notifications.find,
        partial(node.notifications.get, node.brand),
        partial(node.notifications.remove, node.brand),
        partial(node.notifications.enable, node.brand),
    )
    for call in calls:
        with pytest.raises(NotFoundError):
            call(made.id)
    assert node.notifications.list() == ((), 0)
    assert [one.fate for one in node.log(made)] == [Fate.SKIPPED], "nobody calls it any more"
    assert node.put() == 0
    row = stored(node, made)
    assert (row.secret, row.earlier_secret) == ("", None)


def test_what_cannot_be_read_can_be_removed(node: NotificationNode) -> None:
    made = node.add()
    node.spoil(made, {"url": 7})
    with pytest.raises(CorruptedError, match=f"notification {made.id} cannot be read"):
        node.notifications.list()
    node.notifications.remove(node.brand, made.id)
    assert node.notifications.list() == ((), 0)


def test_the_name_of_what_was_removed_is_free(node: NotificationNode) -> None:
    for _ in range(2):
        node.notifications.remove(node.brand, node.add().id)
    assert node.add().draft.name == "jobs"


# On and off


def test_off_and_on_again(node: NotificationNode) -> None:
    made = node.add()
    node.put()
    with node.engine.begin() as connection:
        connection.execute(
            rows.update().values(failing_since=to_datetime(node.now), click_cursor={"a": 1})
        )
    node.pass_by(timedelta(minutes=1))
    off = node.notifications.disable(node.brand, made.id, "Enough.")
    assert (off.disabled_at, off.disabled_reason) == (to_datetime(node.now), "Enough.")
    assert stored(node, made).click_cursor == {"a": 1}
    (delivery,) = node.log(made)
    assert (delivery.fate, delivery.next_at) == (Fate.SKIPPED, None)
    assert delivery.finished_at == to_datetime(node.now)

    on = node.notifications.enable(node.brand, made.id)
    assert on == replace(made, changed_at=to_datetime(node.now))
    assert stored(node, made).click_cursor is None, "clicks are followed from the present on"
    assert [one.fate for one in node.log(made)] == [Fate.SKIPPED], "a replay sends it, no switch"


def test_switching_twice_is_switching_once(node: NotificationNode) -> None:
    made = node.add()
    assert node.notifications.enable(node.brand, made.id) == made
    off = node.notifications.disable(node.brand, made.id)
    assert off.disabled_reason == "Disabled by hand."
    node.pass_by(timedelta(minutes=1))
    assert node.notifications.disable(node.brand, made.id, "Once more.") == off


def test_a_delivery_that_slipped_in_while_it_was_off_is_not_sent(node: NotificationNode) -> None:
    """What a transaction leaves that began before the switch, on a database that lets it."""
    made = node.add()
    node.put()
    with node.engine.begin() as connection:
        connection.execute(rows.update().values(disabled_at=to_datetime(node.now)))
    assert [one.fate for one in node.log(made)] == [Fate.WAITING]
    node.notifications.enable(node.brand, made.id)
    assert [one.fate for one in node.log(made)] == [Fate.SKIPPED]


# Secrets


def test_after_a_rotation_both_secrets_sign_for_a_while(node: NotificationNode) -> None:
    made = node.add()
    (first,) = made.secrets
    rotated = node.notifications.rotate_secret(node.brand, made.id)
    assert rotated.secrets[1:] == (first,)
    assert rotated.secrets[0] != first
    node.pass_by(OVERLAP - timedelta(microseconds=1))
    assert node.notifications.find(made.id).secrets == rotated.secrets
    node.pass_by(timedelta(microseconds=1))
    assert node.notifications.find(made.id).secrets == rotated.secrets[:1]


def test_two_rotations_in_a_row_leave_the_last_two(node: NotificationNode) -> None:
    made = node.add()
    second, third = new_secret(), new_secret()
    node.notifications.rotate_secret(node.brand, made.id, second)
    last = node.notifications.rotate_secret(node.brand, made.id, third)
    assert last.secrets == (third, second)


def test_a_secret_that_is_none_or_the_present_one_is_refused(node: NotificationNode) -> None:
    made = node.add()
    for secret in ("whsec_", made.secrets[0]):
        with pytest.raises(InvalidInputError) as caught:
            node.notifications.rotate_secret(node.brand, made.id, secret)
        assert [field for field, _ in wrong(caught.value)] == ["Secret"]
    assert node.notifications.find(made.id) == made


# Applying many


def test_apply_makes_what_is_said_and_leaves_the_rest(node: NotificationNode) -> None:
    same, other, alone = (node.add(name=name) for name in ("same", "other", "alone"))
    node.notifications.disable(node.brand, other.id)
    node.pass_by(timedelta(minutes=1))
    drafts = [
        draft(name="new", url="https://new.example/"),
        same.draft,
        draft(name="other", minimum_delay_s=3),
    ]
    applied = node.notifications.apply(node.brand, drafts)
    assert [one.draft for one in applied.created] == drafts[:1]
    assert applied.unchanged == (same,)
    assert [(one.id, one.draft) for one in applied.changed] == [(other.id, drafts[2])]
    assert applied.changed[0].disabled_at is not None
    assert node.notifications.find(alone.id) == alone
    again = node.notifications.apply(node.brand, drafts)
    assert [one.draft for one in again.unchanged] == drafts
    assert (again.created, again.changed) == ((), ())


def test_apply_tells_all_that_is_wrong_and_does_nothing(node: NotificationNode) -> None:
    click = node.add(name="clicks", kind=Kind.CLICK, url="https://hooks.example/")
    node.guard.refused["inside.example"] = "no"
    with pytest.raises(InvalidDraftsError) as caught:
        node.notifications.apply(
            node.brand,
            [
                draft(name="good"),
                draft(name="clicks"),
                draft(name="inside", url="https://inside.example/", program_ids=(999,)),
                draft(name="good", minimum_delay_s=1),
            ],
        )
    told = {
        position: [(error.field, error.message) for error in errors]
        for position, errors in caught.value.of_draft.items()
    }
    assert told == {
        1: [("Kind", "is CLICK and cannot change; make another notification")],
        2: [("Url", "no"), ("ProgramIds", "there is no program 999")],
        3: [("Name", "stands here twice")],
    }
    assert wrong(caught.value) == [error for errors in told.values() for error in errors]
    assert node.notifications.list() == ((click,), 1)


def test_apply_of_nothing_does_nothing(node: NotificationNode) -> None:
    applied = node.notifications.apply(node.brand, [])
    assert (applied.created, applied.changed, applied.unchanged) == ((), (), ())


def test_each_change_writes_one_line_without_secrets(node: NotificationNode) -> None:
    with capture_logs() as lines:
        made = node.add(headers={"X-Token": "s3cret"})
        node.notifications.change(node.brand, made.id, replace(made.draft, name="b"))
        rotated = node.notifications.rotate_secret(node.brand, made.id)
        node.notifications.disable(node.brand, made.id, "Enough.")
        node.notifications.disable(node.brand, made.id, "Enough.")
        node.notifications.enable(node.brand, made.id)
        node.notifications.apply(node.brand, [replace(made.draft, name="b", minimum_delay_s=1)])
        node.notifications.remove(node.brand, made.id)
        with pytest.raises(InvalidInputError):
            node.add(name="")
    assert [line["change"] for line in lines] == [
        *("created", "changed", "secret rotated", "disabled", "enabled", "changed", "removed"),
    ]
    assert {line["id"] for line in lines} == {made.id}
    text = str(lines)
    assert all(secret not in text for secret in ("s3cret", *made.secrets, *rotated.secrets))
