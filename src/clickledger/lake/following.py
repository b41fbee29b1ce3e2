"""Following the lake: what each load added to ``clicks``, from the table's own log.

An entry of the log never changes, and the files it names stay for the hours that old versions
stay readable: so each click is found once, in the entry of its load, whatever is compacted or
sorted meanwhile. Reading the next entry costs one look for a file; the table is not opened.
"""

import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds

from clickledger import durable
from clickledger.clock import Micros, to_datetime, to_micros
from clickledger.errors import GoneError, UnavailableError
from clickledger.lake.files import ROWS
from clickledger.lake.store import Lake

_LOG = "_delta_log"
_LAST_CHECKPOINT = "_last_checkpoint"
_BATCH = ("spool_id", "sequence")
_ROW_KEY = (*_BATCH, "position")
#: Rows of a file that are decoded at a time.
_SCAN_ROWS = 8192
#: Clicks that are held in memory, about: some 20 MB.
_READ_ROWS = 20_000
#: Ranges of batches that are counted to find them, when there are more: some 10 MB.
_RANGES = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """Clicks that came into the lake, up to a version."""

    version: int
    #: Absolute; in no order.
    files: tuple[Path, ...] = ()
    #: Clicks in these files.
    rows: int = 0
    #: By spool: number of the last batch loaded, and when the latest click in the files was
    #: received; 0: there is none.
    spools: Mapping[str, tuple[int, Micros]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Batches of one spool that follow each other, both ends included."""

    spool_id: str
    first: int
    last: int


class Log:
    """The log of ``clicks`` as a follower reads it; for one thread."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._folder = lake.clicks_path / _LOG

    def after(self, version: int) -> Addition | None:
        """Read what the entry behind ``version`` added: the clicks of one load, or none.

        None: that version is the newest.

        Raises:
            GoneError: the entry is not kept any more, or the lake has been put back to an
                earlier version.
        """
        # Looked at first: an entry that it covers was there, and is not kept any more if it is not.
        checkpoint = self._checkpoint()
        try:
            text = self._path(version + 1).read_bytes()
        except FileNotFoundError:
            if checkpoint == version or (checkpoint < version and self._path(version).exists()):
                return None
            raise GoneError(f"the lake's log has no entry after version {version}") from None
        return self._entry(version + 1, text)

    def settle(self, version: int) -> None:
        """Make an entry durable: before something is told that must not be told again.

        Its writer may have been killed before it did so itself.
        """
        handle = os.open(self._path(version), os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        durable.sync_folder(self._folder)

    def present(self, received_from: Micros) -> Addition:
        """Look at the newest version's files with clicks received at that instant or later.

        It is durable when this returns. ``spools`` are those with such clicks.
        """
        table = self._lake.clicks()
        table.settle()
        files = [
            file
            for file in table.files()
            if not (latest := file.most.get("received_time")) or latest >= received_from
        ]
        paths = tuple(self._lake.clicks_path / file.path for file in files)
        spools: dict[str, tuple[int, Micros]] = {}
        for rows in _scan(paths, ("spool_id", "received_time"), _received_from(received_from)):
            found = rows.group_by("spool_id").aggregate([("received_time", "max")])
            for spool_id, received in zip(
                found["spool_id"].to_pylist(),
                found["received_time_max"].cast(pa.int64()).to_pylist(),
                strict=True,
            ):
                before = spools.get(spool_id, (0, 0))[1]
                spools[spool_id] = table.loaded(spool_id), max(received, before)
        return Addition(
            version=table.version,
            files=paths,
            rows=sum(file.rows for file in files),
            spools=spools,
        )

    def _path(self, version: int) -> Path:
        return self._folder / f"{version:020d}.json"

    def _checkpoint(self) -> int:
        try:
            return int(json.loads((self._folder / _LAST_CHECKPOINT).read_bytes())["version"])
        except FileNotFoundError:
            return -1
        except (ValueError, KeyError, TypeError) as error:
            raise UnavailableError(f"{self._folder / _LAST_CHECKPOINT}: {error}") from error

    def _entry(self, version: int, text: bytes) -> Addition:
        try:
            actions = [json.loads(line) for line in text.splitlines()]
        except ValueError as error:
            raise UnavailableError(f"{self._path(version)}: {error}") from error
        loaded = [action["txn"] for action in actions if "txn" in action]
        if not loaded:  # compaction, a sorted day, an engine that is not ours
            return Addition(version=version)
        added = [action["add"] for action in actions if "add" in action]
        statistics = [json.loads(add["stats"]) for add in added]
        latest = max((_instant(found["maxValues"]) for found in statistics), default=0)
        return Addition(
            version=version,
            files=tuple(self._lake.clicks_path / unquote(add["path"]) for add in added),
            rows=sum(found["numRecords"] for found in statistics),
            spools={one["appId"]: (int(one["version"]), latest) for one in loaded},
        )


def pieces(
    addition: Addition,
    columns: Collection[str],
    *,
    received_from: Micros,
    programs: Collection[int],
    limit: int,
    read_rows: int = _READ_ROWS,
    ranges: int = _RANGES,
) -> Iterator[pa.Table]:
    """Read clicks of these programs, received from an instant on, in the order of the row key.

    In pieces of about ``limit``; a batch is never cut. About ``read_rows`` are in memory, which
    takes a look at everything to find at most ``ranges`` ranges of batches. The row key and
    ``received_time`` are there whatever ``columns`` names; instants are whole numbers, UTC
    microseconds.

    Raises:
        GoneError: a file is not kept any more.
        UnavailableError: the lake cannot be read now.
    """
    condition = _received_from(received_from) & ds.field("program_id").isin(
        pa.array(sorted(programs), pa.int64())
    )
    if addition.rows <= read_rows:
        yield from _split(_read(addition.files, columns, condition), limit)
        return
    for stretches in _cut(addition.files, condition, read_rows, ranges):
        within = ds.scalar(False)
        for one in stretches:
            within |= (
                (ds.field("spool_id") == one.spool_id)
                & (ds.field("sequence") >= one.first)
                & (ds.field("sequence") <= one.last)
            )
        yield from _split(_read(addition.files, columns, condition & within), limit)


def _cut(
    files: Sequence[Path],
    condition: Any,  # noqa: ANN401 - pyarrow ships no types
    limit: int,
    ranges: int,
) -> list[list[_Stretch]]:
    """Find which batches to read together, in order."""
    width = 1
    counts: Counter[tuple[str, int]] = Counter()
    for rows in _scan(files, _BATCH, condition):
        found = rows.group_by(list(_BATCH)).aggregate([([], "count_all")])
        names = (*_BATCH, "count_all")
        for spool_id, sequence, count in zip(
            *(found[name].to_pylist() for name in names), strict=True
        ):
            counts[spool_id, sequence // width] += count
        while len(counts) > max(ranges, len({spool_id for spool_id, _ in counts})):
            width *= 2
            wider: Counter[tuple[str, int]] = Counter()
            for (spool_id, number), count in counts.items():
                wider[spool_id, number // 2] += count
            counts = wider
    together: list[list[_Stretch]] = []
    room = 0
    for (spool_id, number), count in sorted(counts.items()):
        if count > room:
            together.append([])
            room = limit
        room -= count
        last = (number + 1) * width - 1
        if together[-1] and together[-1][-1].spool_id == spool_id:
            together[-1][-1] = replace(together[-1][-1], last=last)
        else:
            together[-1].append(_Stretch(spool_id, number * width, last))
    return together


def _split(rows: pa.Table, limit: int) -> Iterator[pa.Table]:
    """Cut rows in the order of the row key into pieces of at least ``limit``, but the last."""
    start = 0
    batches = zip(*(rows[name].to_pylist() for name in _BATCH), strict=True)
    for end, (batch, following) in enumerate(pairwise([*batches, None]), 1):
        if batch != following and (end - start >= limit or end == len(rows)):
            yield rows.slice(start, end - start)
            start = end


def _read(
    files: Sequence[Path],
    columns: Collection[str],
    condition: Any,  # noqa: ANN401 - pyarrow ships no types
) -> pa.Table:
    names = list(dict.fromkeys((*_ROW_KEY, "received_time", *columns)))
    schema = pa.schema([ROWS.field(name) for name in names])
    found = pa.concat_tables([schema.empty_table(), *_scan(files, names, condition)])
    found = found.sort_by([(name, "ascending") for name in _ROW_KEY])
    for number, column in enumerate(schema):
        if pa.types.is_timestamp(column.type):
            found = found.set_column(number, column.name, found[column.name].cast(pa.int64()))
    return found


def _scan(
    files: Sequence[Path],
    columns: Sequence[str],
    condition: Any,  # noqa: ANN401 - pyarrow ships no types
) -> Iterator[pa.Table]:
    if not files:
        return
    try:
        source = ds.dataset([str(file) for file in files], schema=ROWS, format="parquet")
        for batch in source.to_batches(
            columns=list(columns),
            filter=condition,
            batch_size=_SCAN_ROWS,
            batch_readahead=1,
            fragment_readahead=1,
            use_threads=False,
        ):
            if len(batch):
                yield pa.Table.from_batches([batch])
    except FileNotFoundError as error:
        raise GoneError(f"a file of the lake is not kept any more: {error}") from error
    except (OSError, pa.ArrowException) as error:
        raise UnavailableError(f"the lake cannot be read: {error}") from error


def _received_from(instant: Micros) -> Any:  # noqa: ANN401 - pyarrow ships no types
    column = ROWS.field("received_time")
    return ds.field(column.name) >= pa.scalar(to_datetime(instant), column.type)


def _instant(values: Mapping[str, Any]) -> Micros:
    return to_micros(datetime.fromisoformat(values["received_time"]))
