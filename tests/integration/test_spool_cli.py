"""``clickledger spool``: what it prints, and that it leaves everything as it is."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from clickledger.accounts.keys import Keys
from clickledger.cli import app
from clickledger.clock import SteadyClock
from clickledger.config import DataFolder
from clickledger.errors import NotFoundError
from clickledger.spool import layout
from clickledger.spool.writer import Writer
from clickledger.testing.spools import HandClock, click, until_ready

START = 1_700_000_000_000_000


@pytest.fixture
def data(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path)
    Keys.create(folder.keys)
    return folder


@pytest.fixture
def writer(data: DataFolder) -> Iterator[Writer]:
    clock = SteadyClock(HandClock(START).read)
    spool = Writer.open(data.spool, segment_bytes=200_000, segment_age_s=600, clock=clock)
    until_ready(spool)
    yield spool
    spool.close()


def run(data: DataFolder, *words: str) -> Result:
    return CliRunner().invoke(app, ["spool", *words, "--data", str(data.root)])


def answer(data: DataFolder, *words: str) -> object:
    result = run(data, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def lines(data: DataFolder, *words: str) -> list[dict[str, object]]:
    result = run(data, "dump", *words, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_stats_count_what_the_spools_hold(data: DataFolder, writer: Writer) -> None:
    assert answer(data, "stats") == {
        "spools": [
            {
                "id": writer.spool_id,
                "owner_alive": True,
                "last_sequence": 0,
                "clicks": 0,
                "bytes": 0,
                "low_water": START,
            }
        ],
        "clicks": 0,
    }
    writer.append([click(1), click(2)], START + 1)
    writer.append([click(3)], START + 2)
    writer.mark(START + 3)

    found = answer(data, "stats")

    assert isinstance(found, dict)
    assert found["clicks"] == 3
    (spool,) = found["spools"]
    assert (spool["last_sequence"], spool["low_water"]) == (2, START + 3)
    assert 3 * 200 < spool["bytes"] < 3 * 700
    writer.close()
    assert answer(data, "stats") == {"spools": [{**spool, "owner_alive": False}], "clicks": 3}


def test_stats_of_a_folder_that_never_served(data: DataFolder) -> None:
    assert answer(data, "stats") == {"spools": [], "clicks": 0}
    assert "0 clicks in 0 spools" in run(data, "stats").stdout


def test_stats_for_people(data: DataFolder, writer: Writer) -> None:
    writer.append([click(1)], START)
    shown = run(data, "stats").stdout
    assert writer.spool_id in shown
    assert "2023-11-14T22:13:20.000000+00:00" in shown
    assert "1 clicks in 1 spools" in shown


def test_dump_shows_batches_and_on_request_their_clicks(data: DataFolder, writer: Writer) -> None:
    writer.append([click(1, query=b"a=\xff")], START)
    writer.append([click(2), click(3)], START)

    first, second = lines(data)

    assert (first["spool_id"], first["sequence"], first["clicks"]) == (writer.spool_id, 1, 1)
    assert second["first_received"] == "2023-11-14T22:13:20.000000+00:00"
    assert [line["sequence"] for line in lines(data, "--after", "1")] == [2]
    assert [line["sequence"] for line in lines(data, "--limit", "1")] == [1]
    assert len(lines(data, "--spool", writer.spool_id)) == 2
    content = lines(data, "--clicks", "--limit", "1")[0]["content"]
    assert isinstance(content, list)
    assert content[0]["click_id"] == f"{1:032}"
    assert content[0]["query"] == "a=\\xff", "bytes that are no text are shown as they are"
    shown = run(data, "dump", "--clicks").stdout
    assert "sequence=2 clicks=2" in shown
    assert f'"click_id":"{3:032}"' in shown


def test_dump_of_a_spool_that_is_not_there(data: DataFolder) -> None:
    result = run(data, "dump", "--spool", "nobody")
    assert isinstance(result.exception, NotFoundError)


def test_verify_finds_nothing_wrong(data: DataFolder, writer: Writer) -> None:
    writer.append([click(1), click(2)], START)
    assert answer(data, "verify") == {
        "spools": 1,
        "batches": 1,
        "clicks": 2,
        "problems": [],
        "set_aside": [],
    }
    assert "2 clicks in 1 batches of 1 spools: all sound" in run(data, "verify").stdout


def test_verify_names_what_is_wrong(data: DataFolder, writer: Writer) -> None:
    writer.append([click(1)], START)
    writer.append([click(number) for number in range(100, 150)], START)
    (folder,) = layout.spool_folders(data.spool)
    log = layout.companions(layout.segment_path(folder, 1))[0]
    raw = log.read_bytes()
    at = raw.index(b"subId1=140")
    log.write_bytes(raw[:at] + b"X" + raw[at + 1 :])
    writer.append([click(3, START - 1)], START)

    result = run(data, "verify", "--json")

    assert result.exit_code == 1
    found = json.loads(result.stdout)
    problems = [(problem["sequence"], problem["reason"]) for problem in found["problems"]]
    assert problems == [(2, "bad_checksum"), (3, "late")]
    shown = run(data, "verify")
    assert shown.exit_code == 1
    assert f"{writer.spool_id} batch 2: bad_checksum: the payload's checksum" in shown.stdout
    (line,) = [line for line in lines(data) if "problem" in line]
    assert (line["problem"], line["clicks"]) == ("bad_checksum", 50)


def test_verify_after_a_release_misses_nothing(data: DataFolder, writer: Writer) -> None:
    """Batches that were loaded and removed from the front are not missing."""
    for number in range(30):
        writer.append([click(number * 10 + i) for i in range(20)], START)
        until_ready(writer)
    (folder,) = layout.spool_folders(data.spool)
    layout.segment_path(folder, 1).unlink()

    found = answer(data, "verify")

    assert isinstance(found, dict)
    assert found["problems"] == []
    assert 0 < found["batches"] < 30


@pytest.mark.parametrize("state", ["alive", "dead"])
def test_looking_changes_nothing(data: DataFolder, writer: Writer, state: str) -> None:
    for number in range(30):
        writer.append([click(number * 10 + i) for i in range(20)], START)
        until_ready(writer)
    if state == "dead":
        writer.close()

    def contents() -> dict[str, bytes]:
        return {
            str(path.relative_to(data.root)): path.read_bytes()
            for path in data.root.rglob("*")
            if path.is_file() and not path.name.endswith("-shm")  # an index, rebuilt at need
        }

    before, names = contents(), sorted(os.fspath(path) for path in data.root.rglob("*"))
    for words in (["stats"], ["dump"], ["verify"], ["dump", "--clicks", "--json"]):
        assert run(data, *words).exit_code == 0

    assert contents() == before
    assert sorted(os.fspath(path) for path in data.root.rglob("*")) == names
    if state == "alive":
        writer.append([click(9999)], START)


def test_a_damaged_segment_that_was_kept_is_named(data: DataFolder) -> None:
    kept = data.spool / layout.SET_ASIDE / "0190a1b2c3d4-0123456789abcdef-00000007"
    kept.mkdir(parents=True)
    (kept / layout.REASON).write_text('{"reason": "it ends at batch 8"}')

    shown = run(data, "verify").stdout

    assert f"kept in set-aside/{kept.name}: it ends at batch 8" in shown
