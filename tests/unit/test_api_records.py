"""What records look like on the wire: exports, jobs, clicks, manifests, the company, errors."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from http import HTTPStatus
from ipaddress import IPv4Network

import pytest
from litestar.exceptions import MethodNotAllowedException, NotFoundException

from clickledger.api import click_export, clicks, company, errors, jobs, manifests, origins
from clickledger.api.render import Members, Resource
from clickledger.api.requests import Parameters, parse_pairs
from clickledger.clock import to_micros
from clickledger.errors import (
    ClickledgerError,
    ConflictError,
    CorruptedError,
    FieldError,
    ForbiddenError,
    GoneError,
    InvalidInputError,
    NotCompleteError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from clickledger.exports.model import ClickExportRequest, ResultFormat
from clickledger.jobs.model import Job, State
from clickledger.lake.schema import EXPORT_COLUMNS
from clickledger.programs.days import load_zone
from clickledger.programs.model import Program

NOW = datetime(2026, 3, 10, 3, 0, tzinfo=UTC)  # still the 9th in New York
PROGRAM = Program(
    id=1000,
    advertiser_sid="IR1",
    name="Spring Sale",
    time_zone="America/New_York",
    landing_page="https://shop.example/",
)


def read(query: str) -> ClickExportRequest:
    return click_export.read_request(
        Parameters(parse_pairs(query.encode())), PROGRAM, to_micros(NOW)
    )


def test_the_defaults_of_an_export() -> None:
    assert read("") == ClickExportRequest(
        account_sid="IR1", program_id=1000, date=date(2026, 3, 9), time_zone="America/New_York"
    )


def test_all_parameters_of_an_export() -> None:
    assert read(
        "Date=2026-03-01&AdId=2&AdId=1&AdId=2&MediaId=9&UniqueClick=False&ResultFormat=xml"
        "&Columns=reasons,+RowKey&Columns=Reasons"
    ) == ClickExportRequest(
        account_sid="IR1",
        program_id=1000,
        date=date(2026, 3, 1),
        time_zone="America/New_York",
        ad_ids=(1, 2),
        media_ids=(9,),
        unique_click=False,
        result_format=ResultFormat.XML,
        columns=("Reasons", "RowKey"),
    )


def test_the_last_day_that_has_begun_and_the_next() -> None:
    assert read("Date=2026-03-09").date == date(2026, 3, 9)
    with pytest.raises(InvalidInputError, match="it is 2026-03-09 in the program's America"):
        read("Date=2026-03-10")


def job(**changes: object) -> Job:
    values: dict[str, object] = {
        "id": "d8807a9f-a5ee-4e3f-ad2b-3dfd19d1915f",
        "account_sid": "IR1",
        "type": "ClickExport",
        "program_id": 1000,
        "request": read(""),
        "state": State.QUEUED,
        "message": "",
        "run": 1,
        "attempt": 0,
        "requested_at": NOW,
        "created_at": NOW,
        "records": 0,
        "percent": 0,
        **dict.fromkeys(
            [
                *("started_at", "completed_at", "abandoned_at", "cancelled_at", "failed_at"),
                *("progress_at", "retry_at", "result_run"),
            ]
        ),
        **changes,
    }
    return Job(**values)  # type: ignore[arg-type]  # each field has a value of its type above


def test_a_job_is_all_text_with_dates_in_the_accounts_zone() -> None:
    moment = datetime(2026, 7, 1, 12, 0, 0, 999_999, tzinfo=UTC)
    shown = jobs.fields(
        job(
            state=State.RUNNING,
            started_at=moment,
            completed_at=moment,
            abandoned_at=moment,
            cancelled_at=moment,
            failed_at=moment,
            progress_at=moment,
            records=250,
            percent=40,
            message="m",
        ),
        load_zone("America/Los_Angeles"),
    )
    assert shown == {
        "Id": "d8807a9f-a5ee-4e3f-ad2b-3dfd19d1915f",
        "Type": "ClickExport",
        "ProgramId": "1000",
        "CreatedBy": "IR1",
        "CreatedDate": "2026-03-09T20:00:00-07:00",
        "StartedDate": "2026-07-01T05:00:00-07:00",
        "CompletedDate": "2026-07-01T05:00:00-07:00",
        "AbandonedDate": "2026-07-01T05:00:00-07:00",
        "CancelledDate": "2026-07-01T05:00:00-07:00",
        "FailedDate": "2026-07-01T05:00:00-07:00",
        "LastProgressUpdateDate": "2026-07-01T05:00:00-07:00",
        "Status": "RUNNING",
        "StatusMessage": "m",
        "RecordsProcessed": "250",
        "PercentageComplete": "40",
        "Replayable": "true",
        "ResultUri": "/Advertisers/IR1/Jobs/d8807a9f-a5ee-4e3f-ad2b-3dfd19d1915f/Download",
    }


def test_dates_in_utc_have_an_offset_too() -> None:
    shown = jobs.fields(job(), load_zone("UTC"))
    assert shown["CreatedDate"] == "2026-03-10T03:00:00+00:00"
    assert shown["StartedDate"] == ""


ROW: Mapping[str, object] = {
    **{column.source: None for column in EXPORT_COLUMNS},
    "click_id": "AZ",
    "program_id": 1000,
    "event_time": NOW,
    "media_id": 1,
    "ad_id": 2,
}


def test_a_click_has_every_column_of_an_export_flat_and_some_grouped() -> None:
    shown = clicks.fields(ROW, PROGRAM)
    renamed = {"ProgramId": "CampaignId", "ProgramName": "CampaignName"}
    assert list(shown) == [
        *(renamed.get(column.name, column.name) for column in EXPORT_COLUMNS),
        "BrandRelated",
        "PartnerRelated",
    ]


@pytest.mark.parametrize(
    ("column", "value", "name", "shown"),
    [
        ("browser", "Chrome Mobile", "Browser", "CHROME_MOBILE"),
        ("browser", "UC Browser", "Browser", "UC_BROWSER"),
        ("os", "iOS", "Os", "IOS"),
        ("os", "Windows 10", "Os", "WINDOWS_10"),
        ("device_family", "Generic/Smartphone", "DeviceFamily", "GENERIC_SMARTPHONE"),
        ("device_type", "UNKNOWN", "DeviceType", "UNKNOWN"),
        ("media_name", "Chrome Mobile", "MediaName", "Chrome Mobile"),
        ("cpc_bid", Decimal("0.250000"), "CpcBid", "0.250000"),
        ("payout", None, "Payout", "0.0"),
        ("unique_click", False, "UniqueClick", False),
        ("event_time", NOW, "EventDate", "2026-03-09T23:00:00-04:00"),
        ("shared_id", None, "SharedId", None),
    ],
)
def test_a_value_of_a_click(column: str, value: object, name: str, shown: object) -> None:
    assert clicks.fields({**ROW, column: value}, PROGRAM)[name] == shown


def test_a_manifest_keeps_its_names_and_its_lists_get_singular_ones() -> None:
    assert manifests.document(
        {"Rows": 2, "Parts": ({"Name": "a", "Sizes": [1]},), "Unique": None, "Rule": {"Type": "X"}}
        | {"Date": date(2026, 3, 1)}
    ) == Resource(
        "Manifest",
        {
            "Rows": 2,
            "Parts": Members("Part", [{"Name": "a", "Sizes": Members("Size", [1])}]),
            "Unique": None,
            "Rule": {"Type": "X"},
            "Date": "2026-03-01",
        },
    )


@pytest.mark.parametrize(
    ("zone", "moment", "text"),
    [
        ("UTC", NOW, "(GMT +00:00) UTC"),
        ("America/Los_Angeles", NOW, "(GMT -08:00) America/Los_Angeles"),
        (
            "America/Los_Angeles",
            datetime(2026, 1, 1, tzinfo=UTC),
            "(GMT -08:00) America/Los_Angeles",
        ),
        ("Asia/Kolkata", NOW, "(GMT +05:30) Asia/Kolkata"),
        ("Australia/Lord_Howe", NOW, "(GMT +10:30) Australia/Lord_Howe"),
    ],
)
def test_a_zone_is_shown_with_its_standard_time(zone: str, moment: datetime, text: str) -> None:
    assert company.zone_text(load_zone(zone), moment) == text


ERRORS: dict[str, tuple[Exception, int, Mapping[str, str]]] = {
    "invalid input": (InvalidInputError.of("Date", "no"), 400, {}),
    "unauthenticated": (
        UnauthenticatedError("no"),
        401,
        {"WWW-Authenticate": 'Basic realm="clickledger", charset="UTF-8"'},
    ),
    "forbidden": (ForbiddenError("no"), 403, {}),
    "not found": (NotFoundError("no"), 404, {}),
    "no route": (NotFoundException(), 404, {}),
    "a method": (
        MethodNotAllowedException(headers={"allow": "GET, OPTIONS"}),
        405,
        {"Allow": "GET, HEAD, OPTIONS"},
    ),
    "conflict": (ConflictError("no"), 409, {}),
    "gone": (GoneError("no"), 410, {}),
    "too large": (errors.ContentTooLargeError("no"), 413, {}),
    "too long": (errors.UriTooLongError("no"), 414, {}),
    "out of range": (errors.RangeError(7), 416, {"Content-Range": "bytes */7"}),
    "corrupted": (CorruptedError("/secret/path"), 500, {}),
    "anything else": (ZeroDivisionError("/secret/path"), 500, {}),
    "unavailable": (UnavailableError("/secret/path"), 503, {"Retry-After": "5"}),
    "not complete": (NotCompleteError("/secret/path"), 503, {"Retry-After": "5"}),
}


@pytest.mark.parametrize(("error", "status", "headers"), ERRORS.values(), ids=ERRORS.keys())
def test_an_error_on_the_wire(error: Exception, status: int, headers: Mapping[str, str]) -> None:
    problem = errors.describe(error, "request-1")
    assert (problem.status, problem.headers) == (status, headers)
    fields = problem.document().fields
    assert list(fields) == ["Status", "Message", "Errors", "status", "error", "message"]
    assert (fields["Status"], fields["status"]) == ("ERROR", status)
    assert fields["error"] == HTTPStatus(status).phrase
    assert fields["Message"] == fields["message"]
    assert "secret" not in str(fields["Message"])
    assert ("request-1" in str(fields["Message"])) is (status >= 500)


def test_every_error_of_ours_has_a_status() -> None:
    def below(kind: type[ClickledgerError]) -> set[type[ClickledgerError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    for kind in below(ClickledgerError):
        assert 400 <= HTTPStatus(kind.http_status) < 500 or kind.http_status in {500, 503}


def test_each_wrong_field_is_listed() -> None:
    error = InvalidInputError(
        "two", FieldError(field="A", message="a"), FieldError(field="B", message="b")
    )
    assert errors.describe(error, "").document().fields["Errors"] == Members(
        "Error", [{"Field": "A", "Message": "a"}, {"Field": "B", "Message": "b"}]
    )


@pytest.mark.parametrize(
    ("address", "listed"), [("10.1.2.3", True), ("11.1.2.3", False), ("::1", False), ("", False)]
)
def test_only_a_listed_address_is_a_proxy(address: str, listed: bool) -> None:
    assert origins.listed(address, [IPv4Network("10.0.0.0/8")]) is listed
