"""The API as a whole: what is the same job, paging, and what happens when parts fail."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from clickledger.api.app import openapi_document
from clickledger.ids import ClickIds
from clickledger.jobs.model import State
from clickledger.testing.brand_api import BrandApi, brand_api
from clickledger.testing.in_process import Answer, request_async

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[BrandApi]:
    with brand_api(tmp_path / "data", now=NOW) as made:
        yield made


def export_uri(api: BrandApi, query: str) -> str:
    answer = api.get(f"…/Programs/{api.program.id}/ClickExport.json?{query}")
    assert answer.status == 200
    return str(answer.json()["QueuedUri"])


SAME = {
    "order and repetition": ("MediaId=2&MediaId=1", "mediaid=1&MediaId=2&MediaId=1"),
    "leading zeros": ("AdId=7", "AdId=007"),
    "spelling of a flag": ("UniqueClick=true", "uniqueclick=TRUE"),
    "the default format": ("", "ResultFormat=csv"),
    "today": ("", "Date=2026-03-10"),
    "unknown parameters": ("", "START_DATE=2026-01-01&SubId1=x&IrVersion=15"),
    "empty parameters": ("", "AdId=&UniqueClick=&Columns="),
    "columns in one or in several": ("Columns=RowKey,Reasons", "columns=rowkey&Columns=REASONS"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME.keys())
def test_the_same_request_is_one_job(api: BrandApi, one: str, other: str) -> None:
    assert export_uri(api, one) == export_uri(api, other)
    assert len(api.get("…/Jobs.json").json()["Jobs"]) == 1


DIFFERENT = [
    "",
    "Date=2026-03-09",
    "AdId=1",
    "MediaId=1",
    "UniqueClick=true",
    "UniqueClick=false",
    "ResultFormat=JSON",
    "ResultFormat=XML",
    "Columns=RowKey",
]


def test_different_requests_are_different_jobs(api: BrandApi) -> None:
    assert len({export_uri(api, query) for query in DIFFERENT}) == len(DIFFERENT)


def test_today_is_the_programs(api: BrandApi) -> None:
    api.clock.at = datetime(2026, 3, 11, 3, 59, tzinfo=UTC)  # 23:59 in New York, 04:59 in Berlin
    assert api.export().request.date.isoformat() == "2026-03-10"
    api.clock.at += timedelta(minutes=1)
    assert api.export().request.date.isoformat() == "2026-03-11"


def test_the_earlier_job_is_answered_with_its_present_status(api: BrandApi) -> None:
    job = api.export("Date=2026-03-01")
    for state in State:
        api.set_job(job.id, state=state.value)
        path = f"…/Programs/{api.program.id}/ClickExport.json?Date=2026-03-01"
        answer = api.get(path)
        assert (answer.status, answer.json()["Status"]) == (200, state.value)


def test_identical_calls_that_race_are_one_job(api: BrandApi) -> None:
    path = f"/Advertisers/{api.brand.sid}/Programs/{api.program.id}/ClickExport.json"

    async def race() -> list[Answer]:
        headers = {"authorization": api.brand.header}
        calls = [request_async(api.app, "GET", path, headers=headers) for _ in range(20)]
        return await asyncio.gather(*calls)

    answers = asyncio.run(race())
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json()["QueuedUri"] for answer in answers}) == 1


def test_following_next_pages_gives_every_job_once_newest_first(api: BrandApi) -> None:
    made = []
    for number in range(7):
        api.clock.at = NOW + timedelta(seconds=number)
        made.append(api.export(f"AdId={number + 1}").id)
    uri, seen, pages = "…/Jobs?PageSize=3&CreatedAfter=2026-03-10", [], 0
    while uri:
        answer = api.get(uri, {"accept": "application/json"}).json()
        seen += [job["Id"] for job in answer["Jobs"]]
        uri, pages = answer["@nextpageuri"], pages + 1
        assert answer["@total"] == "7"
    assert (seen, pages) == (made[::-1], 3)


def test_creation_dates_are_read_in_the_accounts_zone(api: BrandApi) -> None:
    moments = [
        datetime(2026, 3, 9, 22, 59, 59, tzinfo=UTC),  # 9 March in Berlin
        datetime(2026, 3, 9, 23, 0, 0, tzinfo=UTC),  # 10 March
        datetime(2026, 3, 10, 22, 59, 59, tzinfo=UTC),  # still
        datetime(2026, 3, 10, 23, 0, 0, tzinfo=UTC),  # 11 March
    ]
    ids = []
    for number, moment in enumerate(moments):
        job = api.export(f"AdId={number + 1}")
        api.set_job(job.id, created_at=moment)
        ids.append(job.id)

    def found(query: str) -> list[int]:
        answer = api.get(f"…/Jobs.json?{query}").json()
        return sorted(ids.index(job["Id"]) for job in answer["Jobs"])

    assert found("CreatedAfter=2026-03-10") == [1, 2, 3]
    assert found("CreatedBefore=2026-03-10") == [0, 1, 2]
    assert found("CreatedAfter=2026-03-10&CreatedBefore=2026-03-10") == [1, 2]
    assert found("CreatedAfter=2026-03-09T23:00:00Z") == [1, 2, 3]
    assert found("createdbefore=2026-03-10T00:00:00 01:00") == [0]
    assert found("CreatedAfter=2026-03-10T00:00:00") == [1, 2, 3]


@pytest.mark.parametrize(
    "path", ["/CompanyInformation", "/Jobs", "/Jobs.json", "/Jobs/{job}", "/Nothing", "/Jobs/x"]
)
def test_head_is_get_without_a_body(api: BrandApi, path: str) -> None:
    target = "…" + path.format(job=api.export().id)
    got, head = api.get(target), api.send("HEAD", target)
    assert (head.status, head.body) == (got.status, b"")
    ignored = {"x-request-id"}
    assert {pair for pair in head.headers if pair[0] not in ignored} == {
        pair for pair in got.headers if pair[0] not in ignored
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-123", True),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("a b", False),
        ("a\r\nb", False),
        ("ü", False),
        ("", False),
    ],
)
def test_a_request_id_comes_back_when_it_is_sane(api: BrandApi, given: str, kept: bool) -> None:
    for path in ("…/Jobs", "…/Nothing", "/nowhere"):
        answer = api.get(path, {"x-request-id": given})
        returned = answer.header("x-request-id")
        assert returned
        assert (returned == given) is kept


def test_every_answer_says_not_to_store_it(api: BrandApi) -> None:
    job = api.finish(api.export(), b"Id\n")
    for path in ("/Jobs", f"/Jobs/{job.id}/Download", "/Nothing", f"/Jobs/{job.id}/Manifest"):
        assert api.get(f"…{path}").header("cache-control") == "no-store"


def test_no_rate_limit_is_claimed(api: BrandApi) -> None:
    names = {name for name, _ in api.get("…/Jobs").headers}
    assert not [name for name in names if "ratelimit" in name]


class FailingClicks:
    """A lake that cannot be searched."""

    def find_click(self, program_id: int, click_id: str) -> Mapping[str, object] | None:
        raise RuntimeError(f"no lake for {program_id} {click_id}")


def test_a_fault_of_ours_is_logged_without_secrets_and_told_without_details(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with brand_api(tmp_path / "data", now=NOW, clicks=FailingClicks()) as api:
        click_id = ClickIds(api.keys.ring("click_id")).minter(api.program.id).mint(0)
        path = f"…/Campaigns/{api.program.id}/Clicks/{click_id}.json"
        with capture_logs() as logs:
            answer = api.get(path, {"x-request-id": "my-id"})
            api.get("…/Jobs?token=from-the-query")
            api.send_as(None, "GET", "…/Jobs", headers={"authorization": api.brand.header[:-4]})
    assert (answer.status, answer.json()["status"]) == (500, 500)
    assert "my-id" in answer.json()["Message"]
    assert "no lake" not in answer.text
    (failure,) = (line for line in logs if line["event"] == "api_request_failed")
    assert (failure["request_id"], failure["log_level"]) == ("my-id", "error")
    assert "no lake for" in str(failure["exc_info"])
    everything = f"{logs} {caplog.text}"
    for secret in (api.brand.token, api.brand.header.removeprefix("Basic ")[:-4]):
        assert secret not in everything


def test_a_database_that_does_not_answer_is_503(api: BrandApi) -> None:
    away = api.folder.control_db.with_suffix(".away")
    api.folder.control_db.rename(away)
    answer = api.get("…/Jobs.json")
    assert (answer.status, answer.json()["status"]) == (503, 503)
    assert answer.header("retry-after") == "5"
    assert str(api.folder.root) not in answer.text
    away.rename(api.folder.control_db)
    assert api.get("…/Jobs.json").status == 200


class SlowClicks:
    """A lake whose search lasts until it is told to end."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun = threading.Semaphore(0)

    def find_click(self, program_id: int, click_id: str) -> Mapping[str, object] | None:
        del program_id, click_id
        self.begun.release()
        self.go_on.wait(30)
        return None


def test_slow_searches_hold_up_nobody_else(tmp_path: Path) -> None:
    clicks = SlowClicks()
    with brand_api(tmp_path / "data", now=NOW, clicks=clicks) as api:
        click_id = ClickIds(api.keys.ring("click_id")).minter(api.program.id).mint(0)
        base, headers = f"/Advertisers/{api.brand.sid}", {"authorization": api.brand.header}
        search = f"{base}/Campaigns/{api.program.id}/Clicks/{click_id}"

        async def calls() -> tuple[float, list[Answer]]:
            searches = [
                asyncio.create_task(request_async(api.app, "GET", search, headers=headers))
                for _ in range(50)
            ]
            await asyncio.to_thread(clicks.begun.acquire)
            begun = time.monotonic()
            answer = await request_async(api.app, "GET", f"{base}/Jobs", headers=headers)
            took = time.monotonic() - begun
            assert answer.status == 200
            assert not any(task.done() for task in searches)
            clicks.go_on.set()
            return took, await asyncio.gather(*searches)

        took, answers = asyncio.run(calls())
    assert took < 5
    assert {answer.status for answer in answers} == {404}


CLICK: dict[str, object] = dict.fromkeys(
    [
        *("program_name", "profile_id", "ip_address", "media_name", "ad_name", "ad_type"),
        *("product_sku", "ad_campaign", "ad_group", "keyword", "match_type", "channel"),
        *("customer_area", "customer_city", "customer_region", "customer_country"),
        *("device_type", "device_family", "browser", "os", "referring_url", "referring_domain"),
        *("landing_page_url", "shared_id", "unique_click", "cpc_bid", "deal_name", "deal_type"),
        *("deal_scope", "payout", "traffic_category", "traffic_source", "bid_keyword"),
        "search_text",
    ]
) | {
    "program_id": 1,
    "media_id": 1,
    "ad_id": 1,
    "event_time": NOW,
    "sub_id1": "one",
    "sub_id2": "two",
    "sub_id3": "three",
}


@pytest.mark.parametrize(("hidden", "shown"), [(False, ["one", "two", "three"]), (True, [""] * 3)])
def test_sub_ids_are_hidden_where_the_program_says_so(
    api: BrandApi, hidden: bool, shown: list[str]
) -> None:
    program = api.programs.create_program(
        advertiser_sid=api.brand.sid,
        name="P",
        time_zone="UTC",
        landing_page="https://shop.example/",
        hide_sub_ids=hidden,
    )
    click_id = ClickIds(api.keys.ring("click_id")).minter(program.id).mint(0)
    api.clicks.rows[program.id, click_id] = CLICK | {"click_id": click_id}
    answer = api.get(f"…/Campaigns/{program.id}/Clicks/{click_id}.json").json()
    assert [answer[f"SubId{number}"] for number in (1, 2, 3)] == shown
    assert list(answer["PartnerRelated"].values()) == shown


def test_only_a_genuine_click_id_is_looked_up(api: BrandApi) -> None:
    base = f"…/Campaigns/{api.program.id}/Clicks"
    genuine = ClickIds(api.keys.ring("click_id")).minter(api.program.id).mint(0)
    encoded = "".join(f"%{ord(letter):02X}" for letter in genuine)
    other = ClickIds(api.keys.ring("click_id")).minter(api.program.id + 1).mint(0)
    for click_id in ("A" * 32, other, genuine[:-1], genuine + "A", genuine.swapcase(), "x", "%00"):
        assert api.get(f"{base}/{click_id}").status == 404
    assert api.clicks.asked == []
    for click_id in (genuine, f"{genuine}.json", encoded, f"{encoded}.xml"):
        assert api.get(f"{base}/{click_id}").status == 404
    assert api.clicks.asked == [genuine] * 4


def test_answers_are_counted_by_status(api: BrandApi) -> None:
    api.get("…/Jobs")
    api.get("…/Jobs")
    api.get("…/Nothing")
    api.send_as(None, "GET", "…/Jobs")
    counted = {
        sample.labels["status"]: sample.value
        for metric in api.metrics.api_requests.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    assert counted == {"200": 2.0, "404": 1.0, "401": 1.0}


def test_no_schema_is_served(api: BrandApi) -> None:
    for path in ("/schema", "/schema/openapi.json", "/docs"):
        assert api.get(path).status == 404


#: What brands and partners have below their own paths, and its parameters.
SHARED = {
    ("get", "/CompanyInformation"): [],
    ("get", "/EventNotifications"): ["Page", "PageSize"],
    ("post", "/EventNotifications"): [],
    ("get", "/EventNotifications/{notification_id}"): [],
    ("put", "/EventNotifications/{notification_id}"): [],
    ("delete", "/EventNotifications/{notification_id}"): [],
    ("put", "/EventNotifications/{notification_id}/Enable"): [],
    ("put", "/EventNotifications/{notification_id}/Disable"): [],
    ("put", "/EventNotifications/{notification_id}/RotateSecret"): [],
    ("post", "/EventNotifications/{notification_id}/Test"): [],
    ("put", "/EventNotifications/{notification_id}/Replay"): [],
    ("get", "/EventNotifications/{notification_id}/Deliveries"): [
        *("Status", "StartDate", "EndDate", "Page", "PageSize"),
    ],
    ("get", "/EventNotifications/{notification_id}/Deliveries/{delivery_id}"): [],
    ("put", "/EventNotifications/{notification_id}/Deliveries/{delivery_id}/Replay"): [],
}
DRAFT = [
    *("Name", "Kind", "Url", "Method", "Body", "BodyFormat", "Events", "ProgramIds", "PartnerIds"),
    *("ActionTrackerIds", "MinimumDelay", "Headers", "ClickLimit"),
]
BODIES = {
    ("post", "/EventNotifications"): [*DRAFT, "Secret"],
    ("put", "/EventNotifications/{notification_id}"): DRAFT,
    ("put", "/EventNotifications/{notification_id}/RotateSecret"): ["Secret"],
    ("put", "/EventNotifications/{notification_id}/Replay"): ["StartDate", "EndDate", "FailedOnly"],
}
SURFACES = ("/Advertisers/{account_sid}", "/Mediapartners/{account_sid}")


def described() -> dict[tuple[str, str], dict[str, Any]]:
    paths: Any = openapi_document()["paths"]
    return {
        (method, path): operation
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def test_the_description_names_every_operation_and_its_parameters() -> None:
    assert {
        route: [one["name"] for one in operation["parameters"] if one["in"] == "query"]
        for route, operation in described().items()
    } == {
        ("get", "/Advertisers/{account_sid}/Programs/{program_id}/ClickExport"): [
            *("Date", "AdId", "MediaId", "UniqueClick", "ResultFormat", "Columns"),
        ],
        ("get", "/Advertisers/{account_sid}/Campaigns/{campaign_id}/Clicks/{click_id}"): [],
        ("get", "/Advertisers/{account_sid}/Jobs"): [
            *("CreatedAfter", "CreatedBefore", "Page", "PageSize"),
        ],
        ("get", "/Advertisers/{account_sid}/Jobs/{job_id}"): [],
        ("put", "/Advertisers/{account_sid}/Jobs/{job_id}/Replay"): [],
        ("get", "/Advertisers/{account_sid}/Jobs/{job_id}/Download"): ["Mode"],
        ("get", "/Advertisers/{account_sid}/Jobs/{job_id}/Manifest"): [],
        ("get", "/results/{job_id}/{run}/{expires}/{signature}"): [],
        **{
            (method, surface + path): names
            for surface in SURFACES
            for (method, path), names in SHARED.items()
        },
    }


def test_the_description_names_what_each_body_may_say() -> None:
    assert {
        route: list(content["schema"]["properties"])
        for route, operation in described().items()
        for content in operation.get("requestBody", {"content": {}})["content"].values()
    } == {
        (method, surface + path): names
        for surface in SURFACES
        for (method, path), names in BODIES.items()
    }


def test_each_operation_has_a_name_of_its_own() -> None:
    names = [operation["operationId"] for operation in described().values()]
    assert len(set(names)) == len(names)
