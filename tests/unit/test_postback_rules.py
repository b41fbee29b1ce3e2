"""What may be said of a notification, and which events it is about."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from clickledger.errors import InvalidInputError
from clickledger.postbacks import rules
from clickledger.postbacks.model import (
    CLICK_DIGEST,
    EVENTS,
    BodyFormat,
    Draft,
    Event,
    Kind,
    Method,
)

DRAFT = Draft(name="Exports", kind=Kind.JOB_COMPLETION, url="https://a.example/?j={JobId}")
EVENT = Event(
    kind=Kind.JOB_COMPLETION,
    name="CLICK_EXPORT_COMPLETED",
    account_sids=("IRa",),
    program_id=7,
    at=datetime(2026, 3, 1, tzinfo=UTC),
    values={},
)


def drafted(**changes: Any) -> Draft:  # noqa: ANN401 - any field of a draft
    return dataclasses.replace(DRAFT, **changes)


def wrong(**changes: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - any field of a draft
    return [(error.field, error.message) for error in rules.check(drafted(**changes))]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "n" * 255},
        {"name": "Bücher & more"},
        {"method": Method.POST},
        {"method": Method.POST, "body": '{"j":{JobId}}'},
        {"method": Method.POST, "body": "<j>{JobId}</j>", "body_format": BodyFormat.XML},
        {"method": Method.POST, "body": "j={JobId}", "body_format": BodyFormat.FORM},
        {"events": ("CLICK_EXPORT_FAILED", "REPORT_EXPORT_FAILED")},
        {"program_ids": (1, 2)},
        {"kind": Kind.CLICK, "url": "https://a.example/?c={ClickId}", "partner_ids": (1,)},
        {"kind": Kind.CLICK, "url": "https://a.example/", "events": ("CLICK",)},
        {"kind": Kind.CLICK, "url": "https://a.example/", "click_limit": 1},
        {"kind": Kind.CLICK, "url": "https://a.example/", "click_limit": 1000},
        {"kind": Kind.EVENT_TYPE, "url": "https://a.example/", "action_tracker_ids": (9,)},
        {"minimum_delay_s": 604_800},
        {"headers": {"Authorization": "Bearer a b\tc", "X-A": "!", "accept": "*/*"}},
        {"headers": {f"X-{number}": "v" * 4096 for number in range(20)}},
    ],
)
def test_a_draft_that_can_be_kept_has_nothing_wrong(changes: dict[str, Any]) -> None:
    assert wrong(**changes) == []


@pytest.mark.parametrize("kind", Kind)
def test_every_event_of_a_kind_may_be_selected(kind: Kind) -> None:
    assert wrong(kind=kind, url="https://a.example/", events=EVENTS[kind]) == []


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"name": ""}, "Name", "must not be empty"),
        ({"name": "  "}, "Name", "must not be empty"),
        ({"name": "a "}, "Name", "begin or end with a space"),
        ({"name": "n" * 256}, "Name", "has 256 characters; at most 255"),
        ({"name": "a\x00b"}, "Name", "control characters"),
        ({"name": "a\ud800b"}, "Name", "control characters"),
        ({"url": "a.example"}, "Url", "must be absolute"),
        ({"url": "https://a.example/?j={ClickId}"}, "Url", "unknown macro {ClickId}"),
        ({"body": "{}"}, "Body", "a GET has no body"),
        ({"method": Method.POST, "body": "{"}, "Body", "is not JSON"),
        (
            {"method": Method.POST, "body": "{}", "body_format": BodyFormat.XML},
            "Body",
            "is not well-formed XML",
        ),
        (
            {"method": Method.POST, "body": "{Jobid}"},
            "Body",
            "unknown macro {Jobid}; did you mean {JobId}?",
        ),
        (
            {"events": ("CLICK_EXPORT_COMPLETE",)},
            "Events",
            "'CLICK_EXPORT_COMPLETE' is unknown; did you mean CLICK_EXPORT_COMPLETED? All: ",
        ),
        ({"events": ("COUNTED",)}, "Events", "'COUNTED' is unknown"),
        (
            {"kind": Kind.CLICK, "url": "https://a.example/", "events": ("COUNTED",)},
            "Events",
            "clicks are not classified",
        ),
        (
            {"kind": Kind.CLICK, "url": "https://a.example/", "events": ("CLICK_DIGEST",)},
            "Events",
            "did you mean CLICK?",
        ),
        ({"events": ("CLICK_EXPORT_FAILED",) * 2}, "Events", "each event once"),
        ({"program_ids": (0,)}, "ProgramIds", "must be positive"),
        ({"program_ids": (1, 1)}, "ProgramIds", "each id once"),
        ({"partner_ids": (1,)}, "PartnerIds", "a job has no partner"),
        ({"action_tracker_ids": (1,)}, "ActionTrackerIds", "for the kind EVENT_TYPE only"),
        (
            {"kind": Kind.CLICK, "url": "https://a.example/", "action_tracker_ids": (1,)},
            "ActionTrackerIds",
            "for the kind EVENT_TYPE only",
        ),
        (
            {"kind": Kind.EVENT_TYPE, "url": "https://a.example/", "action_tracker_ids": (-1,)},
            "ActionTrackerIds",
            "must be positive",
        ),
        ({"minimum_delay_s": -1}, "MinimumDelay", "0 to 604800 seconds"),
        ({"minimum_delay_s": 604_801}, "MinimumDelay", "0 to 604800 seconds"),
        (
            {"kind": Kind.CLICK, "url": "https://a.example/", "click_limit": 0},
            "ClickLimit",
            "1 to 1000",
        ),
        (
            {"kind": Kind.CLICK, "url": "https://a.example/", "click_limit": 1001},
            "ClickLimit",
            "1 to 1000",
        ),
        ({"headers": {f"X-{number}": "v" for number in range(21)}}, "Headers", "are 21; at most"),
        ({"headers": {"": "v"}}, "Headers", "'' is not the name of a header"),
        ({"headers": {"X A": "v"}}, "Headers", "is not the name of a header"),
        ({"headers": {"X-A:": "v"}}, "Headers", "is not the name of a header"),
        ({"headers": {"X-A\r\nHost": "v"}}, "Headers", "is not the name of a header"),
        ({"headers": {"X-Ä": "v"}}, "Headers", "is not the name of a header"),
        ({"headers": {"X-" + "a" * 99: "v"}}, "Headers", "is not the name of a header"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "Headers", "x-a is given twice"),
        ({"headers": {"X-A": ""}}, "Headers", "must be visible ASCII"),
        ({"headers": {"X-A": " v"}}, "Headers", "must be visible ASCII"),
        ({"headers": {"X-A": "v\t"}}, "Headers", "must be visible ASCII"),
        ({"headers": {"X-A": "v\n"}}, "Headers", "must be visible ASCII"),
        ({"headers": {"X-A": "a\r\nHost: b"}}, "Headers", "must be visible ASCII"),
        ({"headers": {"X-A": "ü"}}, "Headers", "must be visible ASCII"),
        ({"headers": {"X-A": "v" * 4097}}, "Headers", "has 4097 characters; at most 4096"),
        ({"headers": {"Webhook-Id": "v"}}, "Headers", "begin with webhook-"),
        ({"headers": {"webhook-anything": "v"}}, "Headers", "begin with webhook-"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_wrong(
    changes: dict[str, Any], field: str, says: str
) -> None:
    ((named, message),) = wrong(**changes)
    assert named == field
    assert says in message


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Content-Length",
        "content-type",
        "Content-Encoding",
        "Transfer-Encoding",
        "Connection",
        "Cookie",
        "Keep-Alive",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Proxy-Authenticate",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Accept-Encoding",
        "User-Agent",
    ],
)
def test_headers_that_are_not_the_notifications_to_set_are_refused(name: str) -> None:
    ((field, message),) = wrong(headers={name: "v"})
    assert field == "Headers"
    assert message.startswith(f"{name} cannot be set: ")


def test_all_wrong_fields_are_told_at_once() -> None:
    fields = wrong(
        kind=Kind.CLICK,
        name="",
        url="",
        method=Method.POST,
        body="{",
        events=("NONE", "NEITHER"),
        program_ids=(0,),
        partner_ids=(0,),
        action_tracker_ids=(1,),
        minimum_delay_s=-1,
        headers={"Host": "a", "X-A": ""},
        click_limit=0,
    )
    assert [field for field, _ in fields] == [
        "Name",
        "Url",
        "Body",
        "Events",
        "Events",
        "ProgramIds",
        "PartnerIds",
        "ActionTrackerIds",
        "MinimumDelay",
        "Headers",
        "Headers",
        "ClickLimit",
    ]


def test_secret_header_values_are_not_repeated_in_errors() -> None:
    ((_, message),) = wrong(headers={"X-Key": "s3cr\x00t"})
    assert "s3cr" not in message


@pytest.mark.parametrize(
    ("draft", "event", "wanted"),
    [
        ({}, {}, True),
        ({"kind": Kind.CLICK}, {}, False),
        ({"events": ("CLICK_EXPORT_COMPLETED",)}, {}, True),
        ({"events": ("CLICK_EXPORT_FAILED",)}, {}, False),
        ({"program_ids": (6, 7)}, {}, True),
        ({"program_ids": (6,)}, {}, False),
        ({"partner_ids": (3,)}, {"partner_id": 3}, True),
        ({"partner_ids": (3,)}, {"partner_id": 4}, False),
        ({"partner_ids": (3,)}, {}, False),
        ({"action_tracker_ids": (5,)}, {"action_tracker_id": 5}, True),
        ({"action_tracker_ids": (5,)}, {"action_tracker_id": 6}, False),
        ({"action_tracker_ids": (5,)}, {}, False),
        ({"kind": Kind.CLICK}, {"kind": Kind.CLICK, "name": "CLICK"}, True),
        (
            {"kind": Kind.CLICK, "events": ("CLICK",)},
            {"kind": Kind.CLICK, "name": CLICK_DIGEST},
            True,
        ),
        (
            {"kind": Kind.CLICK, "program_ids": (6, 8), "partner_ids": (3,)},
            {"kind": Kind.CLICK, "name": CLICK_DIGEST, "program_id": 0},
            True,
        ),
        ({}, {"kind": Kind.CLICK, "name": CLICK_DIGEST}, False),
        (
            {"events": ("CLICK_EXPORT_COMPLETED",), "program_ids": (7,)},
            {"program_id": 8},
            False,
        ),
    ],
)
def test_a_notification_is_about_the_events_it_selects(
    draft: dict[str, Any], event: dict[str, Any], wanted: bool
) -> None:
    assert rules.matches(drafted(**draft), dataclasses.replace(EVENT, **event)) is wanted


def test_a_choice_is_named_exactly() -> None:
    assert rules.choice("Kind", "CLICK", Kind) is Kind.CLICK


@pytest.mark.parametrize(
    ("text", "near"), [("click", "CLICK"), ("", "CLICK"), ("JOB-COMPLETION", "JOB_COMPLETION")]
)
def test_an_unknown_choice_is_refused_with_the_nearest_and_all(text: str, near: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        rules.choice("Kind", text, Kind)
    (error,) = caught.value.fields
    assert error.field == "Kind"
    if text:
        assert f"did you mean {near}?" in error.message
    assert error.message.endswith("All: " + ", ".join(Kind))
