"""Reading a request: format, parameters, and what is wrong with them."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from clickledger.api.render import Format
from clickledger.api.requests import (
    MAX_PARAMETERS,
    Parameters,
    Reader,
    choose_format,
    parse_pairs,
    require_id,
)
from clickledger.errors import InvalidInputError

BERLIN = ZoneInfo("Europe/Berlin")

FORMATS = {
    "nothing said": ("/a/Jobs", "", "/a/Jobs", Format.XML),
    "anything goes": ("/a/Jobs", "*/*", "/a/Jobs", Format.XML),
    "JSON by header": ("/a/Jobs", "application/json", "/a/Jobs", Format.JSON),
    "JSON among others": ("/a/Jobs", "application/json, text/plain, */*", "/a/Jobs", Format.JSON),
    "a browser": ("/a/Jobs", "text/html,application/xml;q=0.9,*/*;q=0.8", "/a/Jobs", Format.XML),
    "XML preferred": (
        "/a/Jobs",
        "application/json;q=0.5, application/xml",
        "/a/Jobs",
        Format.XML,
    ),
    "JSON preferred": ("/a/Jobs", "text/xml;q=0.5,application/json", "/a/Jobs", Format.JSON),
    "the first of equals": ("/a/Jobs", "application/json, text/xml", "/a/Jobs", Format.JSON),
    "JSON refused": ("/a/Jobs", "application/json;q=0", "/a/Jobs", Format.XML),
    "with a charset": ("/a/Jobs", "application/json; charset=utf-8", "/a/Jobs", Format.JSON),
    "nonsense": ("/a/Jobs", ";;q=,,/", "/a/Jobs", Format.XML),
    "suffix": ("/a/Jobs.json", "", "/a/Jobs", Format.JSON),
    "suffix against header": ("/a/Jobs.xml", "application/json", "/a/Jobs", Format.XML),
    "suffix in another case": ("/a/Jobs.JSON", "", "/a/Jobs", Format.JSON),
    "only on the last segment": ("/a.json/Jobs", "", "/a.json/Jobs", Format.XML),
    "only once": ("/a/Jobs.json.json", "", "/a/Jobs.json", Format.JSON),
    "a segment that is only a suffix": ("/a/.json", "", "/a/.json", Format.XML),
}


@pytest.mark.parametrize(("path", "accept", "plain", "form"), FORMATS.values(), ids=FORMATS.keys())
def test_format(path: str, accept: str, plain: str, form: Format) -> None:
    assert choose_format(path, accept) == (plain, form)


def test_names_in_any_case_and_values_in_order() -> None:
    parameters = Parameters(parse_pairs(b"MediaId=2&mediaid=1&Date=&DATE=2026-01-02&date=x"))
    assert parameters.all("MEDIAID") == ["2", "1"]
    assert parameters.first("Date") == "2026-01-02"
    assert parameters.first("AdId") is None


def test_bytes_that_are_no_text() -> None:
    assert parse_pairs(b"a=%ff%00%0d%0a&b=\xff&%zz=1&=&&c") == [
        ("a", "\ufffd\x00\r\n"),
        ("b", "\ufffd"),
        ("%zz", "1"),
        ("", ""),
        ("c", ""),
    ]


def test_ten_thousand_parameters_pass_and_a_flood_does_not() -> None:
    assert len(parse_pairs(b"&".join([b"MediaId=1"] * 10_000))) == 10_000
    assert len(parse_pairs(b"&".join([b"a"] * MAX_PARAMETERS))) == MAX_PARAMETERS
    with pytest.raises(InvalidInputError, match="at most"):
        parse_pairs(b"&" * MAX_PARAMETERS)


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1.0", "abc", "1 ", "٣", "12345678901234567", "\0"]
)
def test_an_id_that_is_none(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        require_id("ProgramId", text)
    assert caught.value.fields[0].field == "ProgramId"


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("0012", 12), ("9" * 16, 10**16 - 1)])
def test_an_id(text: str, value: int) -> None:
    assert require_id("ProgramId", text) == value


def test_what_was_given_with_a_value_or_without() -> None:
    parameters = Parameters(parse_pairs(b"Name=&Url=x"))
    assert [parameters.given(name) for name in ("NAME", "url", "Body")] == [True, True, False]
    assert (parameters.first("Name"), parameters.all("Name")) == (None, [])


def test_texts_stand_as_they_are() -> None:
    reader = Reader(Parameters([("Body", " {} "), ("body", "x"), ("Name", "")]))
    assert (reader.text("Body"), reader.text("Name"), reader.text("Url")) == (" {} ", "", "")
    assert reader.texts("BODY") == [" {} ", "x"]


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), (" 007 ", 7), ("9" * 16, 10**16 - 1), ("", 5)]
)
def test_a_whole_number(text: str, value: int) -> None:
    reader = Reader(Parameters([("Delay", text)]))
    assert reader.whole("Delay", default=5) == value
    assert reader.errors == ()


@pytest.mark.parametrize("text", ["-1", "1.0", "x", "1 2", "٣", "9" * 17, "\0"])
def test_what_is_no_whole_number(text: str) -> None:
    reader = Reader(Parameters([("Delay", text)]))
    assert reader.whole("Delay", default=5) == 5
    assert [error.field for error in reader.errors] == ["Delay"]


def test_ids_are_sorted_and_distinct() -> None:
    reader = Reader(Parameters([("AdId", "3"), ("adid", "1"), ("AdId", "03")]))
    assert reader.ids("AdId") == (1, 3)
    reader.finish()


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("TRUE", True), ("tRuE", True), (" False ", False), ("", None)],
)
def test_a_flag(text: str, value: bool | None) -> None:
    reader = Reader(Parameters([("UniqueClick", text)]))
    assert reader.flag("UniqueClick") is value
    reader.finish()


DAYS = {
    "a day": ("2026-02-28", date(2026, 2, 28)),
    "a leap day": ("2024-02-29", date(2024, 2, 29)),
    "the first": ("1970-01-01", date(1970, 1, 1)),
    "the last": ("9999-12-31", date(9999, 12, 31)),
}


@pytest.mark.parametrize(("text", "value"), DAYS.values(), ids=DAYS.keys())
def test_a_day(text: str, value: date) -> None:
    reader = Reader(Parameters([("Date", text)]))
    assert reader.day("Date") == value
    reader.finish()


BAD_DAYS = [
    "today",
    "2026-02-29",
    "2026-13-01",
    "26-01-01",
    "2026-1-1",
    "20260101",
    "2026-W01-1",
    "2026-01-01T00:00:00",
    "2026-01-01\0",
    "٢٠٢٦-٠١-٠١",
    "0000-01-01",
    "1969-12-31",
    "0001-01-01",
]


@pytest.mark.parametrize("text", BAD_DAYS)
def test_a_bad_day_is_named(text: str) -> None:
    reader = Reader(Parameters([("Date", text)]))
    reader.day("Date")
    with pytest.raises(InvalidInputError) as caught:
        reader.finish()
    assert [one.field for one in caught.value.fields] == ["Date"]


MOMENTS = {
    "a date begins in the zone": ("2026-01-02", False, datetime(2026, 1, 1, 23, tzinfo=UTC)),
    "a date ends in the zone": ("2026-01-02", True, datetime(2026, 1, 2, 23, tzinfo=UTC)),
    "across a change of the clocks": ("2026-03-29", True, datetime(2026, 3, 29, 22, tzinfo=UTC)),
    "in UTC": ("2026-01-02T03:04:05Z", True, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    "with an offset": (
        "2026-01-02T03:04:05-07:00",
        False,
        datetime(2026, 1, 2, 10, 4, 5, tzinfo=UTC),
    ),
    "with a plus that became a space": (
        "2026-01-02T03:04:05 01:00",
        False,
        datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC),
    ),
    "with a fraction": (
        "2026-01-02T03:04:05.5Z",
        False,
        datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC),
    ),
    "without an offset": ("2026-01-02T03:04:05", False, datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)),
    "with a space between": (
        "2026-01-02 03:04:05",
        False,
        datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC),
    ),
}


@pytest.mark.parametrize(("text", "end", "value"), MOMENTS.values(), ids=MOMENTS.keys())
def test_a_moment(text: str, end: bool, value: datetime) -> None:
    reader = Reader(Parameters([("CreatedAfter", text)]))
    found = reader.moment("CreatedAfter", BERLIN, end_of_day=end)
    reader.finish()
    assert found == value
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2026-02-30", "2026-01-01T25:00:00Z", "20260101", "1.1.2026", "9999-12-31", "\0"],
)
def test_a_bad_moment_is_named(text: str) -> None:
    reader = Reader(Parameters([("CreatedBefore", text)]))
    reader.moment("CreatedBefore", BERLIN, end_of_day=True)
    with pytest.raises(InvalidInputError) as caught:
        reader.finish()
    assert [one.field for one in caught.value.fields] == ["CreatedBefore"]


def test_everything_that_is_wrong_is_named_at_once() -> None:
    reader = Reader(
        Parameters([("Date", "x"), ("UniqueClick", "maybe"), ("AdId", "a"), ("F", "p")])
    )
    reader.day("Date")
    reader.flag("UniqueClick")
    reader.ids("AdId")
    reader.choice("F", {"CSV": "CSV", "XML": "XML"})
    with pytest.raises(InvalidInputError) as caught:
        reader.finish()
    assert [(one.field, one.message) for one in caught.value.fields] == [
        ("Date", "Expected a date written yyyy-mm-dd, not 'x'"),
        ("UniqueClick", "Expected true or false, not 'maybe'"),
        ("AdId", "Not a numeric value: 'a'"),
        ("F", "Expected one of CSV, XML, not 'p'"),
    ]


def test_a_long_value_is_cut_in_the_sentence() -> None:
    reader = Reader(Parameters([("Date", "x" * 10_000)]))
    reader.day("Date")
    with pytest.raises(InvalidInputError) as caught:
        reader.finish()
    assert len(str(caught.value)) < 200
