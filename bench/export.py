"""Exports of one day: in order, with manifest and checksum, against a bare copy of its columns.

``python -m bench.export`` prints JSON and a table. Each figure is taken in a process of its own,
twice where it is held against a baseline, the better of the two; files are flushed to disk.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from bench import report
from bench.report import Figure
from clickledger.clock import DAY, to_micros
from clickledger.exports import plan as plans
from clickledger.exports import work
from clickledger.exports.model import ClickExportRequest, ResultFormat
from clickledger.exports.results import Result
from clickledger.lake import engine
from clickledger.lake.files import (
    ROWS,
    SORTED_PREFIX,
    FileWriter,
    Margin,
    SortKey,
    sorted_footer,
)
from clickledger.lake.schema import EXPORT_COLUMNS
from clickledger.lake.store import Lake

MILLION = 1_000_000
#: The program that `init --demo` makes.
_PROGRAM = 1
_SPOOL = "0198aaaa0000-0123456789abcdef"
#: Rows that the builder hands over at a time, and rows of one file of an open day.
_BATCH = 100_000
_OPEN_FILE = 250_000
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One made-up day."""

    day: date
    rows: int
    #: Sorted and judged, as closing a day leaves it; else as the loader leaves it.
    closed: bool

    @property
    def start(self) -> int:
        """First instant, UTC microseconds."""
        return to_micros(datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC))


ONE = Day(day=date(2026, 5, 1), rows=MILLION, closed=True)
FIVE = Day(day=date(2026, 5, 3), rows=5 * MILLION, closed=True)
OPEN = Day(day=date(2026, 5, 5), rows=5 * MILLION, closed=False)
DAYS = {"one": ONE, "five": FIVE, "open": OPEN}


def build(root: Path, day: str) -> None:
    """Make a day up: its own click id, sub id and landing URL per click, a profile per visitor."""
    made = DAYS[day]
    table = Lake.open(str(root / day)).clicks()
    files = []
    writer: FileWriter | None = None
    keys: list[SortKey] = []
    for number, batch in enumerate(_batches(made)):
        if writer is None:
            writer = FileWriter(
                table.path,
                ROWS,
                statistics=table.statistics,
                event_date=made.day,
                prefix=SORTED_PREFIX if made.closed else "part-",
            )
        writer.write(batch)
        if made.closed:
            keys += [_key(batch, 0), _key(batch, len(batch) - 1)]
        elif (number + 1) * _BATCH % _OPEN_FILE < _BATCH:
            files.append(writer.close())
            writer = None
    if writer is not None:
        footer = sorted_footer(keys[0], keys[-1], Margin(rows=0, files=""))
        files.append(writer.close(footer if made.closed else None))
    table.commit(files, why="made up")


def _batches(made: Day) -> Iterator[pa.Table]:
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        relation = connection.sql(_rows_sql(made))
        for batch in relation.to_arrow_reader(_BATCH):
            rows = pa.Table.from_batches([batch])
            yield rows.select(ROWS.names).cast(ROWS)


def _rows_sql(made: Day) -> str:
    """Make clicks up; an open day's are in order of time but for some seconds."""
    spacing = DAY / made.rows
    visitors = made.rows // 4
    jitter = spacing if made.closed else 5_000_000
    known = {
        "spool_id": f"'{_SPOOL}'",
        "sequence": "(i // 40 + 1)::bigint",
        "position": "(i % 40)::int",
        "event_time": "event_time",
        "received_time": "event_time",
        "click_id": "click_id",
        "program_id": f"{_PROGRAM}::bigint",
        "program_name": "'Running Shoes Example'",
        "profile_id": "profile_id",
        "ip_address": "md5('address' || visitor)",
        "media_id": "media_id",
        "media_name": "'Blog ' || media_id",
        "ad_id": "ad_id",
        "ad_name": "'Spring banner ' || ad_id",
        "ad_type": "'BANNER'",
        "product_sku": "case when i % 3 = 0 then 'SKU-' || page end",
        "customer_area": "'n/a'",
        "customer_city": "'City ' || visitor % 800",
        "customer_region": "'Region ' || visitor % 50",
        "customer_country": "['US', 'DE', 'FR', 'GB', 'CA'][1 + visitor % 5]",
        "device_type": "['PHONE', 'DESKTOP', 'PHONE'][1 + visitor % 3]",
        "browser": "['Safari', 'Chrome', 'Chrome'][1 + visitor % 3]",
        "os": "['iOS', 'WINDOWS_10', 'ANDROID'][1 + visitor % 3]",
        "referring_url": "referrer",
        "referring_domain": "'www.blog' || media_id || '.example'",
        "landing_page_url": "landing || '&irclickid=' || click_id || '&irgwc=1'",
        "shared_id": "'spring'",
        "unique_click": "dice % 5 <> 0" if made.closed else "null::boolean",
        "sub_id1": "sub_id",
        "sub_id2": "'newsletter'",
        "profile_carried": "dice % 3 <> 0",
        "visitor": "unhex(md5('visitor' || visitor))",
        "path": f"encode('/c/' || media_id || '/' || ad_id || '/{_PROGRAM}')",
        "raw_query": "encode('u=' || url_encode(landing) || '&subId1=' || sub_id || "
        "'&subId2=newsletter&sharedid=spring')",
        "user_agent": "encode(format('Mozilla/5.0 (Linux; Android {}; SM-G{}) AppleWebKit/537.36 "
        "(KHTML, like Gecko) Chrome/{}.0.0.0 Mobile Safari/537.36', 10 + visitor % 6, "
        "900 + visitor % 80, 100 + visitor % 40))",
        "referrer": "encode(referrer)",
        "client_address": "format('{}.{}.{}.{}', 20 + visitor % 200, visitor // 200 % 250, "
        "visitor // 50000 % 250, 7)",
        "sec_fetch_site": "encode('cross-site')",
        "sec_fetch_mode": "encode('navigate')",
        "sec_fetch_dest": "encode('document')",
        "sec_fetch_user": "encode('?1')",
        "accept_language": "encode('en-GB,en;q=0.9')",
    }
    select = ", ".join(f'{known.get(name, "null")} as "{name}"' for name in ROWS.names)
    return f"""
        with dealt as (
            select i, (hash(i) >> 4)::bigint as dice, (hash(i + 7) >> 4)::bigint % 20000 as page,
                (hash(i * 3) >> 4)::bigint % {visitors} as visitor, uuid()::varchar as sub_id,
                replace(uuid()::varchar, '-', '') as click_id
            from range({made.rows}) as clicks(i)
        ), placed as (
            select *, 10 + dice % 40 as media_id, 500 + dice % 12 as ad_id,
                make_timestamptz({made.start} + (i * {spacing} + dice % 1000 / 1000.0
                    * {jitter})::bigint % {DAY}) as event_time,
                md5('profile' || visitor)::uuid::varchar as profile_id,
                'https://shop.example/p/' || page || '?color=' || dice % 7 as landing,
                'https://www.blog' || 10 + dice % 40 || '.example/post/' || page as referrer
            from dealt
        )
        select {select} from placed
    """


def _key(rows: pa.Table, row: int) -> SortKey:
    return SortKey(
        program_id=rows["program_id"][row].as_py(),
        event_time=rows["event_time"].cast(pa.int64())[row].as_py(),
        spool_id=rows["spool_id"][row].as_py(),
        sequence=rows["sequence"][row].as_py(),
        position=rows["position"][row].as_py(),
    )


def export(root: Path, day: str, form: str) -> dict[str, object]:
    """Export a day as a job's worker does; memory is the writing process's."""
    made = DAYS[day]
    lake = Lake.open(str(root / day), create=False)
    request = ClickExportRequest(
        account_sid="IRbench",
        program_id=_PROGRAM,
        date=made.day,
        time_zone="UTC",
        result_format=ResultFormat(form),
    )
    folder = root / "result"
    start = time.perf_counter()
    plan = plans.make_plan(
        lake.snapshot(), request, scratch=root / "tmp", complete_through=made.start + DAY
    )
    planned = time.perf_counter()
    work.run(plan, [], folder, lambda _: None, lambda: False, scratch=root / "tmp")
    end = time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = Result.open(folder)
    assert result.rows == made.rows
    shutil.rmtree(folder)
    return {
        "seconds": end - start,
        "plan_seconds": planned - start,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "rss_mb": usage.ru_maxrss // 1024,
        "bytes": result.size,
        "slices": len(plan.slices),
    }


def bare(root: Path, day: str) -> dict[str, object]:
    """Copy the same columns with DuckDB's fastest settings, unordered, then fsync."""
    os.nice(10)  # as the writing process does: both give way to the same others
    made = DAYS[day]
    lake = Lake.open(str(root / day), create=False)
    source = engine.files_sql([file.path for file in lake.snapshot().day(made.day)])
    columns = ", ".join(f'{column.source} as "{column.name}"' for column in EXPORT_COLUMNS)
    target = root / "bare.csv"
    with duckdb.connect(config={"threads": os.cpu_count() or 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        before = resource.getrusage(resource.RUSAGE_SELF)
        start = time.perf_counter()
        connection.execute(
            f"copy (select {columns} from {source}) to '{target}' (format csv, header true)"
        )
        handle = os.open(target, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
        end = time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    size = target.stat().st_size
    target.unlink()
    return {
        "seconds": end - start,
        "cpu_seconds": usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime,
        "rss_mb": usage.ru_maxrss // 1024,
        "bytes": size,
    }


def run() -> list[Figure]:
    """Take every figure."""
    root = Path(tempfile.mkdtemp(prefix="clickledger-bench-"))
    try:
        start = time.perf_counter()
        builders = [
            subprocess.Popen([sys.executable, "-m", "bench.export", str(root), "build", day])
            for day in DAYS
        ]
        statuses = [builder.wait() for builder in builders]
        assert not any(statuses)
        return _figures(root, time.perf_counter() - start)
    finally:
        shutil.rmtree(root)


def _figures(root: Path, built: float) -> list[Figure]:
    taken: dict[str, dict[str, float]] = {}
    for _ in range(2):
        for name, what in (
            ("bare five", ("bare", "five")),
            ("csv five", ("export", "five", "CSV")),
            ("json five", ("export", "five", "JSON")),
            ("xml five", ("export", "five", "XML")),
        ):
            _better(taken, name, _measure(root, *what))
    taken["csv one"] = _measure(root, "export", "one", "CSV")
    taken["bare open"] = _measure(root, "bare", "open")
    taken["csv open"] = _measure(root, "export", "open", "CSV")
    memory = "peak memory 400 MB"
    bare_seconds = min(taken["bare five"]["seconds"], taken["bare open"]["seconds"])
    found = [
        _figure("closed day, 5 M, CSV", taken["csv five"], taken["bare five"], 1.4, "bare copy"),
        _figure("closed day, 5 M, JSON", taken["json five"], taken["csv five"], 2.0, "our CSV"),
        _figure("closed day, 5 M, XML", taken["xml five"], taken["csv five"], 4.0, "our CSV"),
        _figure("open day, 5 M, CSV", taken["csv open"], taken["bare open"], 4.0, "bare copy"),
        Figure(
            name="5 M against 1 M, CSV",
            value=taken["csv five"]["seconds"] / taken["csv one"]["seconds"],
            unit="x",
            bar="<= 5.5 (linear)",
            met=taken["csv five"]["seconds"] <= 5.5 * taken["csv one"]["seconds"],
            notes={"one": taken["csv one"], "built_seconds": built},
        ),
    ]
    assert bare_seconds
    for name in ("csv one", "csv five", "json five", "xml five", "csv open"):
        rss = taken[name]["rss_mb"]
        found.append(
            Figure(
                name=f"writing process, {name}",
                value=rss,
                unit="MB",
                bar=memory,
                met=rss <= 400,
                notes={"slices": taken[name]["slices"]},
            )
        )
    return found


def _figure(
    name: str, value: dict[str, float], baseline: dict[str, float], bar: float, against: str
) -> Figure:
    ratio = value["seconds"] / baseline["seconds"]
    return Figure(
        name=name,
        value=value["seconds"],
        unit="s",
        bar=f"<= {bar} x {against}",
        met=ratio <= bar,
        baseline=baseline["seconds"],
        baseline_name="s",
        notes={"ours": value, "baseline": baseline},
    )


def _better(taken: dict[str, dict[str, float]], name: str, found: dict[str, float]) -> None:
    if name not in taken or found["seconds"] < taken[name]["seconds"]:
        taken[name] = found


def _measure(root: Path, *what: str) -> dict[str, float]:
    """Take one measurement in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.export", str(root), *what],
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    print(*what, {key: round(value, 2) for key, value in found.items()}, file=sys.stderr)
    return found


def main() -> None:
    """Take one measurement when told which, else all."""
    match sys.argv[1:]:
        case [root, "export", day, form]:
            print(json.dumps(export(Path(root), day, form)))
        case [root, "bare", day]:
            print(json.dumps(bare(Path(root), day)))
        case [root, "build", day]:
            build(Path(root), day)
        case _:
            found = run()
            print(report.as_json(found))
            report.show("Exports", found)


if __name__ == "__main__":
    main()
