"""``EventNotifications`` of the API: setting them up, changing them, and who may see them."""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from structlog.testing import capture_logs

from clickledger.api.handling import home
from clickledger.postbacks.model import Fate, Kind, Notification
from clickledger.postbacks.store import Notifications
from clickledger.testing.brand_api import BrandApi, Login, brand_api
from clickledger.testing.in_process import Answer
from clickledger.testing.notifications import draft

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json", "accept": "application/json"}
SECRET = "whsec_" + "QUJD" * 8
JOBS: Mapping[str, Any] = {
    "Name": "Jobs",
    "Kind": "JOB_COMPLETION",
    "Url": "https://hooks.example/in?job={JobId}",
}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[BrandApi]:
    with brand_api(tmp_path / "data", now=NOW) as made:
        yield made


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrandApi]:
    """One installation for all refusals, which change nothing; everybody has a notification."""
    with brand_api(tmp_path_factory.mktemp("api") / "data", now=NOW) as made:
        for login in (made.brand, made.partner, made.stranger):
            made.notifications.create(login.sid, draft(name="Standing"))
        yield made


def standing(api: BrandApi, login: Login) -> Notification:
    (found,), _ = api.notifications.list(login.sid)
    return found


def send(
    api: BrandApi,
    method: str,
    path: str,
    said: Mapping[str, Any] | None = None,
    login: Login | None = None,
) -> Answer:
    """Send JSON below ``EventNotifications``."""
    body = b"" if said is None else json.dumps(said).encode()
    login = login or api.brand
    target = f"{home(login.account)}/EventNotifications{path}"
    return api.send_as(login, method, target, headers=JSON, body=body)


def create(api: BrandApi, login: Login | None = None, **said: object) -> dict[str, Any]:
    answer = send(api, "POST", "", {**JOBS, **said}, login)
    assert answer.status == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def shown(api: BrandApi, notification_id: str, login: Login | None = None) -> dict[str, Any]:
    answer = send(api, "GET", f"/{notification_id}", login=login)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def fields(answer: Answer) -> list[str]:
    """Return the fields that an answer says are wrong."""
    assert answer.status == 400, answer.text
    errors: list[dict[str, str]] = answer.json()["Errors"]
    assert all(error["Message"] for error in errors)
    return sorted({error["Field"] for error in errors})


@pytest.mark.parametrize("who", ["brand", "partner"])
def test_from_creation_to_removal(api: BrandApi, who: str) -> None:
    login: Login = getattr(api, who)
    surface = {"brand": "/Advertisers", "partner": "/Mediapartners"}[who]
    answer = send(api, "POST", "", JOBS, login)
    made = answer.json()
    path = f"{surface}/{login.sid}/EventNotifications/{made['Id']}"
    assert answer.status == 201
    assert answer.header("location") == path
    assert list(made) == ["Status", "Uri", "Id", "Secret"]
    assert (made["Status"], made["Uri"]) == ("OK", path)

    one = shown(api, made["Id"], login)
    assert one == {
        "Id": made["Id"],
        "Name": "Jobs",
        "Kind": "JOB_COMPLETION",
        "Url": "https://hooks.example/in?job={JobId}",
        "Method": "GET",
        "Body": "",
        "BodyFormat": "JSON",
        "Events": [],
        "ProgramIds": [],
        "PartnerIds": [],
        "ActionTrackerIds": [],
        "MinimumDelay": 0,
        "Headers": [],
        "ClickLimit": 50,
        "Enabled": True,
        "DisabledDate": "",
        "DisabledReason": "",
        "FailingSince": "",
        "ClicksSince": "",
        "CreatedDate": one["CreatedDate"],
        "ChangedDate": one["CreatedDate"],
        "Uri": path,
        "DeliveriesUri": f"{path}/Deliveries",
    }
    zone = "+01:00" if who == "brand" else "+00:00"
    assert one["CreatedDate"] == f"2026-03-10T{13 if who == 'brand' else 12}:00:00{zone}"
    listed = send(api, "GET", "", login=login).json()
    assert (listed["EventNotifications"], listed["@total"]) == ([one], "1")

    api.clock.at += timedelta(hours=1)
    change = {"Name": "Other", "Events": ["click_export_failed"], "MinimumDelay": 5}
    changed = send(api, "PUT", f"/{made['Id']}", change, login)
    assert (changed.status, changed.json()) == (200, {"Status": "OK", "Uri": path})
    after = shown(api, made["Id"], login)
    assert {name for name in one if one[name] != after[name]} == {
        *("Name", "Events", "MinimumDelay", "ChangedDate"),
    }
    assert (after["Events"], after["MinimumDelay"]) == (["CLICK_EXPORT_FAILED"], 5)

    removed = send(api, "DELETE", f"/{made['Id']}", login=login)
    assert (removed.status, removed.json()) == (200, {"Status": "DELETED"})
    assert send(api, "GET", f"/{made['Id']}", login=login).status == 404
    assert send(api, "GET", "", login=login).json()["EventNotifications"] == []


EVERYTHING: Mapping[str, Any] = {
    "Name": "Käse & <Brot>",
    "Kind": "JOB_COMPLETION",
    "Url": "https://hooks.example/in?token=t-12345&job={JobId}",
    "Method": "POST",
    "Body": '{"job":"{JobId}","rows":{RecordsProcessed}}',
    "BodyFormat": "JSON",
    "Events": ["CLICK_EXPORT_COMPLETED", "CLICK_EXPORT_FAILED"],
    "ProgramIds": [1],
    "MinimumDelay": 604800,
    "Headers": ["Authorization: Bearer b-67890", "X-Team: clicks"],
}
MASKED = {
    **EVERYTHING,
    "Url": "https://hooks.example/in?token=***&job={JobId}",
    "Headers": ["Authorization: ***", "X-Team: ***"],
}


def test_json_and_form_say_the_same(api: BrandApi) -> None:
    by_json = create(api, **EVERYTHING)
    pairs = urlencode({**EVERYTHING, "Name": "Other"}, doseq=True)
    by_form = api.send("POST", "…/EventNotifications.json", headers=FORM, body=pairs.encode())
    assert by_form.status == 201
    one, other = (shown(api, made["Id"]) for made in (by_json, by_form.json()))
    assert {name: one[name] for name in MASKED} == MASKED
    different = {name for name in one if one[name] != other[name]}
    assert different == {"Id", "Name", "Uri", "DeliveriesUri"}


def test_a_client_without_put_and_delete(api: BrandApi) -> None:
    made = create(api)
    path = f"…/EventNotifications/{made['Id']}"
    body = b"_method=PUT&Name=Changed"
    assert api.send("POST", path, headers=FORM, body=body).status == 200
    assert shown(api, made["Id"])["Name"] == "Changed"
    assert api.send("POST", f"{path}?_method=DELETE").status == 200
    assert api.get(path).status == 404


def test_what_is_shown_can_be_sent_back_and_changes_nothing(api: BrandApi) -> None:
    made = create(api, **EVERYTHING)
    before = api.notifications.find(made["Id"]).draft
    answer = send(api, "PUT", f"/{made['Id']}", shown(api, made["Id"]))
    assert answer.status == 200, answer.text
    assert api.notifications.find(made["Id"]).draft == before


def test_xml_shows_what_json_shows(api: BrandApi) -> None:
    made = create(api, **EVERYTHING)
    root = api.get(f"…/EventNotifications/{made['Id']}").xml()
    one = root.find("EventNotification")
    assert one is not None
    assert one.findtext("Name") == EVERYTHING["Name"]
    assert [event.text for event in one.findall("Events/Event")] == EVERYTHING["Events"]
    assert [header.text for header in one.findall("Headers/Header")] == MASKED["Headers"]
    assert [number.text for number in one.findall("ProgramIds/ProgramId")] == ["1"]
    assert one.findtext("Enabled") == "true"
    listed = api.get("…/EventNotifications").xml().find("EventNotifications")
    assert listed is not None
    assert [child.tag for child in listed] == ["EventNotification"]


def test_a_secret_is_shown_by_the_answer_that_makes_it_only(api: BrandApi) -> None:
    with capture_logs() as logs:
        made = create(api, **EVERYTHING)
        own = create(api, Name="Own", Secret=SECRET)
        path = f"/{made['Id']}"
        rotated = send(api, "PUT", f"{path}/RotateSecret").json()
        others = [
            send(api, "GET", ""),
            send(api, "GET", path),
            send(api, "PUT", path, {"Name": "Other"}),
            send(api, "PUT", f"{path}/Disable"),
            send(api, "PUT", f"{path}/Enable"),
            send(api, "GET", f"{path}/Deliveries"),
            send(api, "DELETE", path),
        ]
    assert {answer.status for answer in others} == {200}
    assert own["Secret"] == SECRET
    secrets = {made["Secret"], rotated["Secret"], SECRET, "b-67890", "t-12345"}
    assert len(secrets) == 5
    everything = "".join(answer.text for answer in others) + str(logs)
    assert not [secret for secret in secrets if secret in everything]


def test_a_rotation_lets_both_secrets_sign_for_a_while(api: BrandApi) -> None:
    made = create(api)
    answer = send(api, "PUT", f"/{made['Id']}/RotateSecret", {"Secret": SECRET})
    assert answer.json() == {
        "Status": "OK",
        "Uri": made["Uri"],
        "Secret": SECRET,
        "EarlierSecretUntil": "2026-03-11T13:00:00+01:00",
    }
    assert api.notifications.find(made["Id"]).secrets == (SECRET, made["Secret"])
    api.clock.at += timedelta(days=1)
    assert api.notifications.find(made["Id"]).secrets == (SECRET,)


@pytest.mark.parametrize("secret", ["abc", "whsec_", "whsec_QUJD", "whsec_###", SECRET])
def test_a_rotation_refuses_what_is_no_other_secret(api: BrandApi, secret: str) -> None:
    made = create(api, Secret=SECRET)
    answer = send(api, "PUT", f"/{made['Id']}/RotateSecret", {"Secret": secret})
    assert fields(answer) == ["Secret"]
    assert api.notifications.find(made["Id"]).secrets == (SECRET,)


def test_switching_off_and_on(api: BrandApi) -> None:
    made = create(api)
    done = {"Status": "OK", "Uri": made["Uri"]}
    for _ in range(2):  # once more changes nothing
        assert send(api, "PUT", f"/{made['Id']}/Disable").json() == done
        one = shown(api, made["Id"])
        assert (one["Enabled"], one["DisabledDate"]) == (False, "2026-03-10T13:00:00+01:00")
        assert one["DisabledReason"] == "Disabled by hand."
    for _ in range(2):
        assert send(api, "PUT", f"/{made['Id']}/Enable").json() == done
        one = shown(api, made["Id"])
        assert (one["Enabled"], one["DisabledDate"], one["DisabledReason"]) == (True, "", "")


def test_why_an_endpoint_was_switched_off_is_shown(api: BrandApi) -> None:
    made = create(api)
    api.notifications.disable(api.brand.sid, made["Id"], "The endpoint answered 410 Gone.")
    assert shown(api, made["Id"])["DisabledReason"] == "The endpoint answered 410 Gone."


def test_pages(api: BrandApi) -> None:
    names = [f"Number {number}" for number in range(5)]
    for name in names:
        create(api, Name=name)
        api.clock.at += timedelta(seconds=1)
    uri, found = "…/EventNotifications?PageSize=2", []
    while uri:
        page = api.get(uri, {"accept": "application/json"}).json()
        found += [one["Name"] for one in page["EventNotifications"]]
        uri = page["@nextpageuri"]
    assert found == names


WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no name": ({"Name": None}, ["Name"]),
    "an unknown kind": ({"Kind": "Jobs"}, ["Kind"]),
    "an unknown macro": ({"Url": "https://hooks.example/?a={JobID}"}, ["Url"]),
    "a macro in the path": ({"Url": "https://hooks.example/{JobId}"}, ["Url"]),
    "no URL": ({"Url": "hooks"}, ["Url"]),
    "a URL with a password": ({"Url": "https://a:b@hooks.example/"}, ["Url"]),
    "a private host": ({"Url": "https://private.example/"}, ["Url"]),
    "a host that is private in part": ({"Url": "https://half-private.example/"}, ["Url"]),
    "a loopback address": ({"Url": "http://127.0.0.1/"}, ["Url"]),
    "an IPv4 address in IPv6": ({"Url": "http://[::ffff:10.0.0.1]/"}, ["Url"]),
    "the metadata address": ({"Url": "http://169.254.169.254/latest"}, ["Url"]),
    "a host that there is not": ({"Url": "https://nowhere.example/"}, ["Url"]),
    "a port that may not be called": ({"Url": "https://hooks.example:8443/"}, ["Url"]),
    "a body that is no JSON": ({"Method": "POST", "Body": "{"}, ["Body"]),
    "a body of a GET": ({"Body": "{}"}, ["Body"]),
    "an event of another kind": ({"Events": "CLICK"}, ["Events"]),
    "counted clicks": (
        {"Kind": "CLICK", "Url": "https://hooks.example/", "Events": "COUNTED"},
        ["Events"],
    ),
    "another account's program": ({"ProgramIds": [1, 2]}, ["ProgramIds"]),
    "an unknown partner": (
        {"Kind": "CLICK", "Url": "https://hooks.example/", "PartnerIds": 99},
        ["PartnerIds"],
    ),
    "a program beyond the database": ({"ProgramIds": "9999999999999999"}, ["ProgramIds"]),
    "a delay beyond seven days": ({"MinimumDelay": 604801}, ["MinimumDelay"]),
    "a header of ours": ({"Headers": {"webhook-id": "x"}}, ["Headers"]),
    "a header with a line end": ({"Headers": ["X-A: a\r\nX-B: b"]}, ["Headers"]),
    "a weak secret": ({"Secret": "whsec_QUJD"}, ["Secret"]),
    "NUL": ({"Name": "a\0b"}, ["Name"]),
    "many things at once": (
        {
            "Name": " ",
            "Url": "https://nowhere.example/",
            "Events": "x",
            "ProgramIds": 77,
            "MinimumDelay": 10**9,
            "Headers": {"Host": "x"},
            "Secret": "x",
        },
        ["Events", "Headers", "MinimumDelay", "Name", "ProgramIds", "Secret", "Url"],
    ),
    "values of another type": (
        {
            "MinimumDelay": "soon",
            "ProgramIds": "one",
            "Headers": "x",
            "Name": "Standing",
            "Url": "https://private.example/",
            "Secret": "x",
        },
        ["Headers", "MinimumDelay", "Name", "ProgramIds", "Secret", "Url"],
    ),
}


@pytest.mark.parametrize(("said", "wrong"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named_and_nothing_is_kept(
    still: BrandApi, said: dict[str, Any], wrong: list[str]
) -> None:
    before = standing(still, still.brand)
    assert fields(send(still, "POST", "", {**JOBS, **said})) == wrong
    if not {"Kind", "Secret"} & {*said, *wrong}:
        assert fields(send(still, "PUT", f"/{before.id}", said)) == wrong
    assert standing(still, still.brand) == before


def test_an_unknown_macro_gets_the_nearest(still: BrandApi) -> None:
    answer = send(still, "POST", "", {**JOBS, "Url": "https://hooks.example/?a={JobID}"})
    assert "{JobId}" in answer.json()["Message"]


def test_counted_clicks_are_refused_with_the_reason(still: BrandApi) -> None:
    said = {"Name": "C", "Kind": "CLICK", "Url": "https://hooks.example/", "Events": "COUNTED"}
    assert "not classified" in send(still, "POST", "", said).json()["Message"]


def test_a_name_that_is_taken(api: BrandApi) -> None:
    create(api)
    other = create(api, Name="Other")
    assert fields(send(api, "POST", "", JOBS)) == ["Name"]
    assert fields(send(api, "PUT", f"/{other['Id']}", {"Name": "Jobs"})) == ["Name"]
    create(api, login=api.stranger)  # another account's names are its own
    create(api, login=api.partner)


@pytest.mark.parametrize(("others", "status"), [(1, 200), (4, 200), (5, 409)])
def test_what_another_request_changes_meanwhile_stays(
    api: BrandApi, monkeypatch: pytest.MonkeyPatch, others: int, status: int
) -> None:
    made = create(api)["Id"]
    left = list(range(others))
    get = Notifications.get

    def meanwhile(store: Notifications, account_sid: str, notification_id: str) -> Notification:
        found = get(store, account_sid, notification_id)
        if left:
            name = f"Changed {left.pop()}"
            said = dataclasses.replace(found.draft, name=name)
            store.change(account_sid, notification_id, said)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Notifications, "get", meanwhile)
        answer = send(api, "PUT", f"/{made}", {"MinimumDelay": 7})
    assert answer.status == status, answer.text
    one = shown(api, made)
    assert (one["Name"], one["MinimumDelay"]) == ("Changed 0", 7 if status == 200 else 0)


def test_the_kind_cannot_change(api: BrandApi) -> None:
    made = create(api, Url="https://hooks.example/")
    assert fields(send(api, "PUT", f"/{made['Id']}", {"Kind": "CLICK"})) == ["Kind"]
    assert fields(send(api, "PUT", f"/{made['Id']}", {"Kind": None})) == ["Kind"]


def test_a_partner_names_its_brands_programs_and_itself(api: BrandApi) -> None:
    said = {
        "Kind": "CLICK",
        "Url": "https://hooks.example/?id={ClickId}",
        "ProgramIds": [api.program.id],
        "PartnerIds": [api.partner_id],
    }
    create(api, login=api.partner, **said)
    refused = send(api, "POST", "", {**JOBS, **said, "Name": "Other"}, api.other_partner)
    assert fields(refused) == ["PartnerIds"]
    strange = {**JOBS, "Name": "Third", "ProgramIds": [api.strange_program.id]}
    assert fields(send(api, "POST", "", strange, api.partner)) == ["ProgramIds"]


CALLS = [
    ("GET", ""),
    ("PUT", ""),
    ("DELETE", ""),
    ("PUT", "/Enable"),
    ("PUT", "/Disable"),
    ("PUT", "/RotateSecret"),
    ("POST", "/Test"),
    ("PUT", "/Replay?StartDate=2026-03-01"),
    ("GET", "/Deliveries"),
    ("GET", "/Deliveries/1"),
    ("PUT", "/Deliveries/1/Replay"),
]


@pytest.mark.parametrize(("method", "path"), CALLS, ids=[" ".join(call) for call in CALLS])
def test_what_is_another_accounts_looks_as_if_it_were_not_there(
    still: BrandApi, method: str, path: str
) -> None:
    owners = (still.brand, still.partner, still.stranger)
    before = [standing(still, owner) for owner in owners]
    unknown = "d8807a9f-a5ee-4e3f-ad2b-3dfd19d1915f"
    for caller in (*owners, still.other_partner):
        nothing = send(still, method, f"/{unknown}{path}", login=caller)
        assert nothing.status == 404
        for owner in owners:
            if owner != caller:
                theirs = standing(still, owner).id
                answer = send(still, method, f"/{theirs}{path}", login=caller)
                assert (answer.status, answer.text) == (404, nothing.text)
    assert [standing(still, owner) for owner in owners] == before


@pytest.mark.parametrize(("method", "path"), CALLS, ids=[" ".join(call) for call in CALLS])
def test_nobody_enters_without_credentials_or_on_a_path_of_the_other_kind(
    still: BrandApi, method: str, path: str
) -> None:
    for owner, own, wrong in (
        (still.brand, "/Advertisers", "/Mediapartners"),
        (still.partner, "/Mediapartners", "/Advertisers"),
    ):
        tail = f"/{owner.sid}/EventNotifications/{standing(still, owner).id}{path}"
        assert still.send_as(None, method, own + tail).status == 401
        assert still.send_as(owner, method, wrong + tail).status == 403
        assert still.send_as(still.stranger, method, own + tail).status == 403
        assert still.send_as(still.other_partner, method, own + tail).status == 403


@pytest.mark.parametrize("one", ["1", "%00", "%ff", "x" * 500, "..%2f", "D8807A9F-A5EE-4E3F"])
def test_an_id_that_can_be_none(still: BrandApi, one: str) -> None:
    for method, path in CALLS:
        assert still.send(method, f"…/EventNotifications/{one}{path}").status == 404


METHODS = {
    "the list": ("DELETE", "", "GET, HEAD, OPTIONS, POST"),
    "one": ("POST", "/{id}", "DELETE, GET, HEAD, OPTIONS, PUT"),
    "a command": ("GET", "/{id}/Enable", "OPTIONS, PUT"),
    "a test": ("HEAD", "/{id}/Test", "OPTIONS, POST"),
    "a replay": ("POST", "/{id}/Deliveries/1/Replay", "OPTIONS, PUT"),
}


@pytest.mark.parametrize(("method", "path", "allow"), METHODS.values(), ids=METHODS.keys())
def test_a_method_that_is_not_known(still: BrandApi, method: str, path: str, allow: str) -> None:
    path = path.format(id=standing(still, still.brand).id)
    answer = still.send(method, f"…/EventNotifications{path}")
    assert (answer.status, answer.header("allow")) == (405, allow)


def test_head_is_get_without_a_body(still: BrandApi) -> None:
    path = f"…/EventNotifications/{standing(still, still.brand).id}"
    for target in ("…/EventNotifications", path, f"{path}/Deliveries"):
        got, head = still.get(target), still.send("HEAD", target)
        assert (head.status, head.body) == (200, b"")
        assert head.header("content-length") == got.header("content-length")


BODIES = {
    "no JSON": (JSON, b"Name=x", 400),
    "a list": (JSON, b"[]", 400),
    "nested too deep": (JSON, b'{"Headers":{"A":{"B":1}}}', 400),
    "XML": ({"content-type": "text/xml"}, b"<Name>x</Name>", 415),
    "multipart": ({"content-type": "multipart/form-data; boundary=x"}, b"--x--", 415),
    "no type at all": ({}, b"Name=x", 415),
    "nothing": (JSON, b"", 400),
}


@pytest.mark.parametrize(("headers", "body", "status"), BODIES.values(), ids=BODIES.keys())
def test_a_body_that_cannot_be_read(
    still: BrandApi, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = still.send("POST", "…/EventNotifications.json", headers=headers, body=body)
    assert (answer.status, answer.json()["status"]) == (status, status)


def test_a_removed_notification_takes_what_waits_for_it_along(api: BrandApi) -> None:
    made = create(api)
    assert api.put(api.job_event()) == 1
    assert send(api, "DELETE", f"/{made['Id']}").status == 200
    (delivery,), _ = api.deliveries.list(api.brand.sid)
    assert delivery.fate is Fate.SKIPPED


def test_a_database_that_does_not_answer_is_503(api: BrandApi) -> None:
    away = api.folder.control_db.with_suffix(".away")
    api.folder.control_db.rename(away)
    with capture_logs() as logs:
        answer = send(api, "POST", "", JOBS)
    assert (answer.status, answer.header("retry-after")) == (503, "5")
    assert str(api.folder.root) not in answer.text
    assert [line["event"] for line in logs] == ["api_request_failed"]
    away.rename(api.folder.control_db)
    create(api)


def test_every_kind_can_be_set_up_with_every_macro(api: BrandApi) -> None:
    for kind in Kind:
        made = create(api, Name=kind, Kind=kind, Method="POST", Url="https://hooks.example/")
        assert re.fullmatch(r"[0-9a-f-]{36}", made["Id"])
        assert shown(api, made["Id"])["Kind"] == kind
