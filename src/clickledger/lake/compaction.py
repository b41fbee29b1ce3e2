"""Compaction: many small files of one day become one, in short steps.

Rows stay as they are and in the order of their files; sorted files are left alone. A step reads
a bounded number of bytes without the lease and holds it only for its commit.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date

import pyarrow.parquet as pq

from clickledger.lake.files import ROWS, SORTED_PREFIX, FileWriter
from clickledger.lake.lease import Lease
from clickledger.lake.rewrite import replace
from clickledger.lake.schema import DEAD_LETTERS
from clickledger.lake.table import DataFile, Table

#: A file of this size is left as it is: about 200,000 clicks.
FULL_BYTES = 32 * 1024 * 1024
#: Files are merged with files of their own size class, each eight times the one below: so a click
#: is rewritten once per class and not once per compaction.
_SMALLEST_CLASS = 256 * 1024
_CLASS_FACTOR = 8
#: Files of one class that are left alone: one less would make a step for every few loads.
_TOLERATED = 7
#: Files of one step: opening each costs milliseconds.
_STEP_FILES = 256


def plan(files: Iterable[DataFile], *, thorough: bool = False) -> list[tuple[DataFile, ...]]:
    """Choose which files become one, oldest first; each group is one short step.

    ``thorough``: merge whatever is small, also where it is few.
    """
    classes: defaultdict[tuple[date | None, int], list[DataFile]] = defaultdict(list)
    for file in files:
        name = file.path.rpartition("/")[2]
        if file.size < FULL_BYTES and not name.startswith(SORTED_PREFIX):
            classes[file.event_date, 0 if thorough else _size_class(file.size)].append(file)
    groups: list[tuple[DataFile, ...]] = []
    for members in classes.values():
        if len(members) > (1 if thorough else _TOLERATED):
            groups += _steps(sorted(members, key=_age))
    groups.sort(key=lambda group: _age(group[0]))
    return groups


def compact(
    table: Table,
    lease: Lease,
    *,
    thorough: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> int:
    """Merge small files of ``clicks`` or ``dead_letters``; return how many went."""
    table.refresh()
    gone = 0
    for group in plan(table.files(), thorough=thorough):
        if stopping():
            break
        merged = _merge(table, group)
        if replace(table, lease, old=group, new=[merged], why="compact", data_change=False):
            gone += len(group)
    return gone


def _merge(table: Table, group: Sequence[DataFile]) -> DataFile:
    day = group[0].event_date
    schema = ROWS if day else DEAD_LETTERS
    writer = FileWriter(
        table.path,
        schema,
        statistics=table.statistics,
        event_date=day,
        expected_rows=sum(file.rows for file in group),
    )
    try:
        for file in group:
            with pq.ParquetFile(table.path / file.path) as source:
                for row_group in range(source.num_row_groups):
                    writer.write(source.read_row_group(row_group).cast(schema))
        return writer.close()
    except BaseException:
        writer.abandon()
        raise


def _steps(files: Sequence[DataFile]) -> list[tuple[DataFile, ...]]:
    steps: list[tuple[DataFile, ...]] = []
    step: list[DataFile] = []
    size = 0
    for file in files:
        if step and (len(step) >= _STEP_FILES or size + file.size > FULL_BYTES):
            steps.append(tuple(step))
            step, size = [], 0
        step.append(file)
        size += file.size
    steps.append(tuple(step))
    return [step for step in steps if len(step) > 1]


def _size_class(size: int) -> int:
    found = 0
    while size >= _SMALLEST_CLASS:
        size //= _CLASS_FACTOR
        found += 1
    return found


def _age(file: DataFile) -> int:
    return file.least.get("event_time", file.least.get("recorded_time", 0))
