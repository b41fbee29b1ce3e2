"""The documentation names everything there is, and nothing that is not."""

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from clickledger.api import jobs
from clickledger.config import Settings
from clickledger.enrich import pipeline
from clickledger.enrich.parameters import PARAMETERS, WITHOUT_COLUMN
from clickledger.exports.manifest import Manifest
from clickledger.exports.model import ClickExportRequest
from clickledger.jobs.model import Job, State
from clickledger.lake.schema import CLICKS, DEAD_LETTERS, EXPORT_COLUMNS, EXTRA_COLUMNS
from clickledger.postbacks import files
from clickledger.postbacks.macros import MACROS
from clickledger.postbacks.model import EVENTS
from docs import api_page, cli_page, generate, table_pages

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.md")])
PACKAGE = ROOT / "src" / "clickledger"
#: Where the reasons of refused and marked clicks are spelled.
LINK_SOURCES = [*(PACKAGE / "collector").glob("*.py"), PACKAGE / "programs" / "directory.py"]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_MARKS = re.compile(r"[^\w\- ]")


def reference(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


# Everything that is there is documented.


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_is_documented(name: str) -> None:
    assert f"| `CLICKLEDGER_{name.upper()}` |" in reference("settings.md")


def test_each_metric_is_documented() -> None:
    page = reference("metrics.md")
    families = [family for metric in table_pages.metric_objects() for family in metric.describe()]
    assert len(families) > 10
    for family in families:
        suffix = "_total" if family.type == "counter" else ""
        assert f"| `{family.name}{suffix}` |" in page


def test_each_command_and_option_is_documented() -> None:
    page = reference("cli.md")
    found = dict(cli_page.commands())
    assert {"clickledger init", "clickledger serve", "clickledger program add"} <= set(found)
    for name, command in found.items():
        _, heading, section = page.partition(f"## `{name}`\n")
        assert heading, name
        section = section.partition("\n## ")[0]
        assert command.help, f"{name} has no help"
        for option in cli_page.options(command):
            assert option.help, f"{name} {option.opts} has no help"
            for spelling in cli_page.spellings(option):
                assert spelling in section, f"{name} {spelling}"


@pytest.mark.parametrize("column", [one.name for one in (*EXPORT_COLUMNS, *EXTRA_COLUMNS)])
def test_each_export_column_is_documented(column: str) -> None:
    assert f"| `{column}` |" in reference("export-columns.md")


@pytest.mark.parametrize("column", [*CLICKS.names, *DEAD_LETTERS.names])
def test_each_column_of_the_lake_is_documented(column: str) -> None:
    assert f"| `{column}` |" in reference("lake-tables.md")


def test_each_route_is_documented() -> None:
    page = reference("api.md")
    routes = [(method, path) for method, path, _ in api_page.routes()]
    assert any(path.endswith("/ClickExport") for _, path in routes)
    for method, path in routes:
        assert f"## `{method} {path}`\n" in page


def test_each_error_is_documented() -> None:
    page = reference("errors.md")
    for error in table_pages.error_classes():
        assert f"`{error.__name__}` | {error.http_status} |" in page


def test_each_parameter_of_a_link_is_documented() -> None:
    page = reference("links.md").lower()
    for name in (*PARAMETERS, *WITHOUT_COLUMN):
        assert f"`{name}`" in page


def test_each_state_and_field_of_a_job_is_documented() -> None:
    page = reference("jobs.md")
    manifest = [field.encode_name for field in msgspec.structs.fields(Manifest)]
    for name in (*State, *job_fields(), *manifest):
        assert f"`{name}`" in page


def job_fields() -> list[str]:
    """Return the names of a job's fields on the wire."""
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    request = ClickExportRequest(
        account_sid="IR1", program_id=1, date=moment.date(), time_zone="UTC"
    )
    job = Job(
        id="1",
        account_sid="IR1",
        type="ClickExport",
        program_id=1,
        request=request,
        state=State.QUEUED,
        message="",
        run=1,
        attempt=0,
        requested_at=moment,
        created_at=moment,
        started_at=None,
        completed_at=None,
        abandoned_at=None,
        cancelled_at=None,
        failed_at=None,
        progress_at=None,
        retry_at=None,
        records=0,
        percent=0,
        result_run=None,
    )
    return list(jobs.fields(job, ZoneInfo("UTC")))


def test_each_kind_event_macro_and_key_of_postbacks_is_documented() -> None:
    page = reference("postbacks.md")
    kinds, _, macros = page.partition("\n## Macros\n")
    for kind, events in EVENTS.items():
        assert f"| `{kind.value}` |" in kinds
        assert all(f"`{event}`" in kinds for event in events)
        heading = rf"^### [^\n]*`{kind.value}`[^\n]*$(.*?)(?=^#|\Z)"
        (section,) = re.findall(heading, macros, re.MULTILINE | re.DOTALL)
        assert all(f"| `{{{name}}}` |" in section for name in MACROS[kind])
    for key in files.KEYS:
        assert f"| `{key}` |" in kinds


def test_each_reason_is_documented() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in LINK_SOURCES)
    reasons = set(re.findall(r'"((?:unknown|malformed|bad)_[a-z]+)"', source))
    reasons |= set(re.findall(r'labels\("([a-z_]+)"\)', source))
    reasons |= set(re.findall(r'b"x-click-reason", b"([a-z_]+)"', source))
    assert {"unknown_program", "bad_deeplink", "prefetch", "unrecorded"} <= reasons
    page = reference("links.md")
    for reason in reasons:
        assert f"`{reason}`" in page


def test_each_reason_of_a_dead_letter_is_documented() -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for part in ("enrich", "lake", "spool")
        for path in (PACKAGE / part).glob("*.py")
    )
    reasons = set(re.findall(r'UnfitError\(\s*"(\w+)"', source))
    reasons |= set(re.findall(r'reason="(\w+)"', source))
    reasons |= set(re.findall(r'_set_aside\([^"]*?"(\w+)"', source))
    assert {"bad_time", "undecodable", "missing"} <= reasons
    page = reference("lake-tables.md")
    for reason in reasons | {f"step_{step.name}" for step in pipeline.STEPS}:
        assert f"| `{reason}` |" in page


def test_the_generator_writes_what_is_missing_and_names_what_is_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["--check"], tmp_path) == 1
    assert generate.main([], tmp_path) == 0
    assert generate.main(["--check"], tmp_path) == 0
    capsys.readouterr()
    (tmp_path / "metrics.md").write_text("Something else.\n", encoding="utf-8")
    assert generate.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == "docs/reference/metrics.md is stale: run `make docs`\n"


def test_the_generated_pages_are_current() -> None:
    assert generate.main(["--check"]) == 0


# What the pages say is there.


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_each_relative_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{shown(page)} links to {link}"
        if anchor:
            assert anchor in set(anchors(path)), f"{shown(page)} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_each_example_names_commands_and_options_that_exist(page: Path) -> None:
    for words in examples(page):
        example = f"{shown(page)}: {shlex.join(words)}"
        match Path(words[0]).name:
            case "clickledger":
                check_command(words[1:], example)
            case "make":
                targets = [word for word in words[1:] if "=" not in word]
                assert set(targets) <= make_targets(), example


def test_the_first_pages_have_examples() -> None:
    for name in ("README.md", "docs/tutorial.md"):
        assert any(Path(words[0]).name == "clickledger" for words in examples(ROOT / name))


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_each_setting_that_a_page_names_exists(page: Path) -> None:
    known = {f"CLICKLEDGER_{name.upper()}" for name in Settings.model_fields}
    known |= {"CLICKLEDGER_DATA", "CLICKLEDGER_CRASH_ROUNDS"}
    named = set(re.findall(r"\bCLICKLEDGER_[A-Z_]+\b", page.read_text(encoding="utf-8")))
    assert named - {"CLICKLEDGER_"} <= known


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_each_path_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:src|tests|docs|demo|bench)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), f"{shown(page)} names {path}"


def anchors(page: Path) -> Iterator[str]:
    """Yield the anchors that a Markdown viewer makes of a page's headings."""
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        yield _MARKS.sub("", heading.lower()).replace(" ", "-")


def examples(page: Path) -> Iterator[list[str]]:
    """Yield each simple command after a prompt in a ``console`` fence."""
    for kind, body in _FENCE.findall(page.read_text(encoding="utf-8")):
        if kind != "console":
            continue
        for line in body.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield from simple_commands(line.removeprefix("$ "))


def simple_commands(line: str) -> Iterator[list[str]]:
    """Split a shell line at ``|``, ``&&``, ``;`` and ``&``; leave assignments in front out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.commenters = "#"
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("|&;()"):
            while words and re.match(r"\w+=", words[0]):
                words.pop(0)
            if words:
                yield words
            words = []
        else:
            words.append(word)


def check_command(words: list[str], example: str) -> None:
    commands = dict(cli_page.commands())
    name = "clickledger"
    while words and name not in commands:
        name = f"{name} {words.pop(0)}"
        assert any(f"{known} ".startswith(f"{name} ") for known in commands), example
    known = {
        "--help",
        *(one for option in cli_page.options(commands[name]) for one in cli_page.spellings(option)),
    }
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert options <= known, example


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
