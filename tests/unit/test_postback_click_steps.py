"""Whose clicks a follower is told of, and when its cursor has to be stored."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from clickledger.clock import MINUTE, SECOND
from clickledger.lake.following import Addition
from clickledger.postbacks import click_steps
from clickledger.postbacks.click_rules import Cursor, Digest
from clickledger.postbacks.click_steps import Directory, Follower, Program
from clickledger.postbacks.macros import CLICK_COLUMNS
from clickledger.postbacks.model import CLICK_DIGEST, Draft, Kind

UTC_ZONE = ZoneInfo("UTC")
DIRECTORY = Directory(
    programs={
        3: Program(brand="IRbrand", zone=UTC_ZONE, hide_sub_ids=True),
        4: Program(brand="IRrival", zone=UTC_ZONE, hide_sub_ids=False),
    },
    partners={1: ("IRblog", "IRbrand"), 2: ("IRforum", "IRrival")},
)


def follower(sid: str = "IRbrand", limit: int = 50) -> Follower:
    cursor = Cursor.begin(0)
    return Follower(
        id="one",
        account_sid=sid,
        draft=Draft(
            name="clicks", kind=Kind.CLICK, url="https://hooks.example/", click_limit=limit
        ),
        changed_at=datetime(2026, 3, 1, tzinfo=UTC),
        stored=cursor.document(),
        cursor=cursor,
    )


def clicks(*of: tuple[int, int]) -> pa.Table:
    """Make a click of each (program, partner), a second apart, all of one batch."""
    rows = [
        {
            **dict.fromkeys(CLICK_COLUMNS.values()),
            "spool_id": "spool",
            "sequence": 5,
            "position": number,
            "event_time": number * SECOND,
            "received_time": number * SECOND,
            "program_id": program_id,
            "media_id": partner_id,
            "sub_id1": "secret",
        }
        for number, (program_id, partner_id) in enumerate(of)
    ]
    return pa.table({name: pa.array([row[name] for row in rows]) for name in rows[0]})


@pytest.mark.parametrize(
    ("program_id", "partner_id", "sids"),
    [
        pytest.param(3, 1, ("IRbrand", "IRblog"), id="a partner of the brand"),
        pytest.param(3, 2, ("IRbrand",), id="a partner of another brand"),
        pytest.param(3, 9, ("IRbrand",), id="no partner that is known"),
        pytest.param(9, 1, (), id="no program that is known"),
    ],
)
def test_a_click_concerns_the_brand_and_its_own_partner(
    program_id: int, partner_id: int, sids: tuple[str, ...]
) -> None:
    assert DIRECTORY.accounts(program_id, partner_id) == sids


@pytest.mark.parametrize(
    ("sid", "told", "sub_id"),
    [("IRbrand", [0, 2], None), ("IRblog", [0], "secret"), ("IRrival", [1], "secret")],
)
def test_each_account_is_told_of_its_own_clicks_as_it_may_see_them(
    sid: str, told: list[int], sub_id: str | None
) -> None:
    seen = clicks((3, 1), (4, 1), (3, 2), (9, 1))
    (step,) = click_steps.tell([follower(sid)], DIRECTORY, seen, in_load=True)
    assert [event.at.second for event in step.events] == told
    assert {event.values.get("SubId1") for event in step.events} == {sub_id}
    assert step.cursor.spools == {"spool": (5, 3 * SECOND)}
    assert step.speaks


def test_clicks_of_others_move_a_cursor_silently() -> None:
    (step,) = click_steps.tell([follower()], DIRECTORY, clicks((4, 2)), in_load=True)
    assert step.cursor.spools == {"spool": (5, 0)}
    assert not step.speaks
    arrived = click_steps.arrive(follower(), Addition(version=9, spools={"spool": (7, 3)}))
    assert (arrived.cursor.version, arrived.cursor.spools) == (9, {"spool": (7, 3)})
    assert not arrived.speaks
    assert replace(arrived, follower=replace(follower(), stored=None)).speaks


def test_what_was_only_counted_is_stored_at_once() -> None:
    (first,) = click_steps.tell([follower(limit=1)], DIRECTORY, clicks((3, 1)), in_load=True)
    one = replace(follower(limit=1), cursor=replace(first.cursor, spools={}))
    (step,) = click_steps.tell([one], DIRECTORY, clicks((3, 1)), in_load=True)
    assert list(step.events) == []
    assert step.speaks


def test_a_minute_is_closed_by_the_mark_which_never_steps_back() -> None:
    digest = Digest(minute=0, clicks=2, first=1, last=2)
    cursor = replace(Cursor.begin(0), spools={"spool": (5, 3)}, told={0: 1}, digests={0: digest})
    one = replace(follower(limit=1), cursor=cursor)
    for early in (None, MINUTE - 1):
        assert list(click_steps.close(one, early).events) == []
    closed = click_steps.close(one, MINUTE)
    assert [event.name for event in closed.events] == [CLICK_DIGEST]
    assert (closed.cursor.complete, closed.cursor.told, closed.cursor.spools) == (MINUTE, {}, {})
    later = click_steps.close(replace(one, cursor=closed.cursor), 5)
    assert (later.cursor.complete, list(later.events)) == (MINUTE, [])
