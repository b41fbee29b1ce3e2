"""Bytes per click in the lake, column by column, as loaded and after the day is closed."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table as Shown

from bench.clicks import MadeUpNames, made_up
from bench.report import Figure, as_json, show
from clickledger.clock import DAY, SteadyClock, wall_clock
from clickledger.config import DataFolder, Settings
from clickledger.lake.closing import Closer
from clickledger.lake.lease import Lease
from clickledger.lake.loader import Loader
from clickledger.lake.store import Lake, LakeFile
from clickledger.metrics import Metrics
from clickledger.spool.reader import Spools
from clickledger.spool.receipts import Receipts
from clickledger.spool.writer import Writer

_CLICKS = 300_000
_BATCH = 64
_SETTINGS = Settings()


def run() -> list[Figure]:
    """Measure with 300,000 clicks, in about half a minute; print the bytes of each column."""
    with tempfile.TemporaryDirectory(prefix="clickledger-bench-") as name:
        folder = DataFolder(Path(name))
        folder.spool.mkdir()
        lake = Lake.open(str(folder.lake))
        lease = Lease(folder.locks / "lake")
        _load(folder, lake, lease)
        loaded = lake.snapshot().all_files
        loaded_columns = _columns(loaded)
        begin = time.perf_counter()
        assert Closer(lake, lease, folder.tmp).close_days(wall_clock())
        seconds = time.perf_counter() - begin
        files = lake.snapshot().all_files
        columns = _columns(files)
        baseline = _with_defaults(files, folder.root / "defaults.parquet")
    _show_columns(columns, loaded_columns)
    closed = _figure("lake, closed day", files, baseline, columns, closed_per_s=_CLICKS / seconds)
    return [closed, _figure("lake, as loaded", loaded, baseline, loaded_columns)]


def _figure(
    name: str, files: Iterable[LakeFile], baseline: int, columns: Counter[str], **notes: object
) -> Figure:
    size = sum(file.size for file in files) / _CLICKS
    return Figure(
        name=name,
        value=size,
        unit="bytes/click",
        bar="<= 230",
        met=size <= 230,
        baseline=baseline / _CLICKS,
        baseline_name="Parquet with the library's defaults",
        notes={
            **notes,
            "clicks": _CLICKS,
            "bytes_per_column": {
                column: round(found / _CLICKS, 2) for column, found in columns.most_common()
            },
        },
    )


def _with_defaults(files: Iterable[LakeFile], target: Path) -> int:
    rows = pa.concat_tables([pq.read_table(file.path, partitioning=None) for file in files])
    pq.write_table(rows, target)
    return target.stat().st_size


def _show_columns(closed: Counter[str], loaded: Counter[str]) -> None:
    table = Shown("column", "bytes per click, closed", "as loaded", title="Bytes per column")
    for column, size in closed.most_common():
        if size >= _CLICKS / 100:
            table.add_row(column, f"{size / _CLICKS:.2f}", f"{loaded[column] / _CLICKS:.2f}")
    Console(width=100).print(table)


def _load(folder: DataFolder, lake: Lake, lease: Lease) -> None:
    writer = Writer.open(
        folder.spool,
        segment_bytes=_SETTINGS.spool_segment_bytes,
        segment_age_s=_SETTINGS.spool_segment_age_s,
        clock=SteadyClock(),
    )
    noon_yesterday = wall_clock() // DAY * DAY - DAY // 2
    clicks = list(made_up(_CLICKS, start=noon_yesterday, spacing=40_000))
    for start in range(0, _CLICKS, _BATCH):
        batch = clicks[start : start + _BATCH]
        writer.append(batch, batch[-1].received)
    writer.close()
    with Spools(folder.spool) as spools, Receipts(folder.spool / "receipts.db") as receipts:
        loader = Loader(
            lake=lake,
            spools=spools,
            receipts=receipts,
            lease=lease,
            mark=folder.watermark,
            names=MadeUpNames,
            visitor_key=b"bench" * 6,
            batch_clicks=_SETTINGS.load_batch_clicks,
            metrics=Metrics(CollectorRegistry()),
        )
        loaded = 0
        while loaded < _CLICKS:
            loaded += loader.load_once().clicks


def _columns(files: Iterable[LakeFile]) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for file in files:
        metadata = pq.read_metadata(file.path)
        for row_group in range(metadata.num_row_groups):
            for index in range(metadata.num_columns):
                column = metadata.row_group(row_group).column(index)
                name = column.path_in_schema.partition(".")[0]
                sizes[name] += column.total_compressed_size
        sizes["(footer and filters)"] += file.size
    sizes["(footer and filters)"] -= sum(
        size for name, size in sizes.items() if name != "(footer and filters)"
    )
    return sizes


if __name__ == "__main__":
    found = run()
    show("Lake size", found)
    print(as_json(found))
