"""Whatever a caller sends, the API answers with the right refusal and never with a fault."""

import json
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clickledger.config import Settings
from clickledger.ids import ClickIds
from clickledger.jobs.model import State
from clickledger.testing.brand_api import BrandApi, Login, brand_api
from clickledger.testing.in_process import Answer, request

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrandApi]:
    """One installation for all: refusals change nothing."""
    with brand_api(tmp_path_factory.mktemp("api") / "data", now=NOW) as made:
        yield made


def export(api: BrandApi, query: str = "") -> Answer:
    return api.get(f"…/Programs/{api.program.id}/ClickExport.json?{query}")


# query → the fields that are named
QUERIES: dict[str, tuple[str, list[str]]] = {
    "a date that is none": ("Date=yesterday", ["Date"]),
    "a date that does not exist": ("Date=2026-02-29", ["Date"]),
    "a date with a time": ("Date=2026-03-01T00:00:00Z", ["Date"]),
    "a date before 1970": ("Date=1969-12-31", ["Date"]),
    "a date in the future": ("Date=2026-03-11", ["Date"]),
    "a date at the end of time": ("Date=9999-12-31", ["Date"]),
    "a date with NUL": ("Date=2026-03-01%00", ["Date"]),
    "a date with a line end": ("Date=2026-03-01%0d%0a", []),
    "a date that is no text": ("Date=%ff%fe", ["Date"]),
    "an unknown format": ("ResultFormat=PDF", ["ResultFormat"]),
    "a format that is no text": ("ResultFormat=%80", ["ResultFormat"]),
    "an ad that is no number": ("AdId=1&AdId=x", ["AdId"]),
    "a partner that is no number": ("MediaId=%00", ["MediaId"]),
    "a partner below zero": ("MediaId=-1", ["MediaId"]),
    "a number beyond 16 digits": ("MediaId=12345678901234567", ["MediaId"]),
    "a flag that is none": ("UniqueClick=1", ["UniqueClick"]),
    "a column that is none": ("Columns=RowKey,Nothing", ["Columns"]),
    "a column with a very long name": (f"Columns={'x' * 100_000}", ["Columns"]),
    "many things at once": ("AdId=a&UniqueClick=b&Date=c", ["Date", "AdId", "UniqueClick"]),
}


@pytest.mark.parametrize(("query", "fields"), QUERIES.values(), ids=QUERIES.keys())
def test_bad_parameters_are_named(api: BrandApi, query: str, fields: list[str]) -> None:
    answer = export(api, query)
    assert answer.status == (400 if fields else 200)
    body = answer.json()
    assert [one["Field"] for one in body.get("Errors", [])] == fields
    assert all(one["Message"] for one in body.get("Errors", []))


def test_a_future_date_tells_what_day_it_is_there(api: BrandApi) -> None:
    assert (
        "it is 2026-03-10 in the program's America/New_York"
        in export(api, "Date=2026-03-11").json()["Message"]
    )


def test_a_format_that_is_unknown_names_those_there_are(api: BrandApi) -> None:
    assert "CSV, JSON, XML" in export(api, "ResultFormat=PDF").json()["Message"]


def test_a_column_that_is_unknown_gets_the_nearest(api: BrandApi) -> None:
    assert "nearest is Reasons" in export(api, "Columns=Reason").json()["Message"]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("Date=2026-03-01&Date=nonsense", "2026-03-01"),
        ("Date=2026-03-02&date=2026-03-01", "2026-03-02"),
        ("Date=&Date=2026-03-03", "2026-03-03"),
    ],
)
def test_of_a_repeated_key_the_first_counts(api: BrandApi, query: str, wanted: str) -> None:
    job_id = export(api, query).json()["QueuedUri"].rpartition("/")[2]
    assert api.jobs.find(job_id).request.date.isoformat() == wanted


# path below the brand's own → status
PATHS = {
    "a program that is no number": ("/Programs/abc/ClickExport", 400),
    "program zero": ("/Programs/0/ClickExport", 400),
    "a program below zero": ("/Programs/-1/ClickExport", 400),
    "a program with NUL": ("/Programs/1%00/ClickExport", 400),
    "a program with a line end": ("/Programs/1%0d%0aX-Evil:1/ClickExport", 400),
    "a program that is no text": ("/Programs/%ff%fe/ClickExport", 400),
    "a program beyond 16 digits": ("/Programs/12345678901234567/ClickExport", 400),
    "an unknown program": ("/Programs/999999/ClickExport", 404),
    "a program beyond the database": ("/Programs/9999999999999999/ClickExport", 404),
    "a click of an unknown program": (f"/Campaigns/999999/Clicks/{'A' * 32}", 404),
    "a click of a program that is no number": (f"/Campaigns/x/Clicks/{'A' * 32}", 400),
    "a click id that was not made here": (f"/Campaigns/1/Clicks/{'A' * 32}", 404),
    "a click id that is too short": ("/Campaigns/1/Clicks/abc", 404),
    "a click id with NUL": ("/Campaigns/1/Clicks/%00", 404),
    "a click id that is no text": ("/Campaigns/1/Clicks/%ff", 404),
    "a click id with a slash": ("/Campaigns/1/Clicks/a%2Fb", 404),
    "a job that is no UUID": ("/Jobs/1", 404),
    "a job in upper case": ("/Jobs/D8807A9F-A5EE-4E3F-AD2B-3DFD19D1915F", 404),
    "a submission's id": ("/Jobs/A-d8807a9f-a5ee-4e3f-ad2b-3dfd19d1915f", 404),
    "a job with NUL": ("/Jobs/d8807a9f-a5ee-4e3f-ad2b-3dfd19d1915%00", 404),
    "a job with a line end": ("/Jobs/d8807a9f-a5ee-4e3f-ad2b-3dfd19d1915f%0a", 404),
    "a job that is no text": ("/Jobs/%c3%28", 404),
    "an unknown job": ("/Jobs/d8807a9f-a5ee-4e3f-ad2b-3dfd19d1915f", 404),
    "the file of an unknown job": ("/Jobs/d8807a9f-a5ee-4e3f-ad2b-3dfd19d1915f/Download", 404),
    "the manifest of no job": ("/Jobs/..%2f..%2fkeys.json/Manifest", 404),
    "a page that is none": ("/Jobs?Page=0", 400),
    "a page size that is none": ("/Jobs?PageSize=-5", 400),
    "a creation date that is none": ("/Jobs?CreatedAfter=soon", 400),
    "a page beyond all pages": ("/Jobs?Page=999999999&PageSize=20000", 200),
    "nothing known": ("/", 404),
    "dots": ("/../Jobs", 404),
}


@pytest.mark.parametrize(("path", "status"), PATHS.values(), ids=PATHS.keys())
def test_paths(api: BrandApi, path: str, status: int) -> None:
    answer = api.get(f"…{path}")
    assert answer.status == status
    assert answer.xml().tag == "ImpactRadiusResponse"
    in_json = api.get(f"…{path}", {"accept": "application/json"})
    assert in_json.status == status
    if status >= 400:
        body = in_json.json()
        assert (body["Status"], body["status"]) == ("ERROR", status)
        assert body["Message"] == body["message"] == answer.xml().findtext("Message")
        assert body["error"]


def test_the_path_of_someone_else_is_refused_before_anything_is_looked_up(api: BrandApi) -> None:
    for sid in (api.stranger.sid, api.brand.sid.lower(), "IR0", "%00", "%ff", "a" * 500):
        assert api.get(f"/Advertisers/{sid}/Jobs/nothing").status == 403


def test_partners_do_not_enter_the_paths_of_brands(api: BrandApi) -> None:
    for sid in (api.partner.sid, api.brand.sid):
        answer = api.send_as(api.partner, "GET", f"/Advertisers/{sid}/Jobs")
        assert answer.status == 403


@pytest.mark.parametrize("what", ["program", "click", "job", "file", "manifest", "replay"])
def test_what_is_another_accounts_looks_as_if_it_were_not_there(api: BrandApi, what: str) -> None:
    job = api.export("Date=2026-03-01")
    click_id = ClickIds(api.keys.ring("click_id")).minter(api.program.id).mint(0)
    base, method, path = f"/Advertisers/{api.stranger.sid}", "GET", ""
    match what:
        case "program":
            path = f"/Programs/{api.program.id}/ClickExport.json"
        case "click":
            path = f"/Campaigns/{api.program.id}/Clicks/{click_id}.json"
        case "job":
            path = f"/Jobs/{job.id}.json"
        case "file":
            path = f"/Jobs/{job.id}/Download.json?Mode=Stream"
        case "manifest":
            path = f"/Jobs/{job.id}/Manifest.json"
        case _:
            method, path = "PUT", f"/Jobs/{job.id}/Replay.json"
    theirs = api.send_as(api.stranger, method, base + path)
    assert theirs.status == 404
    assert api.jobs.find(job.id).state is State.QUEUED


CREDENTIALS = {
    "none": None,
    "an unknown scheme": "Bearer abc",
    "no Base64": "Basic ???",
    "nothing": "Basic ",
    "no colon": "Basic SVI=",
    "not UTF-8": "Basic //46eA==",
    "NUL": "Basic SVIAOgA=",
    "bytes": "Basic \xff\xfe",
    "an unknown account": "Basic SVIwMDAwMDAwMDAwMDA6dG9rZW4=",
    "very long": "Basic " + "QUFB" * 50_000,
}


@pytest.mark.parametrize("value", CREDENTIALS.values(), ids=CREDENTIALS.keys())
def test_bad_credentials(api: BrandApi, value: str | None) -> None:
    headers = {} if value is None else {"authorization": value}
    for path in ("/Jobs", "/CompanyInformation", "/Programs/1/ClickExport", "/Jobs/x/Download"):
        answer = api.send_as(None, "GET", f"…{path}", headers=headers)
        assert answer.status == 401
        assert answer.header("www-authenticate") == 'Basic realm="clickledger", charset="UTF-8"'
        assert answer.xml().findtext("Message")


def test_a_wrong_token(api: BrandApi) -> None:
    wrong = Login(account=api.brand.account, token=api.stranger.token)
    answer = api.send_as(wrong, "GET", "…/Jobs.json")
    assert answer.status == 401
    assert answer.json()["Message"] == "The account SID or the token is wrong"


def test_ten_thousand_partners_in_a_form_body(api: BrandApi) -> None:
    ids = [str(number) for number in range(1, 10_001)]

    def job(order: list[str]) -> str:
        body = "&".join(f"MediaId={one}" for one in order).encode()
        path = f"…/Programs/{api.program.id}/ClickExport.json?Date=2026-03-04"
        answer = api.send("GET", path, headers=FORM, body=body)
        assert answer.status == 200
        return str(answer.json()["QueuedUri"]).rpartition("/")[2]

    first = job(ids)
    assert api.jobs.find(first).request.media_ids == tuple(range(1, 10_001))
    assert job(ids[::-1] + ids[:5]) == first
    assert job(ids[1:]) != first


def test_a_form_body_in_pieces(api: BrandApi) -> None:
    answer = api.send(
        "GET",
        f"…/Programs/{api.program.id}/ClickExport.json",
        headers={"content-type": "Application/X-WWW-Form-URLEncoded; charset=utf-8"},
        body=[b"Date=2026-", b"", b"03-04&ResultFormat=x", b"ml"],
    )
    job = api.jobs.find(answer.json()["QueuedUri"].rpartition("/")[2])
    assert (job.request.date.isoformat(), job.request.result_format) == ("2026-03-04", "XML")


def test_a_body_that_is_no_form_is_ignored(api: BrandApi) -> None:
    path = f"…/Programs/{api.program.id}/ClickExport.json?Date=2026-03-04"
    for kind in ("application/json", "multipart/form-data", ""):
        answer = api.send("GET", path, headers={"content-type": kind}, body=b"Date=nonsense")
        assert answer.status == 200


def test_too_many_parameters(api: BrandApi) -> None:
    body = b"&".join([b"a=1"] * 100_001)
    answer = api.send("GET", "…/Jobs.json", headers=FORM, body=body)
    assert (answer.status, answer.json()["Status"]) == (400, "ERROR")


def test_a_body_beyond_the_limit(tmp_path: Path) -> None:
    limited = Settings(api_body_bytes=1024)
    with brand_api(tmp_path / "data", now=NOW, settings=limited) as api:
        for headers, body in (
            (FORM, [b"a" * 1024, b"b"]),
            ({**FORM, "content-length": "1025"}, [b""]),
            ({}, [b"a" * 1025]),
        ):
            answer = api.send("GET", "…/Jobs.json", headers=headers, body=body)
            assert (answer.status, answer.json()["status"]) == (413, 413)
            assert "1024 bytes" in answer.json()["Message"]
        exact = api.send("GET", "…/Jobs.json", headers=FORM, body=b"a" * 1024)
        assert exact.status == 200


def test_a_path_beyond_the_limit(api: BrandApi) -> None:
    answer = api.get("…/Campaigns/1/Clicks/" + "A" * 4096 + ".json")
    assert (answer.status, answer.json()["status"]) == (414, 414)


def test_a_query_of_a_megabyte(api: BrandApi) -> None:
    assert api.get(f"…/Jobs?{'a' * 1_000_000}").status == 200
    assert api.get(f"…/Jobs?Page={'1' * 1_000_000}").status == 400
    assert api.get(f"…/Jobs?{'%ff=%00&' * 90_000}").status == 200


@pytest.mark.parametrize("host", ["", "a b", "evil\x00", "[::1", "x" * 5000])
def test_a_host_that_is_none(api: BrandApi, host: str) -> None:
    assert api.get("…/Jobs", {"host": host}).status in {200, 400}


METHODS = {
    "a list": ("DELETE", "/Jobs", "GET, HEAD, OPTIONS"),
    "a job": ("PUT", "/Jobs/d8807a9f-a5ee-4e3f-ad2b-3dfd19d1915f", "GET, HEAD, OPTIONS"),
    "a replay": ("HEAD", "/Jobs/d8807a9f-a5ee-4e3f-ad2b-3dfd19d1915f/Replay", "OPTIONS, PUT"),
    "an export": ("POST", "/Programs/1/ClickExport", "GET, HEAD, OPTIONS"),
    "an unheard-of method": ("BREW", "/Jobs", "GET, HEAD, OPTIONS"),
}


@pytest.mark.parametrize(("method", "path", "allow"), METHODS.values(), ids=METHODS.keys())
def test_a_method_that_is_not_known(api: BrandApi, method: str, path: str, allow: str) -> None:
    answer = api.send(method, f"…{path}")
    assert (answer.status, answer.header("allow")) == (405, allow)


def test_a_caller_who_goes_away_gets_no_answer(api: BrandApi) -> None:
    assert request(api.app, "GET", "/Advertisers/x/Jobs", body=b"half", leaves=True).status == 0


any_bytes = st.binary(max_size=40).map(lambda raw: quote(raw, safe="&=+;%/?.~")).filter(str.isascii)
segments = st.one_of(
    any_bytes,
    st.sampled_from(
        [
            *("Jobs", "Programs", "1", "ClickExport", "Download", "Manifest"),
            *("EventNotifications", "Deliveries", "Replay", "Test", "Enable"),
        ]
    ),
)
raw_queries = st.text(string.printable.translate({ord(c): None for c in "\r\n\x0b\x0c #"}))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.lists(segments, max_size=4), query=st.one_of(any_bytes, raw_queries), form=any_bytes)
@example(path=["Jobs", "%00"], query="%", form="&&==")
def test_nothing_is_ever_our_fault(api: BrandApi, path: list[str], query: str, form: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        target = "…/" + "/".join(path) + "?" + query
        answer = api.send(method, target, headers=FORM, body=form.encode())
        assert answer.status < 500
        if answer.body and (answer.header("content-type") or "").startswith("text/xml"):
            assert answer.xml().tag == "ImpactRadiusResponse"
        elif answer.body:
            answer.json()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
fields = st.sampled_from(
    ["Name", "Kind", "Url", "Method", "Body", "BodyFormat", "Events", "ProgramIds", "Headers"]
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.dictionaries(fields, json_values, max_size=5),
    kind=st.sampled_from(["JOB_COMPLETION", "CLICK", ""]),
    url=st.text(max_size=20) | st.just("https://hooks.example/?a={EventType}"),
)
@example(said={"Name": "\ud800"}, kind="CLICK", url="https://hooks.example/")
def test_no_json_body_is_ever_our_fault(
    api: BrandApi, said: dict[str, object], kind: str, url: str
) -> None:
    body = json.dumps({"Name": "N", "Kind": kind, "Url": url, **said}).encode()
    headers = {"content-type": "application/json"}
    made = api.send("POST", "…/EventNotifications.json", headers=headers, body=body)
    assert made.status in {201, 400}
    if made.status == 201:
        path = f"…/EventNotifications/{made.json()['Id']}"
        assert api.get(path).xml().tag == "ImpactRadiusResponse"
        shown = api.get(f"{path}.json")
        again = api.send("PUT", path, headers=headers, body=shown.body)
        assert again.status == 200, again.text
        assert api.send("DELETE", path).status == 200
