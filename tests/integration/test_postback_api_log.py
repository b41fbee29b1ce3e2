"""The log of a notification by the API: deliveries, their attempts, and sending them again."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clickledger.postbacks import schedule
from clickledger.postbacks.model import Delivery, Fate, Method, Notification
from clickledger.testing.brand_api import BrandApi, Login, brand_api
from clickledger.testing.in_process import Answer
from clickledger.testing.notifications import draft

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
JSON = {"accept": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
OK: Mapping[str, Any] = {
    "status": 200,
    "headers": (("Server", "theirs"), ("Set-Cookie", "c=1")),
    "body": b"thanks",
}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[BrandApi]:
    with brand_api(tmp_path / "data", now=NOW) as made:
        yield made


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrandApi]:
    """One installation for all refusals, which change nothing; with one delivery."""
    with brand_api(tmp_path_factory.mktemp("api") / "data", now=NOW) as made:
        add(made)
        made.put(made.job_event())
        yield made


def add(api: BrandApi, login: Login | None = None, **said: object) -> Notification:
    return api.notifications.create((login or api.brand).sid, draft(**said))


def put(api: BrandApi, **said: object) -> Delivery:
    """Put an event into the outbox; return its newest delivery."""
    assert api.put(api.job_event(**said)) > 0
    return api.deliveries.list(None, page_size=1)[0][0]


def call(
    api: BrandApi,
    method: str,
    notification: Notification,
    path: str,
    login: Login | None = None,
    *,
    body: bytes = b"",
) -> Answer:
    target = f"…/EventNotifications/{notification.id}{path}"
    headers = {**JSON, **(FORM if body else {})}
    return api.send_as(login or api.brand, method, target, headers=headers, body=body)


def listed(api: BrandApi, notification: Notification, query: str = "") -> list[int]:
    answer = call(api, "GET", notification, f"/Deliveries?{query}")
    assert answer.status == 200, answer.text
    return [one["Id"] for one in answer.json()["Deliveries"]]


def fields(answer: Answer) -> list[str]:
    assert answer.status == 400
    return [error["Field"] for error in answer.json()["Errors"]]


def test_a_delivery_from_the_event_to_its_end(api: BrandApi) -> None:
    made = add(
        api,
        url="https://hooks.example/in?token=t-12345&job={JobId}",
        method=Method.POST,
        headers={"X-Key": "k-67890"},
    )
    waiting = put(api)
    uri = f"/Advertisers/{api.brand.sid}/EventNotifications/{made.id}/Deliveries/{waiting.id}"
    first = call(api, "GET", made, f"/Deliveries/{waiting.id}").json()
    assert first == {
        "Id": waiting.id,
        "MessageId": waiting.message_id,
        "Kind": "JOB_COMPLETION",
        "Event": "CLICK_EXPORT_COMPLETED",
        "ProgramId": api.program.id,
        "PartnerId": "",
        "EventDate": "2026-03-10T13:00:00+01:00",
        "Status": "WAITING",
        "NextAttemptDate": "2026-03-10T13:00:00+01:00",
        "FinishedDate": "",
        "AttemptCount": 0,
        "Uri": uri,
        "ReplayUri": f"{uri}/Replay",
        "Attempts": [],
    }

    api.clock.at += timedelta(seconds=1)
    api.attempt(waiting.id, problem="no connection: refused")
    api.clock.at += timedelta(seconds=5)
    api.attempt(waiting.id, **OK)
    last = call(api, "GET", made, f"/Deliveries/{waiting.id}").json()
    assert (last["Status"], last["AttemptCount"]) == ("DELIVERED", 2)
    assert (last["NextAttemptDate"], last["FinishedDate"]) == ("", "2026-03-10T13:00:06+01:00")
    failed, delivered = last["Attempts"]
    assert (failed["Number"], failed["StartedDate"]) == (1, "2026-03-10T13:00:01+01:00")
    assert failed["Outcome"].startswith("Failed: no connection: refused; attempt 2 of 10 follows")
    assert (failed["Response"], failed["DurationMs"]) == ("", 12)
    assert delivered["Outcome"] == "Delivered: the endpoint answered 200."
    assert delivered["Response"] == {
        "Status": 200,
        "Headers": [
            {"Name": "Server", "Value": "theirs"},
            {"Name": "Set-Cookie", "Value": "***"},
        ],
        "Body": "thanks",
    }
    request = delivered["Request"]
    assert (request["Method"], request["Url"]) == (
        *("POST", "https://hooks.example/in?token=***&job=job-1"),
    )
    assert json.loads(request["Body"])["JobId"] == "job-1"
    headers = {header["Name"]: header["Value"] for header in request["Headers"]}
    assert headers["webhook-id"] == waiting.message_id
    assert (headers["webhook-signature"], headers["X-Key"]) == ("v1,***", "***")
    for secret in (made.secrets[0], "t-12345", "k-67890"):
        assert secret not in str(last)


def test_xml(api: BrandApi) -> None:
    made = add(api)
    api.attempt(put(api).id, **OK)
    root = api.get(f"…/EventNotifications/{made.id}/Deliveries").xml()
    (delivery,) = root.findall("Deliveries/Delivery")
    assert delivery.findtext("Status") == "DELIVERED"
    one = api.get(delivery.findtext("Uri") or "").xml()
    assert one.findtext("Delivery/Attempts/Attempt/Response/Status") == "200"


@pytest.mark.parametrize("who", ["brand", "partner"])
def test_each_side_sees_its_own_deliveries_of_one_event_only(api: BrandApi, who: str) -> None:
    owners: Mapping[str, Login] = {"brand": api.brand, "partner": api.partner}
    made = {name: add(api, login) for name, login in owners.items()}
    sids = tuple(login.sid for login in owners.values())
    assert api.put(api.job_event(account_sids=sids)) == 2
    ids = {name: api.deliveries.list(login.sid)[0][0].id for name, login in owners.items()}
    other = {"brand": "partner", "partner": "brand"}[who]
    login = owners[who]
    found = call(api, "GET", made[who], "/Deliveries", login).json()
    assert [one["Id"] for one in found["Deliveries"]] == [ids[who]]
    assert call(api, "GET", made[who], f"/Deliveries/{ids[who]}", login).status == 200
    for notification, number in ((made[who], ids[other]), (made[other], ids[other])):
        for method, path in (("GET", ""), ("PUT", "/Replay")):
            answer = call(api, method, notification, f"/Deliveries/{number}{path}", login)
            assert answer.status == 404


def test_a_delivery_of_another_notification_is_not_there(api: BrandApi) -> None:
    one, other = add(api, name="one"), add(api, name="other")
    put(api)
    for made, wrong in ((one, other), (other, one)):
        (number,) = listed(api, made)
        assert call(api, "GET", wrong, f"/Deliveries/{number}").status == 404
        assert call(api, "PUT", wrong, f"/Deliveries/{number}/Replay").status == 404


@pytest.mark.parametrize("number", ["0", "-1", "x", "99", "9" * 16, "9" * 19, "1.5", "%00", "%ff"])
def test_an_id_of_no_delivery(still: BrandApi, number: str) -> None:
    (made,), _ = still.notifications.list(still.brand.sid)
    for method, path in (("GET", ""), ("PUT", "/Replay")):
        answer = call(still, method, made, f"/Deliveries/{number}{path}")
        assert answer.status == 404
        assert "no such delivery" in answer.json()["Message"].lower() or number in answer.text


def test_filters(api: BrandApi) -> None:
    made = add(api)
    moments = [
        datetime(2026, 3, 8, 22, 59, 59, tzinfo=UTC),  # 8 March in Berlin
        datetime(2026, 3, 8, 23, 0, tzinfo=UTC),  # 9 March
        datetime(2026, 3, 9, 22, 59, 59, tzinfo=UTC),  # still
        datetime(2026, 3, 9, 23, 0, tzinfo=UTC),  # 10 March
    ]
    ids = [put(api, at=moment).id for moment in moments]
    api.attempt(ids[1], **OK)
    api.attempt(ids[2], status=410)

    def found(query: str) -> list[int]:
        return sorted(ids.index(number) for number in listed(api, made, query))

    assert listed(api, made) == ids[::-1]
    assert found("StartDate=2026-03-09") == [1, 2, 3]
    assert found("EndDate=2026-03-09") == [0, 1, 2]
    assert found("startdate=2026-03-09&ENDDATE=2026-03-09") == [1, 2]
    assert found("StartDate=2026-03-08T23:00:01Z&EndDate=2026-03-09T23:00:00Z") == [2]
    assert found("Status=delivered") == [1]
    assert found("Status=FAILED") == [2]
    assert found("Status=SKIPPED") == [0, 3]  # the 410 switched the notification off
    assert found("Status=WAITING") == []
    assert found("Status=&StartDate=") == [0, 1, 2, 3]


def test_pages_carry_the_filters_on(api: BrandApi) -> None:
    made = add(api)
    ids = [put(api).id for _ in range(5)]
    query = "Status=WAITING&StartDate=2026-03-10&PageSize=2"
    uri, found = f"…/EventNotifications/{made.id}/Deliveries?{query}", []
    while uri:
        page = api.get(uri, JSON).json()
        assert page["@total"] == "5"
        found += [one["Id"] for one in page["Deliveries"]]
        uri = page["@nextpageuri"]
        assert not uri or "Status=WAITING&StartDate=2026-03-10" in uri
    assert found == ids[::-1]


WRONG = {
    "a status": ("GET", "/Deliveries?Status=LOST", ["Status"]),
    "a start": ("GET", "/Deliveries?StartDate=soon", ["StartDate"]),
    "an end": ("GET", "/Deliveries?EndDate=2026-02-30", ["EndDate"]),
    "a page": ("GET", "/Deliveries?Page=0&PageSize=x", ["Page", "PageSize"]),
    "all of it": ("GET", "/Deliveries?Page=0&Status=x&EndDate=x", ["Page", "Status", "EndDate"]),
    "no start of a replay": ("PUT", "/Replay?EndDate=2026-03-10", ["StartDate"]),
    "a start of a replay": ("PUT", "/Replay?StartDate=x&FailedOnly=y", ["StartDate", "FailedOnly"]),
}


@pytest.mark.parametrize(("method", "path", "wrong"), WRONG.values(), ids=list(WRONG.keys()))
def test_wrong_parameters_are_named(
    still: BrandApi, method: str, path: str, wrong: list[str]
) -> None:
    (made,), _ = still.notifications.list(still.brand.sid)
    assert fields(call(still, method, made, path)) == wrong
    assert still.deliveries.list(None, fate=Fate.WAITING)[1] == 1


def test_replaying_one(api: BrandApi) -> None:
    made = add(api)
    delivered = api.attempt(put(api).id, **OK)
    path = f"/Deliveries/{delivered.id}"
    api.clock.at += timedelta(hours=1)
    answer = call(api, "PUT", made, f"{path}/Replay")
    uri = f"/Advertisers/{api.brand.sid}/EventNotifications/{made.id}{path}"
    assert (answer.status, answer.json()) == (200, {"Status": "QUEUED", "QueuedUri": uri})
    again = api.get(uri, JSON).json()
    assert (again["Status"], again["NextAttemptDate"]) == ("WAITING", "2026-03-10T14:00:00+01:00")
    assert again["MessageId"] == delivered.message_id
    assert len(again["Attempts"]) == 1  # what was, stays
    api.attempt(delivered.id, **OK)
    assert [one["Number"] for one in api.get(uri, JSON).json()["Attempts"]] == [1, 2]


def test_what_waits_cannot_be_replayed(api: BrandApi) -> None:
    made = add(api)
    waiting = put(api)
    answer = call(api, "PUT", made, f"/Deliveries/{waiting.id}/Replay")
    assert (answer.status, answer.json()["status"]) == (409, 409)
    assert "waiting" in answer.json()["Message"]
    assert api.deliveries.get(None, waiting.id) == waiting


def test_nothing_is_replayed_for_a_notification_that_is_off(api: BrandApi) -> None:
    made = add(api)
    delivered = api.attempt(put(api).id, **OK)
    api.notifications.disable(api.brand.sid, made.id)
    for path in (f"/Deliveries/{delivered.id}/Replay", "/Replay?StartDate=2026-03-01"):
        answer = call(api, "PUT", made, path)
        assert answer.status == 409
        assert "enable it" in answer.json()["Message"]


def test_replaying_a_time(api: BrandApi) -> None:
    made, other = add(api), add(api, name="other")
    moments = [NOW - timedelta(days=days) for days in (3, 2, 1, 0)]
    for moment in moments:
        put(api, at=moment)
    for notification in (made, other):
        ids = listed(api, notification)[::-1]
        api.attempt(ids[0], **OK)
        api.attempt(ids[1], **OK)
        for _ in schedule.SCHEDULE_S:
            api.attempt(ids[2], status=500)
    before = [api.deliveries.get(None, number) for number in listed(api, other)]

    def fates() -> list[str]:
        return [api.deliveries.get(None, number).fate for number in listed(api, made)[::-1]]

    assert fates() == ["DELIVERED", "DELIVERED", "FAILED", "WAITING"]
    failed = call(api, "PUT", made, "/Replay", body=b"StartDate=2026-03-01&FailedOnly=true")
    assert failed.json() == {
        "Status": "QUEUED",
        "Replayed": 1,
        "QueuedUri": f"/Advertisers/{api.brand.sid}/EventNotifications/{made.id}/Deliveries",
    }
    assert fates() == ["DELIVERED", "DELIVERED", "WAITING", "WAITING"]
    some = call(api, "PUT", made, "/Replay?StartDate=2026-03-08&EndDate=2026-03-09")
    assert some.json()["Replayed"] == 1
    assert fates() == ["DELIVERED", "WAITING", "WAITING", "WAITING"]
    assert call(api, "PUT", made, "/Replay?StartDate=2026-03-01").json()["Replayed"] == 1
    assert fates() == ["WAITING"] * 4
    assert call(api, "PUT", made, "/Replay?StartDate=2026-03-01").json()["Replayed"] == 0
    assert [api.deliveries.get(None, number) for number in listed(api, other)] == before


def test_the_log_of_a_removed_notification_is_gone_with_it(api: BrandApi) -> None:
    made = add(api)
    delivered = api.attempt(put(api).id, **OK)
    api.notifications.remove(api.brand.sid, made.id)
    for method, path in (
        ("GET", "/Deliveries"),
        ("GET", f"/Deliveries/{delivered.id}"),
        ("PUT", f"/Deliveries/{delivered.id}/Replay"),
        ("PUT", "/Replay?StartDate=2026-03-01"),
    ):
        assert call(api, method, made, path).status == 404
