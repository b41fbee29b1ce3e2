"""Which clicks are new, which are told one by one, and what is said of them."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from clickledger.clock import MINUTE, SECOND, Micros, to_micros
from clickledger.postbacks import click_rules, rules
from clickledger.postbacks.click_rules import OPEN_MINUTES, Cursor, Digest, Limiter
from clickledger.postbacks.macros import CLICK_COLUMNS, MACROS
from clickledger.postbacks.model import CLICK_DIGEST, Draft, Kind

#: Start of a minute.
NOON = to_micros(datetime(2026, 3, 1, 12, tzinfo=UTC))


def limiter(limit: int, **state: object) -> Limiter:
    fields: dict[str, object] = {"since": 0, "complete": 0, **state}
    return Limiter(Cursor(**fields), limit)  # type: ignore[arg-type] # each name is a field


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        pytest.param([0, 0], [True, True], id="at the limit"),
        pytest.param([0, 0, 0], [True, True, False], id="beyond it"),
        pytest.param([0, 0, 1, 1], [True] * 4, id="each second counts by itself"),
        pytest.param([0, 0, 0, 1, 59], [True, True, False, False, False], id="the minute's rest"),
        pytest.param([0, 0, 0, 60, 61], [True, True, False, True, True], id="the next minute"),
        pytest.param([5, 5, 5, 4], [True, True, False, False], id="late of an earlier second"),
    ],
)
def test_a_second_beyond_the_limit_makes_the_rest_of_its_minute_a_digest(
    seconds: list[int], told: list[bool]
) -> None:
    one = limiter(2)
    assert [one.tells(NOON + second * SECOND) for second in seconds] == told


def test_a_digest_counts_what_was_not_told() -> None:
    one = limiter(1)
    for at in (30.5, 30.25, 20, 59, 61, 61):
        one.tells(NOON + int(at * SECOND))
    one.complete(NOON + MINUTE - 1)
    assert one.ready() == []
    one.complete(NOON + MINUTE)
    assert one.ready() == [
        Digest(minute=NOON, clicks=3, first=NOON + 20 * SECOND, last=NOON + 59 * SECOND)
    ]
    assert one.ready() == []
    assert dict(one.told) == {NOON // SECOND + 61: 1}
    assert list(one.digests) == [NOON + MINUTE]


def test_a_minute_that_was_told_one_by_one_ends_without_a_word() -> None:
    one = limiter(2)
    one.tells(NOON)
    one.complete(NOON + MINUTE)
    assert (one.ready(), dict(one.told)) == ([], {})


def test_a_late_click_of_a_minute_that_is_over_is_counted_anew() -> None:
    one = limiter(1)
    assert [one.tells(NOON), one.tells(NOON)] == [True, False]
    one.complete(NOON + MINUTE)
    assert [digest.clicks for digest in one.ready()] == [1]
    assert [one.tells(NOON), one.tells(NOON)] == [True, False]
    one.complete(NOON + MINUTE)
    assert [digest.clicks for digest in one.ready()] == [1]


def test_while_the_mark_is_held_only_so_many_minutes_stay_open() -> None:
    one = limiter(1)
    for minute in range(OPEN_MINUTES):
        one.tells(NOON + minute * MINUTE)
        one.tells(NOON + minute * MINUTE)
    assert one.ready() == []
    one.tells(NOON + OPEN_MINUTES * MINUTE)
    assert [digest.minute for digest in one.ready()] == [NOON]
    assert len(one.told) == OPEN_MINUTES


def test_late_clicks_of_an_old_minute_are_limited_while_many_are_open() -> None:
    one = limiter(1)
    for minute in range(OPEN_MINUTES):
        one.tells(NOON + minute * MINUTE)
    old = NOON - 9 * MINUTE
    assert [one.tells(old + second) for second in (0, 1, 2, MINUTE)] == [True, False, False, True]
    assert len(one.told) == OPEN_MINUTES
    assert one.ready() == [Digest(minute=old, clicks=2, first=old + 1, last=old + 2)]


def test_a_cursor_comes_back_as_it_was_stored() -> None:
    one = Cursor(
        since=1,
        version=7,
        complete=5,
        spools={"b": (3, 4), "a": (1, 2)},
        told={9: 1, 8: 2},
        digests={NOON: Digest(minute=NOON, clicks=3, first=NOON, last=NOON + 1)},
    )
    assert Cursor.read(one.document()) == one
    begun = Cursor.begin(77)
    assert Cursor.read(begun.document()) == begun
    assert (begun.since, begun.complete, begun.version) == (77, 77, None)


@pytest.mark.parametrize(
    ("spool", "sequence", "received", "in_load", "new"),
    [
        pytest.param("a", 6, 100, True, True, id="behind the last batch told"),
        pytest.param("a", 5, 900, True, False, id="of the last batch told"),
        pytest.param("a", 6, 100, False, False, id="behind it, complete before"),
        pytest.param("a", 6, 500, False, True, id="behind it, received since"),
        pytest.param("a", 5, 500, False, False, id="of the last batch told, by row key"),
        pytest.param("b", 1, 100, True, True, id="of a spool not heard of, in a load"),
        pytest.param("b", 1, 499, False, False, id="of such a spool, complete before"),
        pytest.param("b", 1, 500, False, True, id="of such a spool, received since"),
        pytest.param("a", 6, 99, True, False, id="received before the notification"),
    ],
)
def test_a_click_is_new_behind_the_cursor(
    spool: str,
    sequence: int,
    received: Micros,
    in_load: bool,
    new: bool,
) -> None:
    cursor = Cursor(since=100, version=1, complete=500, spools={"a": (5, 700)})
    assert cursor.is_new(spool, sequence, received, in_load=in_load) is new


def test_what_was_told_never_steps_back() -> None:
    known = {"a": (5, 70), "b": (1, 10)}
    told = {"a": (4, 90), "c": (2, 20)}
    assert click_rules.advance(known, told) == {"a": (5, 90), "b": (1, 10), "c": (2, 20)}


def test_a_spool_is_forgotten_when_the_mark_has_passed_its_last_click() -> None:
    spools = {"a": (5, 69), "b": (1, 70), "c": (9, 71)}
    assert click_rules.still_needed(spools, 70) == {"b": (1, 70), "c": (9, 71)}


def lake_row(**values: object) -> dict[str, object]:
    return {**dict.fromkeys(CLICK_COLUMNS.values()), **values}


def test_each_macro_of_a_click_can_have_a_value() -> None:
    row = {column: f"<{column}>" for column in CLICK_COLUMNS.values()}
    row |= {"event_time": NOON, "received_time": NOON + SECOND}  # type: ignore[dict-item] # instants
    found = click_rules.macros(row, ZoneInfo("America/New_York"), hide_sub_ids=False)
    assert found["EventDate"] == "2026-03-01T07:00:00-05:00"
    assert found["ReceivedDate"] == "2026-03-01T07:00:01-05:00"
    assert found["SubId3"] == "<sub_id3>"
    assert found.keys() | {"EventType", "MessageId"} == MACROS[Kind.CLICK].keys()


def test_what_a_click_did_not_bring_or_may_not_show_is_left_out() -> None:
    row = lake_row(program_id=3, sub_id1="a", shared_id="b", param1=Decimal("1.50"))
    assert click_rules.macros(row, ZoneInfo("UTC"), hide_sub_ids=True) == {
        "CampaignId": "3",
        "SharedId": "b",
        "Param1": "1.50",
    }


@pytest.mark.parametrize(
    ("named", "program_id"),
    [((), 0), ((7,), 7), ((7, 8), 0)],
    ids=["no filter", "one program", "several programs"],
)
def test_a_digest_is_for_the_notification_whatever_it_filters(
    named: tuple[int, ...], program_id: int
) -> None:
    event = click_rules.digest_event(
        Digest(minute=NOON, clicks=3, first=NOON + 1, last=NOON + 30 * SECOND),
        account_sid="IRbrand",
        program_ids=named,
        limit=50,
    )
    assert (event.name, event.program_id, event.partner_id) == (CLICK_DIGEST, program_id, None)
    assert to_micros(event.at) == NOON + MINUTE
    assert event.values == {
        "Clicks": "3",
        "From": "2026-03-01T12:00:00Z",
        "To": "2026-03-01T12:00:30Z",
        "Limit": "50",
    }
    draft = Draft(
        name="clicks",
        kind=Kind.CLICK,
        url="https://hooks.example/",
        events=("CLICK",),
        program_ids=named,
        partner_ids=(1, 2),
    )
    assert rules.matches(draft, event)
    jobs = Draft(name="jobs", kind=Kind.JOB_COMPLETION, url="https://hooks.example/")
    assert not rules.matches(jobs, event)
