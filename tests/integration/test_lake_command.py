"""`clickledger lake`, as an operator types it."""

import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from clickledger.cli import app
from clickledger.clock import DAY, to_datetime, wall_clock
from clickledger.errors import ClickledgerError
from clickledger.testing.loading import feed
from clickledger.testing.spools import click

#: Half past eleven in the evening, UTC: half past midnight in Berlin.
LATE = wall_clock() // DAY * DAY - 2 * DAY + DAY - DAY // 48
UTC_DATE = to_datetime(LATE).date()
BERLIN_DATE = to_datetime(LATE + DAY // 24).date()


def run(root: Path, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*arguments, "--data", str(root)])
    if isinstance(result.exception, ClickledgerError):  # main() says it in one line
        assert code == 1
        return str(result.exception)
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture(autouse=True)
def events_apart() -> Iterator[None]:
    """Events go to stderr, as main() has it."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    yield
    structlog.reset_defaults()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with three loaded clicks, two of its demo program."""
    root = tmp_path / "data"
    program = json.loads(run(root, "init", "--demo", "--json"))["program_id"]
    with feed(root) as one:
        one.spool([click(n, LATE + n, program_id=program) for n in range(2)])
        one.spool([click(9, LATE, program_id=program + 100)])
        one.load()
    return root


def test_count_as_json_is_exactly_what_programs_expect(folder: Path) -> None:
    answer = json.loads(run(folder, "lake", "count", "--json"))
    assert list(answer) == ["version", "complete_through", "date", "program_id", "raw"]
    assert (answer["version"], answer["date"], answer["program_id"], answer["raw"]) == (
        1,
        None,
        None,
        3,
    )
    through = datetime.fromisoformat(answer["complete_through"])
    assert through.utcoffset() == timedelta(0)


def test_a_date_is_utc_and_with_a_program_that_programs_day(folder: Path) -> None:
    def count(*arguments: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(run(folder, "lake", "count", "--json", *arguments))
        return found

    day = str(UTC_DATE)
    assert count("--date", day)["raw"] == 3
    assert count("--date", str(to_datetime(LATE + DAY).date()))["raw"] == 0
    program = json.loads(
        run(folder, "program", "add", "--name", "Shoes", "--time-zone", "Europe/Berlin",
            "--landing-page", "https://shop.example/", "--json")
    )["id"]  # fmt: skip
    with feed(folder) as one:
        one.spool([click(20, LATE, program_id=program)])
        one.load()
    assert count("--program", str(program))["raw"] == 1
    answer = count("--program", str(program), "--date", str(BERLIN_DATE))
    assert (answer["raw"], answer["program_id"], answer["date"]) == (1, program, str(BERLIN_DATE))
    assert count("--program", str(program), "--date", day)["raw"] == int(UTC_DATE == BERLIN_DATE)


def test_wrong_input_is_told_in_a_line(folder: Path) -> None:
    assert "not a date" in run(folder, "lake", "count", "--date", "yesterday", code=1)
    wrong = run(folder, "lake", "count", "--date", str(UTC_DATE), "--program", "99", code=1)
    assert "no program 99" in wrong


def test_compact_verify_and_vacuum(folder: Path) -> None:
    done = json.loads(run(folder, "lake", "compact", "--json"))
    assert done["days_sorted"] == [str(UTC_DATE)]
    assert "all sound" in run(folder, "lake", "verify")
    found = json.loads(run(folder, "lake", "verify", "--json"))
    assert (found["problems"], found["spooled"]) == ([], 0)
    assert json.loads(run(folder, "lake", "vacuum", "--json"))["files_removed"] == 0
    assert run(folder, "lake", "count").split() != []


def test_verify_exits_non_zero_and_names_the_batch(tmp_path: Path) -> None:
    root = tmp_path / "data"
    run(root, "init")
    with feed(root) as one:
        spool_id = one.spool([click(n, LATE + n) for n in range(2)])
        one.load()
        table = one.lake.clicks()
        table.commit([], remove=table.files(), why="tampering")
    said = run(root, "lake", "verify", code=1)
    assert f"spool {spool_id} batch 1: 2 clicks accepted, 0 in the lake, 0 dead letters" in said
    assert json.loads(run(root, "lake", "verify", "--json", code=1))["problems_total"] == 1


def test_verify_names_the_batches_of_a_file_that_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "data"
    run(root, "init")
    with feed(root) as one:
        spool_id = one.spool([click(n, LATE + n) for n in range(2)])
        one.load()
        (file,) = one.lake.clicks().files()
        (one.lake.clicks().path / file.path).unlink()
    said = run(root, "lake", "verify", code=1)
    assert f"spool {spool_id} batch 1: 2 clicks accepted, 0 in the lake, 0 dead letters" in said
