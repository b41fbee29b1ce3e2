"""The lake: two Delta tables in a folder, and what a reader sees of one version."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import unquote, urlsplit

from clickledger.clock import Micros
from clickledger.errors import InvalidInputError
from clickledger.lake.files import Sorted, read_sorted
from clickledger.lake.schema import CLICKS, DEAD_LETTERS, STATISTICS_COLUMNS
from clickledger.lake.table import DataFile, Table

_DEAD_LETTER_STATISTICS = ("sequence", "position", "recorded_time")
#: Snapshots of earlier versions kept at hand: a job reads one version slice by slice.
_SNAPSHOTS_KEPT = 4
#: Footers kept at hand; a year of days with 30 files each.
_FOOTERS_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeFile:
    """One Parquet file of ``clicks`` as a reader sees it."""

    #: Absolute; DuckDB reads it as it is.
    path: Path
    #: As the table's log has it.
    data: DataFile
    #: What a closed day's file says about its order; None: nothing is known.
    order: Sorted | None

    @property
    def size(self) -> int:
        """Bytes."""
        return self.data.size

    @property
    def rows(self) -> int:
        """Clicks."""
        return self.data.rows

    @property
    def event_date(self) -> date:
        """UTC date of all its clicks."""
        if self.data.event_date is None:
            raise ValueError("a file of clicks lies in a partition")
        return self.data.event_date

    @property
    def min_time(self) -> Micros:
        """Earliest event time, exact."""
        return self.data.least["event_time"]

    @property
    def max_time(self) -> Micros:
        """Latest event time, exact."""
        return self.data.most["event_time"]

    @property
    def min_program(self) -> int:
        """Smallest program id."""
        return self.data.least["program_id"]

    @property
    def max_program(self) -> int:
        """Largest program id."""
        return self.data.most["program_id"]

    @property
    def sorted(self) -> bool:
        """Whether its rows are in the order of closed days, with ``unique_click`` stored."""
        return self.order is not None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of ``clicks`` at one version; they never change."""

    version: int
    #: In the order of time, closed days in the order of their rows.
    all_files: tuple[LakeFile, ...]

    def files(self, first: Micros | None = None, end: Micros | None = None) -> list[LakeFile]:
        """List the files that may hold clicks with ``first <= event_time < end``."""
        return [
            file
            for file in self.all_files
            if (first is None or file.max_time >= first) and (end is None or file.min_time < end)
        ]

    def day(self, event_date: date) -> list[LakeFile]:
        """List the files of one UTC day."""
        return [file for file in self.all_files if file.event_date == event_date]


class Lake:
    """The tables ``clicks`` and ``dead_letters``. Safe for threads; tables are opened per use."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._reading: Table | None = None
        self._snapshots: OrderedDict[int, Snapshot] = OrderedDict()
        self._orders: dict[str, Sorted | None] = {}

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> "Lake":
        """Open the lake in a folder (a path or a ``file:`` URL), and make it when it is not there.

        Raises:
            InvalidInputError: ``url`` is not a folder of this machine.
            NotFoundError: with ``create`` False, there is no lake.
        """
        lake = cls(_folder(url))
        if create:
            Table.create(
                lake.clicks_path,
                CLICKS,
                partition_by=("event_date",),
                statistics=STATISTICS_COLUMNS,
            )
            Table.create(
                lake.dead_letters_path,
                DEAD_LETTERS,
                partition_by=(),
                statistics=_DEAD_LETTER_STATISTICS,
            )
        else:
            Table(lake.clicks_path)
        return lake

    @property
    def clicks_path(self) -> Path:
        """Folder of the table ``clicks``."""
        return self.root / "clicks"

    @property
    def dead_letters_path(self) -> Path:
        """Folder of the table ``dead_letters``."""
        return self.root / "dead_letters"

    def clicks(self) -> Table:
        """Open the table ``clicks`` for one thread."""
        return Table(self.clicks_path)

    def dead_letters(self) -> Table:
        """Open the table ``dead_letters`` for one thread."""
        return Table(self.dead_letters_path)

    def version(self) -> int:
        """Return the newest version of ``clicks``."""
        with self._lock:
            return self._newest().version

    def snapshot(self, version: int | None = None) -> Snapshot:
        """Return the files of ``clicks`` at ``version``, or at the newest one.

        Raises:
            GoneError: that version is not kept any more.
        """
        with self._lock:
            if version is not None and version in self._snapshots:
                self._snapshots.move_to_end(version)
                return self._snapshots[version]
            table = self._newest()
            if version is not None and version != table.version:
                table = Table(self.clicks_path, version)
            elif table.version in self._snapshots:
                self._snapshots.move_to_end(table.version)
                return self._snapshots[table.version]
            snapshot = Snapshot(table.version, self._files(table.files()))
            self._snapshots[snapshot.version] = snapshot
            while len(self._snapshots) > _SNAPSHOTS_KEPT:
                self._snapshots.popitem(last=False)
            return snapshot

    def _newest(self) -> Table:
        if self._reading is None:
            self._reading = Table(self.clicks_path)
        else:
            self._reading.refresh()
        return self._reading

    def _files(self, files: Sequence[DataFile]) -> tuple[LakeFile, ...]:
        found = [
            LakeFile(path=self.clicks_path / file.path, data=file, order=self._order(file.path))
            for file in files
        ]
        found.sort(key=_place)
        return tuple(found)

    def _order(self, path: str) -> Sorted | None:
        if path not in self._orders:
            if len(self._orders) >= _FOOTERS_KEPT:
                self._orders.clear()
            try:
                self._orders[path] = read_sorted(self.clicks_path / path)
            except FileNotFoundError:  # an old version, vacuumed meanwhile: reading it will tell
                return None
        return self._orders[path]


def _place(file: LakeFile) -> tuple[date, int, Micros, str]:
    first = file.order.first if file.order else None
    if first is None:
        return file.event_date, -1, file.min_time, str(file.path)
    return file.event_date, first.program_id, first.event_time, first.spool_id


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme:
        raise InvalidInputError.of(
            "lake_url", f"{parts.scheme}: is not supported yet; give a folder of this machine"
        )
    return Path(url)
