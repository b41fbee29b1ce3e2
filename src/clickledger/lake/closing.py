"""Closing a day: its files are rewritten in order, with the unique clicks stored.

In bounded memory, whatever the day's size:

1. One query over the few columns of the unique rule gives, in the final order, each click's
   verdict, and where to cut the day into slices of about one row group.
2. Each row group of the day's files is taken apart into those slices, which wait on disk.
3. Slice by slice, the rows are sorted and written.

The query engine could sort whole rows by itself, but needs more than a gigabyte for five million
of them, and says so only by failing.
"""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from clickledger.clock import DAY, Micros
from clickledger.errors import UnavailableError
from clickledger.lake import unique
from clickledger.lake.engine import connection, files_sql, scratch_folder
from clickledger.lake.files import (
    ROW_GROUP,
    ROWS,
    SORT_COLUMNS,
    SORTED_PREFIX,
    FileWriter,
    Margin,
    SortKey,
    sorted_footer,
)
from clickledger.lake.lease import Lease
from clickledger.lake.ordering import Cutter, Order
from clickledger.lake.rewrite import discard, replace
from clickledger.lake.store import Lake, LakeFile, Snapshot
from clickledger.lake.table import DataFile, Table

_log = structlog.get_logger(__name__)

#: Rows of one file of a closed day.
_FILE_ROWS = 5 * ROW_GROUP
_EPOCH = date(1970, 1, 1)
#: Enough for the window functions over 5 million clicks, with some spilling.
_MEMORY_MB = 400
_STOP_POLL_S = 0.2


class StoppedError(Exception):
    """The work was told to stop; nothing has changed."""


@dataclass(frozen=True, slots=True)
class _Day:
    event_date: date
    files: Sequence[LakeFile]
    day_before: Sequence[LakeFile]

    @property
    def start(self) -> Micros:
        """Midnight, UTC."""
        return (self.event_date - _EPOCH).days * DAY

    @property
    def before(self) -> list[LakeFile]:
        """Files of the day before that reach into the window before midnight."""
        return [file for file in self.day_before if file.max_time >= self.start - unique.WINDOW]

    @property
    def margin_files(self) -> str:
        """Digest of ``before``."""
        names = sorted(str(file.data.path) for file in self.before)
        return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16] if names else ""


class Closer:
    """Closes days; for one thread."""

    def __init__(
        self,
        lake: Lake,
        lease: Lease,
        scratch: Path,
        *,
        stopping: threading.Event | None = None,
        slice_rows: int = ROW_GROUP,
        file_rows: int = _FILE_ROWS,
    ) -> None:
        self._lake = lake
        self._lease = lease
        self._scratch = scratch
        self._stopping = stopping or threading.Event()
        self._slice_rows = slice_rows
        self._file_rows = file_rows
        #: Margins that were counted again and found unchanged, by day.
        self._checked: dict[date, str] = {}

    def close_days(self, closed_before: Micros) -> list[date]:
        """Rewrite each day that needs it and ended before ``closed_before``; return which.

        The caller makes sure that the lake is complete through there. In every version between,
        a stored ``unique_click`` is true unless an unsorted file reaches into the window before.
        """
        done: list[date] = []
        snapshot = self._lake.snapshot()
        # By day, its files, when the sorted ones among them count every click of the day before.
        judged: dict[date, frozenset[str]] = {}
        # Newest first: while a late click waits in an unsorted file, readers judge anew what comes
        # after it. The next day has to count it before that file goes.
        days = sorted({file.event_date for file in snapshot.all_files}, reverse=True)
        for day in (_day(snapshot, event_date) for event_date in days):
            if self._stopping.is_set():
                break
            if not self._is_open(day):
                judged[day.event_date] = _paths(day.files)
                continue
            after = day.event_date + timedelta(days=1)
            written: frozenset[str] | None = None
            if day.start + DAY <= closed_before and (after not in days or after in judged):
                written = self._close(day, judged.get(after, frozenset()))
            if written is not None:
                done.append(day.event_date)
                judged[day.event_date] = written
            elif not any(file.sorted for file in day.files):
                judged[day.event_date] = _paths(day.files)
        return sorted(done)

    def _is_open(self, day: _Day) -> bool:
        orders = [file.order for file in day.files]
        if any(order is None for order in orders):
            return True
        places = [(order.first, order.last) for order in orders if order]
        if any(after[0] < before[1] for before, after in pairwise(places)):
            return True
        margins = {order.margin for order in orders if order}
        if len(margins) != 1:
            return True
        (margin,) = margins
        if day.margin_files in (margin.files, self._checked.get(day.event_date)):
            return False
        if self._margin_rows(day) != margin.rows:
            return True
        self._checked[day.event_date] = day.margin_files
        return False

    def _margin_rows(self, day: _Day) -> int:
        """Count the clicks of the day before that can make this day's clicks repeats."""
        if not day.before:
            return 0
        with connection(self._scratch) as engine:
            row = engine.execute(
                f"SELECT count(*) FROM {files_sql([file.path for file in day.before])}"
                " WHERE epoch_us(event_time) >= ?",
                [day.start - unique.WINDOW],
            ).fetchone()
        return int(row[0]) if row else 0

    def _close(self, day: _Day, judged_after: frozenset[str]) -> frozenset[str] | None:
        """Rewrite a day; return the paths of its files, None: nothing has changed.

        ``judged_after``: files of the next day; the sorted ones count all clicks of this one.
        """
        table = self._lake.clicks()
        margin = Margin(self._margin_rows(day), day.margin_files)
        try:
            order = self._judge(day)
            _expect(order.cuts[-1], sum(file.rows for file in day.files), day)
            with scratch_folder(self._scratch, "close") as folder:
                self._take_apart(day, order, folder)
                written = self._write(day, order, folder, table, margin)
        except StoppedError:
            return None
        finally:
            pa.default_memory_pool().release_unused()
        replaced = replace(
            table,
            self._lease,
            old=[file.data for file in day.files],
            new=written,
            why=f"close {day.event_date}",
            # Nearly a rewrite, but `unique_click` was null before.
            data_change=True,
            # What another closer sorted meanwhile does not count this day, or is not counted in it.
            still=lambda paths: _sorted_beside(day, paths) <= _paths(day.day_before) | judged_after,
        )
        _log.info("day_closed", day=str(day.event_date), clicks=order.cuts[-1], done=replaced)
        return frozenset(file.path for file in written) if replaced else None

    def _judge(self, day: _Day) -> Order:
        """Run the unique rule and find where to cut."""
        paths = [file.path for file in (*day.before, *day.files)]
        columns = ", ".join(unique.COLUMNS)
        source = (
            f"(SELECT {columns} FROM {files_sql(paths)}"
            f" WHERE epoch_us(event_time) >= {day.start - unique.WINDOW})"
        )
        query = (
            f"SELECT program_id, epoch_us(event_time) - {day.start} AS time_of_day, unique_click"
            f" FROM ({unique.unique_sql(source, day.start)}) ORDER BY {', '.join(SORT_COLUMNS)}"
        )
        cutter = Cutter(self._slice_rows)
        with (
            connection(self._scratch, memory_mb=_MEMORY_MB) as engine,
            self._interrupting(engine),
        ):
            for batch in engine.sql(query).to_arrow_reader(ROW_GROUP):
                cutter.add(batch)
        return cutter.order()

    @contextmanager
    def _interrupting(self, engine: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Interrupt the engine within the block when the work is told to stop."""
        finished = threading.Event()

        def watch() -> None:
            while not finished.wait(_STOP_POLL_S):
                if self._stopping.is_set():
                    engine.interrupt()

        watcher = threading.Thread(target=watch, name="close-day-watch", daemon=True)
        watcher.start()
        try:
            yield
        except (duckdb.Error, OSError):
            self._go_on()  # raises StoppedError when that is why
            raise
        finally:
            finished.set()
            watcher.join()

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise StoppedError

    def _take_apart(self, day: _Day, order: Order, folder: Path) -> None:
        """Write each row into the file of its slice, in no order."""
        for file in day.files:
            with pq.ParquetFile(file.path) as source:
                for row_group in range(source.num_row_groups):
                    self._go_on()
                    rows = source.read_row_group(row_group).cast(ROWS)
                    slices = order.slices(rows, day.start)
                    by_slice = np.argsort(slices, kind="stable")
                    ordered = rows.take(pa.array(by_slice))
                    numbers, firsts = np.unique(slices[by_slice], return_index=True)
                    ends = [*firsts[1:].tolist(), len(rows)]
                    for number, first, end in zip(
                        numbers.tolist(), firsts.tolist(), ends, strict=True
                    ):
                        part = ordered.slice(first, end - first).combine_chunks()
                        _append(folder / str(number), part)

    def _write(
        self, day: _Day, order: Order, folder: Path, table: Table, margin: Margin
    ) -> list[DataFile]:
        """Sort the slices one after the other into files."""
        written: list[DataFile] = []
        writer: FileWriter | None = None
        first = last = SortKey(0, 0, "", 0, 0)
        file_start = 0
        try:
            for number, (start, end) in enumerate(pairwise(order.cuts)):
                self._go_on()
                rows = _read(folder / str(number))
                _expect(len(rows), end - start, day)
                rows = rows.sort_by([(name, "ascending") for name in SORT_COLUMNS])
                rows = rows.set_column(
                    ROWS.get_field_index("unique_click"),
                    ROWS.field("unique_click"),
                    pa.array(order.verdicts[start:end]),
                )
                if writer is None:
                    first, file_start = _key(rows, 0), start
                    writer = FileWriter(
                        table.path,
                        ROWS,
                        statistics=table.statistics,
                        event_date=day.event_date,
                        prefix=SORTED_PREFIX,
                        expected_rows=order.cuts[-1] - start,
                    )
                writer.write(rows)
                last = _key(rows, len(rows) - 1)
                if end - file_start >= self._file_rows or end == order.cuts[-1]:
                    written.append(writer.close(sorted_footer(first, last, margin)))
                    writer = None
        except BaseException:
            if writer is not None:
                writer.abandon()
            discard(table, written)
            raise
        return written


def _expect(rows: int, expected: int, day: _Day) -> None:
    if rows != expected:
        raise UnavailableError(f"{day.event_date}: {rows} rows where {expected} were expected")


def _day(snapshot: Snapshot, event_date: date) -> _Day:
    before = snapshot.day(event_date - timedelta(days=1))
    return _Day(event_date, snapshot.day(event_date), before)


def _paths(files: Iterable[LakeFile]) -> frozenset[str]:
    return frozenset(file.data.path for file in files)


def _sorted_beside(day: _Day, paths: Iterable[str]) -> set[str]:
    """Choose the sorted files of the days before and after ``day``."""
    folders = {f"event_date={day.event_date + timedelta(days=step)}" for step in (-1, 1)}
    names = ((path, path.rpartition("/")) for path in paths)
    return {
        path
        for path, (folder, _, name) in names
        if folder in folders and name.startswith(SORTED_PREFIX)
    }


def _append(path: Path, rows: pa.Table) -> None:
    """Append rows as one stream of their own: a day has more slices than a process open files."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with path.open("ab") as file, pa.ipc.new_stream(file, rows.schema, options=options) as stream:
        stream.write_table(rows)


def _read(path: Path) -> pa.Table:
    parts = []
    size = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < size:
            with pa.ipc.open_stream(file) as stream:
                parts.append(stream.read_all())
    return pa.concat_tables(parts)


def _key(rows: pa.Table, row: int) -> SortKey:
    program_id, _, spool_id, sequence, position = (rows[name][row].as_py() for name in SORT_COLUMNS)
    return SortKey(program_id, rows["event_time"][row].value, spool_id, sequence, position)
