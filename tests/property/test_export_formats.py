"""CSV, JSON and XML say the same of the same clicks, whatever their text, and lose nothing."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clickledger.clock import SECOND
from clickledger.exports import plan, queries
from clickledger.exports.cells import cells
from clickledger.exports.formats.registry import FORMATS
from clickledger.exports.model import ResultFormat
from clickledger.lake.files import ROWS
from clickledger.programs import days
from clickledger.testing.lake_days import SPOOL, click

OFFSET = 5 * 3600 + 45 * 60
NOON = 1_777_636_800 * SECOND
COLUMNS = plan.columns(("RowKey", "Reasons", "ReceivedDate", "UserAgent", "Param1"))
TEXTS = [
    column.source
    for column in COLUMNS
    if column.source in ROWS.names and ROWS.field(column.source).type == pa.string()
]

#: What ``enrich.text`` lets through: all but C0 controls, surrogates, U+FFFE and U+FFFF.
CARRIED = st.text(
    st.sampled_from("\"',\r\n\t&<>;=+-@\\/ �😀\u2028\u0085\ufeff]")
    | st.characters(
        exclude_categories=["Cs"],
        exclude_characters="".join(map(chr, range(32))) + "\ufffe\uffff",
    ),
    max_size=12,
)
TEXT = st.none() | st.just("") | CARRIED | st.sampled_from(["x" * 5000, "]]>&#13;<!--", "\r\n"])
MONEY = st.none() | st.decimals(0, 10**11, places=6)
CLICKS = st.lists(
    st.builds(
        lambda texts, values: texts | values,
        st.dictionaries(st.sampled_from(TEXTS), TEXT, min_size=2, max_size=8),
        st.fixed_dictionaries(
            {
                "cpc_bid": MONEY,
                "unique_click": st.booleans(),
                "event_time": st.integers(0, 2 * NOON),
                "reasons": st.none() | st.lists(st.sampled_from(["bad_deeplink", "robot_ua"])),
                "user_agent": CARRIED.map(str.encode),
                "media_id": st.integers(0, 2**62),
            }
        ),
    ),
    max_size=4,
)
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@contextmanager
def an_engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def written(
    engine: duckdb.DuckDBPyConnection,
    form: ResultFormat,
    rows: Sequence[Mapping[str, object]],
    *,
    hide_sub_ids: bool = False,
    formula_guard: bool = False,
) -> str:
    """Write rows as the writing process does."""
    made = FORMATS[form]
    select = made.select(cells(COLUMNS, OFFSET, hide_sub_ids=hide_sub_ids), formula_guard)
    engine.register("given", pa.Table.from_pylist([dict(row) for row in rows], schema=ROWS))
    with TemporaryDirectory() as folder:
        path = Path(folder, "rows")
        engine.execute(queries.copy(f"select {select} from given", str(path), made.copy_options))
        body = path.read_bytes()
    engine.unregister("given")
    if rows:
        body = made.first_byte + body[len(made.first_byte) :]
    names = [column.name for column in COLUMNS]
    return (made.head(names, len(rows)) + body + made.foot(len(rows))).decode()


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def read_json(text: str) -> list[dict[str, str]]:
    document = json.loads(text)
    assert document["@total"] == document["@pagesize"] == str(len(document["Clicks"]))
    return [{name: as_text(value) for name, value in row.items()} for row in document["Clicks"]]


def read_xml(text: str) -> list[dict[str, str]]:
    root = ET.fromstring(text.encode())  # noqa: S314 - our own text
    assert root.tag == "ImpactRadiusResponse"
    (clicks,) = root
    assert clicks.get("total") == clicks.get("pagesize") == str(len(clicks))
    return [{cell.tag: cell.text or "" for cell in row} for row in clicks]


def as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def expected(row: Mapping[str, object]) -> dict[str, str]:
    """Say what every format has to show, from the stored row alone."""
    shown = {}
    for column in COLUMNS:
        value = row.get(column.source)
        match value:
            case Decimal():
                shown[column.name] = f"{value:f}"
            case bytes():
                shown[column.name] = value.decode()
            case list():
                shown[column.name] = ";".join(value)
            case int() if column.source.endswith("_time"):
                shown[column.name] = days.local_iso(value, OFFSET)
            case None if column.source in {"cpc_bid", "payout"}:
                shown[column.name] = "0.0"
            case _:
                shown[column.name] = "" if value is None else as_text(value)
    return shown | {"RowKey": f"{SPOOL}/{row['sequence']}/{row['position']}"}


def made_up(given_clicks: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    return [
        click(number, NOON, unique_click=True) | dict(values)
        for number, values in enumerate(given_clicks)
    ]


# Each test has one engine for all its examples: opening one takes longer than an example.


def test_three_formats_say_the_same() -> None:
    with an_engine() as engine:

        @settings(max_examples=50, deadline=None)
        @given(CLICKS)
        @example([])
        @example([{"landing_page_url": '=1,"\r\n\t&<]]>'}])
        def check(given_clicks: list[dict[str, object]]) -> None:
            rows = made_up(given_clicks)
            wanted = [expected(row) for row in rows]
            assert read_csv(written(engine, ResultFormat.CSV, rows)) == wanted
            assert read_json(written(engine, ResultFormat.JSON, rows)) == wanted
            assert read_xml(written(engine, ResultFormat.XML, rows)) == wanted

        check()


def test_bytes_as_received_can_be_shown_by_every_format() -> None:
    with an_engine() as engine:

        @settings(max_examples=50, deadline=None)
        @given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
        @example([b"\xff\x00\x1b\\x41 \"'\x7f\t\r\n", "Zoë\x07\ufffe".encode(), b"\\x5C"])
        def check(agents: list[bytes]) -> None:
            rows = made_up([{"user_agent": agent} for agent in agents])
            found = read_csv(written(engine, ResultFormat.CSV, rows))
            assert found == read_json(written(engine, ResultFormat.JSON, rows))
            assert found == read_xml(written(engine, ResultFormat.XML, rows))
            for agent, row in zip(agents, found, strict=True):
                try:
                    text = agent.decode()
                except UnicodeDecodeError:  # byte by byte: what is not ASCII cannot be told
                    text = agent.decode("ascii", "replace")
                assert row["UserAgent"] == FORBIDDEN.sub("�", text)

        check()


def test_the_guard_keeps_a_spreadsheet_from_running_text() -> None:
    starts = tuple("=+-@\t\r\n＝＋－＠")
    with an_engine() as engine:

        @settings(max_examples=15, deadline=None)
        @given(CLICKS)
        @example([{"sub_id1": "=1+1", "keyword": "+49", "channel": "@x", "sub_id3": "＝1"}])
        def check(given_clicks: list[dict[str, object]]) -> None:
            rows = made_up(given_clicks)
            plain = read_csv(written(engine, ResultFormat.CSV, rows))
            guarded = read_csv(written(engine, ResultFormat.CSV, rows, formula_guard=True))
            for before, after in zip(plain, guarded, strict=True):
                for name, text in before.items():
                    assert after[name] == ("'" + text if text.startswith(starts) else text)

        check()


@pytest.mark.parametrize("form", list(ResultFormat))
def test_hidden_sub_ids_are_empty_and_nothing_else_is(form: ResultFormat) -> None:
    row = click(1, NOON, unique_click=False, sub_id1="a", sub_id2="b", sub_id3="c", shared_id="d")
    read = {"CSV": read_csv, "JSON": read_json, "XML": read_xml}[form]
    with an_engine() as engine:
        (hidden,) = read(written(engine, form, [row], hide_sub_ids=True))
    assert hidden == expected(row) | {"SubId1": "", "SubId2": "", "SubId3": ""}
