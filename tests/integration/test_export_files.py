"""From a real lake to a file: the right clicks, in order, the same bytes whatever happens."""

import csv
import hashlib
import io
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec
import pytest

from clickledger.clock import MINUTE, SECOND, Micros
from clickledger.errors import CorruptedError, GoneError, NotFoundError, UnavailableError
from clickledger.exports import work
from clickledger.exports.manifest import Manifest
from clickledger.exports.model import ClickExportRequest, Plan, ResultFormat, SliceDone
from clickledger.exports.plan import make_plan
from clickledger.exports.results import Result
from clickledger.lake import engine, unique
from clickledger.programs import days
from clickledger.testing.lake_days import LakeDays, Row, click

DAY = date(2026, 5, 1)
BOUNDS = days.day_bounds(DAY, "Europe/Berlin")
REQUEST = ClickExportRequest(
    account_sid="IR1", program_id=1000, date=DAY, time_zone="Europe/Berlin"
)


def some_clicks(count: int = 300, bounds: days.DayBounds = BOUNDS, seed: int = 1) -> list[Row]:
    """Make clicks in and around a day: repeats, ties, other programs, absent and awkward text."""
    dice = random.Random(seed)
    rows: list[Row] = []
    for number in range(count):
        at = dice.randrange(bounds.start - 40 * MINUTE, bounds.end + 40 * MINUTE)
        if number % 3 == 0:
            at = bounds.start + dice.randrange(90) * MINUTE
        visitor = dice.randrange(count // 6)
        rows.append(
            click(
                number,
                at,
                profile_id=f"profile-{visitor}" if number % 4 else None,
                profile_carried=number % 4 in {1, 2},
                visitor=visitor.to_bytes(16, "big") if number % 5 else None,
                program_id=1000 if number % 7 else 2000,
                sub_id1=dice.choice([None, "a,b", 'say "x"', "two\nlines", "=1", "é\r"]),
            )
        )
    return rows


def planned(
    lake: LakeDays, tmp: Path, request: ClickExportRequest = REQUEST, rows: int = 40
) -> Plan:
    return make_plan(
        lake.lake.snapshot(),
        request,
        scratch=tmp / "scratch",
        complete_through=BOUNDS.end,
        slice_rows=rows,
    )


def run(
    plan: Plan,
    folder: Path,
    finished: Sequence[SliceDone] = (),
    on_slice: Callable[[SliceDone], None] = lambda _done: None,
    cancelled: Callable[[], bool] = lambda: False,
    **options: int,
) -> Manifest | None:
    scratch = folder.parent / "scratch"
    found = work.run(plan, finished, folder, on_slice, cancelled, scratch=scratch, **options)
    assert list(scratch.iterdir()) == []
    assert not list(folder.glob(".*"))
    return found


def exported(plan: Plan, folder: Path) -> bytes:
    run(plan, folder)
    result = Result.open(folder)
    return b"".join(result.read(0, result.size))


def read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def place(row: Row) -> tuple[object, ...]:
    return (row["event_time"], row["spool_id"], row["sequence"], row["position"])


def is_unique(row: Row, rows: Sequence[Row]) -> bool:
    """Judge one click by the words of the rule."""
    time_of: Callable[[Row], Micros] = lambda one: int(str(one["event_time"]))  # noqa: E731
    for other in rows:
        if other["program_id"] != row["program_id"] or place(other) >= place(row):
            continue
        if row["profile_carried"]:
            same = row["profile_id"] is not None and other["profile_id"] == row["profile_id"]
        else:
            same = row["visitor"] is not None and other["visitor"] == row["visitor"]
        if same and time_of(row) - time_of(other) < unique.WINDOW:
            return False
    return True


def wanted(rows: Sequence[Row], bounds: days.DayBounds = BOUNDS, program: int = 1000) -> list[Row]:
    """Pick the day's clicks of the program, in order, and judge them."""
    return [
        {**row, "unique_click": is_unique(row, rows)}
        for row in sorted(rows, key=place)
        if row["program_id"] == program and bounds.start <= int(str(row["event_time"])) < bounds.end
    ]


def shown(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    return [
        (str(row["click_id"]), str(row["unique_click"]).lower(), str(row["sub_id1"] or ""))
        for row in rows
    ]


def seen(rows: Sequence[Mapping[str, str]]) -> list[tuple[str, str, str]]:
    return [(row["Id"], row["UniqueClick"], row["SubId1"]) for row in rows]


@pytest.fixture
def lake(tmp_path: Path) -> LakeDays:
    return LakeDays(tmp_path / "lake")


def test_an_export_holds_the_days_clicks_in_order_and_says_which_are_unique(
    lake: LakeDays, tmp_path: Path
) -> None:
    rows = some_clicks()
    lake.load(rows)
    found = read(exported(planned(lake, tmp_path), tmp_path / "result"))
    assert seen(found) == shown(wanted(rows))
    assert {row["UniqueClick"] for row in found} == {"true", "false"}
    assert found[0]["EventDate"].endswith("+02:00")


@pytest.mark.parametrize("form", list(ResultFormat))
def test_bytes_do_not_depend_on_how_the_clicks_lie_in_the_lake(
    tmp_path: Path, form: ResultFormat
) -> None:
    """Closed, open, closed with late clicks, half open, many files; any size of slice."""
    rows = some_clicks(200)
    random.Random(2).shuffle(rows)
    midnight = days.day_bounds(DAY, "UTC").start
    early = [row for row in rows if int(str(row["event_time"])) < midnight]
    rest = [row for row in rows if int(str(row["event_time"])) >= midnight]
    request = replace(REQUEST, result_format=form, columns=("RowKey",))
    found = set()
    for number, (closed, loads) in enumerate(
        [
            (rows, []),
            ([], [rows]),
            (rows[:-5], [rows[-5:]]),
            (early, [rest]),
            ([], [rows[at : at + 20] for at in range(0, len(rows), 20)]),
        ]
    ):
        lake = LakeDays(tmp_path / f"lake-{number}")
        # Closing judges with the clicks that are there: all of a program or none of them.
        lake.close(closed)
        for load in loads:
            lake.load(load)
        plan = planned(lake, tmp_path, request, rows=(1000, 13)[number % 2])
        found.add(exported(plan, tmp_path / f"result-{number}"))
    assert len(found) == 1


@pytest.mark.parametrize("closed", [True, False])
def test_filters_narrow_the_file_but_not_what_counts_as_a_repeat(
    lake: LakeDays, tmp_path: Path, closed: bool
) -> None:
    rows = some_clicks()
    (lake.close if closed else lake.load)(rows)
    for value in (True, False):
        request = replace(REQUEST, ad_ids=(500,), media_ids=(10, 11), unique_click=value)
        plan = planned(lake, tmp_path, request)
        expected = [
            row
            for row in wanted(rows)
            if row["ad_id"] == 500 and row["media_id"] != 12 and row["unique_click"] is value
        ]
        assert expected
        manifest = run(plan, tmp_path / f"result-{value}")
        result = Result.open(tmp_path / f"result-{value}")
        assert seen(read(b"".join(result.read(0, result.size)))) == shown(expected)
        assert manifest is not None
        assert manifest.rows == len(expected)
        assert plan.exact == closed


@pytest.mark.parametrize(
    ("zone", "day", "offsets"),
    [
        ("America/New_York", date(2026, 3, 8), ["-05:00", "-04:00"]),
        ("America/New_York", date(2026, 11, 1), ["-04:00", "-05:00"]),
        ("Australia/Lord_Howe", date(2024, 4, 7), ["+11:00", "+10:30"]),
        ("America/Sao_Paulo", date(2018, 2, 17), ["-02:00", "-03:00"]),
        ("Pacific/Kiritimati", date(2026, 5, 1), ["+14:00"]),
        ("Pacific/Apia", date(2011, 12, 31), ["+14:00"]),
        ("Pacific/Apia", date(2011, 12, 30), []),
    ],
)
def test_a_day_is_the_programs_day(
    lake: LakeDays, tmp_path: Path, zone: str, day: date, offsets: list[str]
) -> None:
    bounds = days.day_bounds(day, zone)
    edges = {edge for span in bounds.spans for edge in (span.start, span.end)} | {bounds.start}
    instants = sorted({edge + shift for edge in edges for shift in (-SECOND, -1, 0, SECOND)})
    rows = [click(number, instant) for number, instant in enumerate(instants)]
    lake.load(rows)
    request = replace(REQUEST, date=day, time_zone=zone)
    found = read(exported(planned(lake, tmp_path, request), tmp_path / "result"))
    assert [row["Id"] for row in found] == [row["click_id"] for row in wanted(rows, bounds)]
    assert list(dict.fromkeys(row["EventDate"][19:] for row in found)) == offsets
    for row, stored in zip(found, wanted(rows, bounds), strict=True):
        instant = int(str(stored["event_time"]))
        assert row["EventDate"] == days.local_iso(
            instant, next(s.offset_seconds for s in bounds.spans if s.start <= instant < s.end)
        )


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (ResultFormat.CSV, b"Id,ProgramId,"),
        (ResultFormat.JSON, b'{"Clicks":[\n],"@page":"1","@numpages":"1","@pagesize":"0"'),
        (ResultFormat.XML, b'<?xml version="1.0" encoding="UTF-8"?>\n<ImpactRadiusResponse>\n'),
    ],
)
def test_a_day_without_clicks_is_an_empty_file(
    lake: LakeDays, tmp_path: Path, form: ResultFormat, expected: bytes
) -> None:
    plan = planned(lake, tmp_path, replace(REQUEST, result_format=form))
    data = exported(plan, tmp_path / "result")
    assert data.startswith(expected)
    assert Result.open(tmp_path / "result").rows == 0
    assert data.count(b"\n") == {"CSV": 1, "JSON": 2, "XML": 5}[form]


def test_the_manifest_says_what_the_file_is(lake: LakeDays, tmp_path: Path) -> None:
    lake.load(some_clicks())
    plan = make_plan(
        lake.lake.snapshot(),
        replace(REQUEST, ad_ids=(500, 501), columns=("Reasons",)),
        scratch=tmp_path / "scratch",
        complete_through=BOUNDS.end - 90 * SECOND,
        hide_sub_ids=True,
        replaces=7,
        slice_rows=40,
    )
    data = exported(plan, tmp_path / "result")
    result = Result.open(tmp_path / "result")
    facts = dict(result.manifest)
    parts = facts.pop("Parts")
    assert isinstance(parts, list)
    assert sum(part["Bytes"] for part in parts) == len(data)
    assert sum(part["Rows"] for part in parts) == len(read(data)) == result.rows
    columns = facts.pop("Columns")
    assert columns == [column.name for column in plan.columns]
    warnings = facts.pop("Warnings")
    assert isinstance(warnings, list)
    assert len(warnings) == 2
    assert facts == {
        "AccountSid": "IR1",
        "ProgramId": 1000,
        "Date": "2026-05-01",
        "TimeZone": "Europe/Berlin",
        "Start": "2026-04-30T22:00:00Z",
        "End": "2026-05-01T22:00:00Z",
        "AdIds": [500, 501],
        "MediaIds": [],
        "UniqueClick": None,
        "Format": "CSV",
        "HideSubIds": True,
        "FormulaGuard": False,
        "UniqueRule": {"WindowSeconds": 1800, "Type": "ROLLING"},
        "LakeVersion": lake.lake.version(),
        "CompleteThrough": "2026-05-01T21:58:30Z",
        "Rows": len(read(data)),
        "Bytes": len(data),
        "Sha256": hashlib.sha256(data).hexdigest(),
    }
    assert result.filename == "clicks-1000-2026-05-01.csv"
    assert result.content_type.startswith("text/csv")


# ---------------------------------------------------------------------------------------------
# disturbed runs


def children() -> list[int]:
    """Name the writing processes that this one started; other tests may have left others."""
    tasks = Path("/proc/self/task").iterdir()
    pids = [pid for task in tasks for pid in (task / "children").read_text().split()]
    return [
        int(pid)
        for pid in pids
        if b"clickledger.exports.writer" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@pytest.mark.parametrize("form", list(ResultFormat))
@pytest.mark.parametrize("closed", [True, False])
def test_a_killed_run_goes_on_after_its_last_finished_slice(
    lake: LakeDays, tmp_path: Path, closed: bool, form: ResultFormat
) -> None:
    (lake.close if closed else lake.load)(some_clicks())
    plan = planned(lake, tmp_path, replace(REQUEST, result_format=form, unique_click=True))
    undisturbed = exported(plan, tmp_path / "undisturbed")
    finished: list[SliceDone] = []
    killed = random.Random(form).randrange(len(plan.slices) - 1)

    def kill_after(done: SliceDone) -> None:
        finished.append(done)
        if done.index == killed:
            for pid in children():
                os.kill(pid, signal.SIGKILL)

    folder = tmp_path / "result"
    with pytest.raises(UnavailableError, match="killed by signal 9"):
        run(plan, folder, on_slice=kill_after)
    assert not (folder / "manifest.json").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}
    again: list[int] = []
    manifest = run(plan, folder, tuple(finished), on_slice=lambda done: again.append(done.index))
    assert again == list(range(len(finished), len(plan.slices)))
    result = Result.open(folder)
    data = b"".join(result.read(0, result.size))
    assert data == undisturbed
    assert manifest is not None
    assert manifest.sha256 == hashlib.sha256(undisturbed).hexdigest()
    assert (folder / "manifest.json").read_bytes() == (
        tmp_path / "undisturbed" / "manifest.json"
    ).read_bytes()
    for done in finished:
        name = f"part-{done.index + 1:05}"
        assert (folder / name).stat().st_mtime_ns == kept[name]


def test_slices_are_reported_in_order_once_each(lake: LakeDays, tmp_path: Path) -> None:
    lake.close(some_clicks())
    plan = planned(lake, tmp_path)
    done: list[SliceDone] = []
    run(plan, tmp_path / "result", on_slice=done.append)
    assert [one.index for one in done] == list(range(len(plan.slices)))
    assert [one.rows for one in done] == [piece.rows for piece in plan.slices]


def test_a_finished_slice_whose_file_is_not_there_is_written_again(
    lake: LakeDays, tmp_path: Path
) -> None:
    lake.close(some_clicks())
    plan = planned(lake, tmp_path)
    done: list[SliceDone] = []
    run(plan, tmp_path / "result", on_slice=done.append)
    (tmp_path / "result" / "part-00001").unlink()
    (tmp_path / "result" / "part-00003").write_bytes(b"half")
    again: list[int] = []
    run(plan, tmp_path / "result", done, on_slice=lambda one: again.append(one.index))
    assert again == [0, 2]


def test_a_cancelled_run_stops_and_keeps_what_is_finished(lake: LakeDays, tmp_path: Path) -> None:
    lake.close(some_clicks())
    plan = planned(lake, tmp_path)
    done: list[SliceDone] = []
    folder = tmp_path / "result"
    assert run(plan, folder, on_slice=done.append, cancelled=lambda: len(done) == 2) is None
    assert children() == []
    assert not (folder / "manifest.json").exists()
    assert len(done) == 2
    assert run(plan, folder, done) is not None


def test_what_an_ended_process_left_half_written_is_removed(lake: LakeDays, tmp_path: Path) -> None:
    lake.close(some_clicks(30))
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / ".part-00001.99.tmp").write_bytes(b"half")
    run(planned(lake, tmp_path), folder)
    assert not [*folder.glob(".*.tmp")]


@contextmanager
def little_room(size: int) -> Iterator[None]:
    """Refuse to let any file of this process and its children grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("form", list(ResultFormat))
def test_a_full_disk_is_said_plainly_and_leaves_no_half_file(
    lake: LakeDays, tmp_path: Path, form: ResultFormat
) -> None:
    lake.close(some_clicks())
    plan = planned(lake, tmp_path, replace(REQUEST, result_format=form), rows=1000)
    with (
        pytest.raises(UnavailableError, match="no room on the disk"),
        little_room(20_000),
    ):
        run(plan, tmp_path / "result")
    assert not (tmp_path / "result" / "manifest.json").exists()
    assert run(plan, tmp_path / "result") is not None


def test_a_version_whose_files_are_gone_is_told_apart(lake: LakeDays, tmp_path: Path) -> None:
    lake.close(some_clicks())
    snapshot = lake.lake.snapshot()
    plan = planned(lake, tmp_path)
    snapshot.files()[-1].path.unlink()
    with pytest.raises(GoneError, match=f"version {snapshot.version}"):
        planned(lake, tmp_path)
    with pytest.raises(GoneError, match=f"version {snapshot.version}"):
        run(plan, tmp_path / "result")


def test_a_file_that_does_not_hold_what_was_counted_fails_the_run(
    lake: LakeDays, tmp_path: Path
) -> None:
    lake.close(some_clicks())
    plan = planned(lake, tmp_path)
    wrong = replace(plan, slices=(replace(plan.slices[0], rows=1), *plan.slices[1:]))
    with pytest.raises(UnavailableError, match="1 were counted"):
        run(wrong, tmp_path / "result")


@pytest.mark.parametrize("closed", [True, False])
def test_uncommonly_long_rows_get_more_memory(lake: LakeDays, tmp_path: Path, closed: bool) -> None:
    rows = [
        click(number, BOUNDS.start + number, landing_page_url=f"{number:06}" + "x" * 16_000)
        for number in range(1500)
    ]
    (lake.close if closed else lake.load)(rows)
    plan = planned(lake, tmp_path, rows=1000)
    found = run(plan, tmp_path / "result", memory_mb=16)
    assert found is not None
    assert found.rows == 1500


PARENT = """
import sys
from pathlib import Path
import msgspec
from clickledger.exports import model, work
plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=model.Plan)
def told(done):
    print(done.index, flush=True)
    sys.stdin.readline()
work.run(plan, [], Path(sys.argv[2]), told, lambda: False, scratch=Path(sys.argv[2] + "-scratch"))
"""


def test_the_writing_process_dies_with_its_parent(lake: LakeDays, tmp_path: Path) -> None:
    lake.close(some_clicks(2000))
    order = tmp_path / "plan.json"
    order.write_bytes(msgspec.json.encode(planned(lake, tmp_path, rows=2)))
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(order), str(tmp_path / "result")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"0\n"
        (writer,) = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        parent.kill()
    until = time.monotonic() + 10
    while Path(f"/proc/{writer}").exists() and "State:\tZ" not in _status(writer):
        assert time.monotonic() < until
        time.sleep(0.01)
    scratch = tmp_path / "result-scratch"
    assert list(scratch.iterdir()) != []
    engine.sweep(scratch)  # what the worker does when it starts
    assert list(scratch.iterdir()) == []


def _status(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:  # gone between the two looks
        return "State:\tZ"


def test_the_writing_process_imports_neither_arrow_nor_delta() -> None:
    """They would cost it a hundred megabytes."""
    code = (
        "import sys, clickledger.exports.writer; "
        "sys.exit(bool({'pyarrow', 'deltalake', 'numpy', 'sqlalchemy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---------------------------------------------------------------------------------------------
# reading a result


def test_any_range_of_a_result_can_be_read(lake: LakeDays, tmp_path: Path) -> None:
    lake.close(some_clicks())
    data = exported(planned(lake, tmp_path), tmp_path / "result")
    result = Result.open(tmp_path / "result")
    assert len(data) == result.size
    dice = random.Random(3)
    for _ in range(200):
        start, end = sorted(dice.randrange(len(data) + 50) for _ in range(2))
        assert b"".join(result.read(start, end)) == data[start:end]
    assert b"".join(result.read(0, 0)) == b""


def test_a_folder_without_manifest_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Result.open(tmp_path)


def test_a_damaged_result_is_not_served(lake: LakeDays, tmp_path: Path) -> None:
    lake.close(some_clicks())
    folder = tmp_path / "result"
    run(planned(lake, tmp_path), folder)
    result = Result.open(folder)
    with (folder / "part-00002").open("r+b") as file:
        file.truncate(10)
    with pytest.raises(CorruptedError, match="part-00002"):
        Result.open(folder)
    with pytest.raises(CorruptedError, match="part-00002"):
        list(result.read(0, result.size))
    (folder / "manifest.json").write_text("{")
    with pytest.raises(CorruptedError, match="manifest"):
        Result.open(folder)
