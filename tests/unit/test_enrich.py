"""Each enrichment step as a table of named rows; and what becomes of a click that breaks one."""

from collections.abc import Sequence

import pyarrow as pa
import pytest

from clickledger.clock import DAY
from clickledger.enrich.model import Columns, Context, Step
from clickledger.enrich.pipeline import STEPS, enrich
from clickledger.lake.schema import CLICKS
from clickledger.spool.model import Click
from clickledger.testing.loading import VISITOR_KEY, directory
from clickledger.testing.spools import click

CONTEXT = Context(names=directory(), visitor_key=VISITOR_KEY)


def enriched(**values: object) -> dict[str, object]:
    found, failed = enrich([click(1, **values)], CONTEXT)  # type: ignore[arg-type] # any field
    assert failed == []
    return {name: column[0].as_py() for name, column in found.columns.items()}


QUERIES = {
    "plain": (b"subId1=a", "sub_id1", "a"),
    "any case": (b"SUBID2=b", "sub_id2", "b"),
    "encoded name": (b"sub%49d3=c", "sub_id3", "c"),
    "first of repeated": (b"subid1=one&subid1=two", "sub_id1", "one"),
    "first counts even when empty": (b"subid1=&subid1=two", "sub_id1", None),
    "first of two spellings": (b"bidkeyword=x&bidkw=y", "bid_keyword", "x"),
    "empty is null": (b"sharedid=", "shared_id", None),
    "no equals sign": (b"sharedid", "shared_id", None),
    "value with equals sign": (b"prodsku=a=b", "product_sku", "a=b"),
    "percent decoded": (b"keyword=caf%C3%A9", "keyword", "café"),
    "decoded once": (b"keyword=%2541", "keyword", "%41"),
    "plus is a space": (b"searchtxt=red+shoes%2B", "search_text", "red shoes+"),
    "raw UTF-8": ("channel=Zürich".encode(), "channel", "Zürich"),
    "invalid UTF-8": (b"param1=a%FFb", "param1", "a\ufffdb"),
    "raw invalid UTF-8": (b"param1=a\xffb", "param1", "a\ufffdb"),
    "NUL": (b"param2=a%00b", "param2", "a\ufffdb"),
    "raw NUL": (b"param2=a\x00b", "param2", "a\ufffdb"),
    "TAB, LF, CR stay": (b"param3=%09%0A%0D", "param3", "\t\n\r"),
    "noncharacter": (b"param4=%EF%BF%BE%EF%BF%BF", "param4", "\ufffd\ufffd"),
    "encoded surrogate": (b"param4=%ED%A0%80", "param4", "\ufffd\ufffd\ufffd"),
    "broken escape stays": (b"param4=50%", "param4", "50%"),
    "cut at 255 characters": (b"subid1=" + b"%C3%A9" * 300, "sub_id1", "é" * 255),
    "255 are not cut": (b"subid1=" + b"x" * 255, "sub_id1", "x" * 255),
    "semicolon separates nothing": (b"subid1=a;subid2=b", "sub_id1", "a;subid2=b"),
    "other aliases": (b"searchtext=q", "search_text", "q"),
    "traffic source": (b"trafsrc=blog.example", "traffic_source", "blog.example"),
    "traffic category": (b"trafcat=CONTENT", "traffic_category", "CONTENT"),
    "ad campaign": (b"adcampaign=c", "ad_campaign", "c"),
    "ad group": (b"adgroup=g", "ad_group", "g"),
    "match type": (b"matchtype=exact", "match_type", "exact"),
    "unknown parameters are not ours": (b"utm_source=x&u=https%3A%2F%2Fa", "sub_id1", None),
}


@pytest.mark.parametrize(("query", "column", "expected"), QUERIES.values(), ids=QUERIES.keys())
def test_query(query: bytes, column: str, expected: str | None) -> None:
    row = enriched(query=query)
    assert row[column] == expected
    assert row["raw_query"] == query


REFERRERS = {
    "host": (b"https://Blog.Example/shoes?x=1", "https://Blog.Example/shoes?x=1", "blog.example"),
    "none": (b"", None, "NA"),
    "port and user": (b"http://me:pw@a.example:8080/", "http://me:pw@a.example:8080/", "a.example"),
    "app": (b"android-app://com.google.android.gm/", "android-app://com.google.android.gm/",
            "com.google.android.gm"),
    "trailing dot": (b"https://a.example./", "https://a.example./", "a.example"),
    "not a URL": (b"about:blank", "about:blank", "NA"),
    "bad brackets": (b"http://[x/", "http://[x/", "NA"),
    "not percent-decoded": (b"https://a.example/%41", "https://a.example/%41", "a.example"),
    "CR and LF stay": (b"https://a.example/\r\n", "https://a.example/\r\n", "a.example"),
    "invalid UTF-8": (b"https://a.example/\xff", "https://a.example/\ufffd", "a.example"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "url", "domain"), REFERRERS.values(), ids=REFERRERS.keys())
def test_referrer(raw: bytes, url: str | None, domain: str) -> None:
    row = enriched(referrer=raw)
    assert (row["referring_url"], row["referring_domain"]) == (url, domain)
    assert row["referrer"] == (raw or None)


def test_times_are_utc_and_the_partition_is_their_date() -> None:
    row = enriched(received=20_000 * DAY - 1)
    assert str(row["event_date"]) == "2024-10-03"
    assert str(row["event_time"]) == "2024-10-03 23:59:59.999999+00:00"
    assert row["received_time"] == row["event_time"]


def test_names_come_from_the_directory_and_are_null_when_it_does_not_know() -> None:
    known = enriched()
    assert [known[name] for name in ("program_name", "media_name", "ad_name", "ad_type")] == [
        "Shoes",
        "Blog",
        "Banner",
        "BANNER",
    ]
    unknown = enriched(program_id=77, media_id=77, ad_id=77)
    names = ("program_name", "media_name", "ad_name", "ad_type")
    assert [unknown[name] for name in names] == [None] * 4
    assert unknown["program_id"] == 77


def test_visitor_is_recognisable_and_not_readable() -> None:
    one, same = enriched(), enriched()
    assert one["visitor"] == same["visitor"]
    assert isinstance(one["visitor"], bytes)
    assert len(one["visitor"]) == 16
    assert str(one["ip_address"]).islower()
    assert len(bytes.fromhex(str(one["ip_address"]))) == 16
    other_agent = enriched(user_agent=b"curl")
    assert other_agent["ip_address"] == one["ip_address"]
    assert other_agent["visitor"] != one["visitor"]
    assert enriched(address="198.51.100.8")["ip_address"] != one["ip_address"]
    other_key = Context(names=directory(), visitor_key=b"another key")
    rotated, _ = enrich([click(1)], other_key)
    assert rotated.columns["visitor"][0].as_py() != one["visitor"]


def test_a_click_without_address_and_agent_resembles_nobody() -> None:
    row = enriched(address="", user_agent=b"")
    assert (row["visitor"], row["ip_address"], row["client_address"]) == (None, None, None)
    assert enriched(address="")["visitor"] is not None


def test_what_is_not_derived_yet_reads_as_the_wire_says() -> None:
    row = enriched()
    assert {row[name] for name in ("device_type", "device_family", "browser", "os")} == {"UNKNOWN"}
    places = ("customer_area", "customer_city", "customer_region", "customer_country")
    assert {row[name] for name in places} == {"n/a"}


def test_nothing_sent_is_null_and_bytes_are_kept() -> None:
    row = enriched(query=b"", user_agent=b"\x00\xff", landing_url="", reasons=())
    assert (row["raw_query"], row["landing_page_url"], row["reasons"]) == (None, None, None)
    assert row["user_agent"] == b"\x00\xff"
    assert enriched(reasons=("bad_deeplink",))["reasons"] == ["bad_deeplink"]


def test_a_profile_counts_as_carried_only_when_there_is_one() -> None:
    assert enriched(profile_carried=True)["profile_carried"] is True
    row = enriched(profile_carried=True, profile_id="")
    assert (row["profile_carried"], row["profile_id"]) == (False, None)


@pytest.mark.parametrize("field", ["landing_url", "profile_id", "address"])
def test_text_that_not_every_format_can_carry_is_replaced(field: str) -> None:
    columns = {"landing_url": "landing_page_url", "address": "client_address"}
    row = enriched(**{field: "a\x00b\ufffe\ud800c"})
    assert row[columns.get(field, field)] == "a\ufffdb\ufffd\ufffdc"


def test_a_bad_value_does_not_change_its_neighbours() -> None:
    queries = [b"subid1=one", b"subid1=%00", b"subid1=%FF", b"", b"subid1=five"]
    found, _ = enrich([click(n, query=query) for n, query in enumerate(queries)], CONTEXT)
    assert found.columns["sub_id1"].to_pylist() == ["one", "\ufffd", "\ufffd", None, "five"]


UNFIT = {
    "before 1970": ({"received": -1}, "bad_time"),
    "after 9999": ({"received": 2**62}, "bad_time"),
    "negative id": ({"media_id": -1}, "bad_id"),
    "id beyond 64 bits": ({"program_id": 2**63}, "bad_id"),
    "no click id": ({"click_id": ""}, "bad_click_id"),
    "click id too long": ({"click_id": "x" * 65}, "bad_click_id"),
}


@pytest.mark.parametrize(("values", "reason"), UNFIT.values(), ids=UNFIT.keys())
def test_an_unfit_click_goes_alone(values: dict[str, object], reason: str) -> None:
    clicks = [click(n) for n in range(9)]
    clicks[6] = click(6, **values)  # type: ignore[arg-type] # any field
    found, failed = enrich(clicks, CONTEXT)
    assert [(one.position, one.reason) for one in failed] == [(6, reason)]
    assert failed[0].detail
    assert found.positions == [0, 1, 2, 3, 4, 5, 7, 8]
    ids = [clicks[position].click_id for position in found.positions]
    assert found.columns["click_id"].to_pylist() == ids


def test_a_step_that_breaks_on_one_click_is_named() -> None:
    def picky(clicks: Sequence[Click], _context: Context) -> Columns:
        if any(click.query == b"bad" for click in clicks):
            raise ValueError("no such thing")
        return {"picked": pa.array([True] * len(clicks))}

    clicks = [click(0), click(1, query=b"bad"), click(2)]
    found, failed = enrich(clicks, CONTEXT, (Step("picky", picky),))
    assert [(one.position, one.reason) for one in failed] == [(1, "step_picky")]
    assert failed[0].detail == "ValueError: no such thing"
    assert found.positions == [0, 2]


def test_all_unfit_leaves_no_rows() -> None:
    found, failed = enrich([click(1, received=-1), click(2, received=-1)], CONTEXT)
    assert (list(found.positions), len(failed)) == ([], 2)


def test_a_step_of_ones_own_stands_beside_the_built_in_ones() -> None:
    def length(clicks: Sequence[Click], _context: Context) -> Columns:
        return {"query_length": pa.array([len(click.query) for click in clicks])}

    found, _ = enrich([click(1, query=b"abc")], CONTEXT, (*STEPS, Step("length", length)))
    assert found.columns["query_length"].to_pylist() == [3]


def test_a_defect_is_not_taken_for_bad_data() -> None:
    def broken(_clicks: Sequence[Click], _context: Context) -> Columns:
        raise AttributeError("a defect")

    with pytest.raises(AttributeError):
        enrich([click(1)], CONTEXT, (Step("broken", broken),))


def test_steps_give_only_columns_of_the_lake_and_no_column_twice() -> None:
    given = [name for step in STEPS for name in step.run([click(1)], CONTEXT)]
    assert len(given) == len(set(given))
    types = {field.name: field.type for field in CLICKS}
    found, _ = enrich([click(1)], CONTEXT)
    assert {name: column.type for name, column in found.columns.items()} == {
        name: types[name] for name in given
    }
