"""What a caller says of a notification, in a new one and in a change."""

import pytest

from clickledger.api import drafts
from clickledger.api.bodies import parse_object
from clickledger.api.requests import Parameters, parse_pairs
from clickledger.errors import InvalidInputError
from clickledger.postbacks import masking, rules
from clickledger.postbacks.model import BodyFormat, Draft, Kind, Method

PRESENT = Draft(
    name="Jobs",
    kind=Kind.JOB_COMPLETION,
    url="https://hooks.example/in?token=abc123&job={JobId}",
    method=Method.POST,
    body='{"job":"{JobId}","password":"hunter22"}',
    body_format=BodyFormat.JSON,
    events=("CLICK_EXPORT_FAILED",),
    program_ids=(1, 2),
    minimum_delay_s=60,
    headers={"X-Key": "k-123", "X-Other": "o-456"},
)


def form(text: str) -> Parameters:
    return Parameters(parse_pairs(text.encode()))


def read(parameters: Parameters, present: Draft | None = None) -> Draft:
    """Read what is well said."""
    said = drafts.read(parameters, present)
    assert said.errors == ()
    return said.draft


def errors(parameters: Parameters, present: Draft | None = None) -> dict[str, str]:
    """Return what is wrong, with what the rules say of the rest, as the store has them say."""
    try:
        said = drafts.read(parameters, present)
    except InvalidInputError as error:
        found = error.fields
    else:
        found = (*said.errors, *rules.check(said.draft))
    named = {error.field: error.message for error in found}
    assert len(named) == len(found)
    return named


def test_the_least_that_can_be_said() -> None:
    got = read(form("Name=Jobs&Kind=JOB_COMPLETION&Url=https%3A%2F%2Fhooks.example%2F"))
    assert got == Draft(name="Jobs", kind=Kind.JOB_COMPLETION, url="https://hooks.example/")


FULL = Draft(
    name="Sales & more",
    kind=Kind.EVENT_TYPE,
    url="https://hooks.example/?id={ActionId}",
    method=Method.POST,
    body="<a>{ActionId}</a>",
    body_format=BodyFormat.XML,
    events=("TRACKED", "SOMETHING"),
    program_ids=(1, 2),
    partner_ids=(3,),
    action_tracker_ids=(4, 5),
    minimum_delay_s=90,
    headers={"X-Key": "a: b", "X-Other": "c"},
    click_limit=7,
)


def test_all_that_can_be_said_in_a_form() -> None:
    got = read(
        form(
            "name=Sales+%26+more&KIND=event_type&Url=https%3A%2F%2Fhooks.example%2F%3Fid%3D{ActionId}"
            "&Method=post&Body=<a>{ActionId}</a>&BodyFormat=xml&Events=tracked,+something"
            "&Events=TRACKED&ProgramIds=2&ProgramIds=1&ProgramIds=2&PartnerIds=3"
            "&ActionTrackerIds=4&ActionTrackerIds=5&MinimumDelay=90"
            "&Headers=X-Key:+a:+b&Headers=X-Other:c&ClickLimit=7&Unheard=of"
        )
    )
    assert got == FULL


def test_all_that_can_be_said_in_json() -> None:
    body = b"""{"Name": "Sales & more", "Kind": "EVENT_TYPE", "Method": "POST",
        "Url": "https://hooks.example/?id={ActionId}", "Body": "<a>{ActionId}</a>",
        "BodyFormat": "XML", "Events": ["TRACKED", "SOMETHING"], "ProgramIds": [1, 2],
        "PartnerIds": 3, "ActionTrackerIds": ["4", 5], "MinimumDelay": 90,
        "Headers": {"X-Key": "a: b", "X-Other": "c"}, "ClickLimit": 7}"""
    assert read(Parameters(parse_object(body))) == FULL


WRONG: dict[str, tuple[str, list[str]]] = {
    "nothing at all": ("", ["Kind", "Name"]),
    "an unknown kind": ("Name=x&Kind=JOBS&Url=x&Body=x", ["Kind"]),
    "an unknown method": ("Name=x&Kind=CLICK&Url=x&Method=PUT&Body=x", ["Method", "Url"]),
    "an unknown body format": (
        "Name=x&Kind=CLICK&Url=https://a.example/&Method=POST&BodyFormat=YAML&Body={Foo}",
        ["BodyFormat"],
    ),
    "a delay that is no number": (
        "Name=+&Kind=CLICK&Url=x&MinimumDelay=-1",
        ["MinimumDelay", "Name", "Url"],
    ),
    "a limit that is no number": (
        "Name=x&Kind=CLICK&Url=https://a.example/&ClickLimit=1.5",
        ["ClickLimit"],
    ),
    "a program that is no number": (
        "Name=x&Kind=CLICK&Url=https://a.example/&ProgramIds=x&PartnerIds=0&ActionTrackerIds=y",
        ["ActionTrackerIds", "PartnerIds", "ProgramIds"],
    ),
    "a header that is none": (
        "Name=x&Kind=CLICK&Url=https://a.example/&Headers=secret&Events=FOO",
        ["Events", "Headers"],
    ),
    "a header twice": (
        "Name=x&Kind=CLICK&Url=https://a.example/&Headers=A:1&Headers=A:2",
        ["Headers"],
    ),
    "a masked header of nothing": (
        "Name=x&Kind=CLICK&Url=https://a.example/&Headers=A:***",
        ["Headers"],
    ),
    "a masked URL of nothing": (
        "Name=x&Kind=CLICK&Url=https://a.example/?token=***",
        ["Url"],
    ),
}


@pytest.mark.parametrize(("text", "fields"), WRONG.values(), ids=WRONG.keys())
def test_every_wrong_field_is_named(text: str, fields: list[str]) -> None:
    assert sorted(errors(form(text))) == fields


def test_an_unknown_kind_names_those_there_are() -> None:
    assert "JOB_COMPLETION, CLICK" in errors(form("Name=x&Kind=JOBS"))["Kind"]
    assert "JOB_COMPLETION, CLICK" in errors(form("Name=x"))["Kind"]


def test_a_wrong_header_is_not_repeated_for_it_may_be_a_secret() -> None:
    assert "hunter22" not in str(errors(form("Name=x&Kind=CLICK&Headers=hunter22")))


def test_the_rest_is_judged_even_while_something_is_unknown_on_which_it_does_not_hang() -> None:
    with pytest.raises(InvalidInputError) as caught:
        drafts.read(form("Name=+&Kind=x&Url=x&MinimumDelay=999999999"))
    assert [error.field for error in caught.value.fields] == ["Kind", "Name", "MinimumDelay"]


def test_what_is_well_formed_is_left_to_be_judged_by_the_store() -> None:
    assert read(form("Kind=CLICK")) == Draft(name="", kind=Kind.CLICK, url="")


def test_a_change_leaves_what_it_does_not_name() -> None:
    assert read(form("Unheard=of"), PRESENT) == PRESENT
    changed = read(form("MinimumDelay=5&Events=CLICK_EXPORT_COMPLETED"), PRESENT)
    assert changed.minimum_delay_s == 5
    assert changed.events == ("CLICK_EXPORT_COMPLETED",)
    assert (changed.name, changed.url, changed.headers) == (
        *(PRESENT.name, PRESENT.url, PRESENT.headers),
    )


def test_what_a_change_names_and_leaves_empty_goes_back_to_its_default() -> None:
    said = "Method=&Body=&BodyFormat=&Events=&ProgramIds=&MinimumDelay=&Headers=&ClickLimit="
    changed = read(form(said), PRESENT)
    assert changed == Draft(name=PRESENT.name, kind=PRESENT.kind, url=PRESENT.url)


def test_a_change_cannot_take_the_kind_away() -> None:
    assert list(errors(form("Kind="), PRESENT)) == ["Kind"]


def test_what_was_shown_masked_comes_back_and_stays() -> None:
    shown = masking.masked(PRESENT)
    assert "abc123" not in shown.url
    assert "hunter22" not in shown.body
    said = Parameters(
        [
            ("Url", shown.url),
            ("Body", shown.body),
            *(("Headers", f"{name.lower()}: {value}") for name, value in shown.headers.items()),
        ]
    )
    got = read(said, PRESENT)
    assert (got.url, got.body) == (PRESENT.url, PRESENT.body)
    assert got.headers == {"x-key": "k-123", "x-other": "o-456"}


def test_a_header_that_is_not_said_again_goes_and_a_new_one_comes() -> None:
    got = read(form("Headers=X-Key:+***&Headers=X-New:+n"), PRESENT)
    assert got.headers == {"X-Key": "k-123", "X-New": "n"}


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Url=https://hooks.example/other?token=***", "Url"),
        ('Body={"password":"***"}', "Body"),
        ("Headers=X-New:+***", "Headers"),
    ],
)
def test_a_mask_that_stands_for_nothing_known_is_refused(text: str, field: str) -> None:
    found = errors(form(text), PRESENT)
    assert list(found) == [field]
    assert "the secret itself" in found[field]


def test_stars_in_a_body_that_hides_nothing_are_only_stars() -> None:
    plain = Draft(name="x", kind=Kind.CLICK, url="https://a.example/", method=Method.POST)
    assert read(form('Body={"a":"***"}'), plain).body == '{"a":"***"}'


def test_the_description_names_the_fields_in_the_order_they_are_read() -> None:
    said = {query.name: "" for query in drafts.FIELDS}
    assert read(Parameters([*said.items(), ("Kind", "CLICK"), ("Name", "n")]), PRESENT) == (
        Draft(name="n", kind=Kind.CLICK, url="")
    )
