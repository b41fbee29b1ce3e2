"""Planning an export: which files of one lake version to read, and how the day is cut."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import duckdb

from clickledger.clock import Micros
from clickledger.errors import GoneError
from clickledger.exports import queries, rules
from clickledger.exports.model import ClickExportRequest, Column, Plan
from clickledger.lake import engine, schema, unique
from clickledger.programs import days

_MEMORY_MB = 256

#: Clicks of a slice that has to be sorted: their rows, all columns wide, are held in memory.
_SORT_ROWS = 60_000


class LakeFile(Protocol):
    """A data file of the lake."""

    @property
    def path(self) -> Path:
        """Absolute; DuckDB reads it as it is."""

    @property
    def sorted(self) -> bool:
        """Written by closing a day: in order, and ``unique_click`` is stored."""


class Snapshot(Protocol):
    """One version of the lake."""

    @property
    def version(self) -> int:
        """Its number."""

    def files(self, first: Micros, end: Micros) -> Sequence[LakeFile]:
        """Name the files that may hold clicks with an event time in ``[first, end)``."""


def make_plan(
    snapshot: Snapshot,
    request: ClickExportRequest,
    *,
    scratch: Path,
    complete_through: Micros | None,
    hide_sub_ids: bool = False,
    formula_guard: bool = False,
    slice_rows: int = 250_000,
    replaces: int | None = None,
) -> Plan:
    """Plan an export over one version of the lake; reads times and program ids only.

    ``replaces``: the version that an earlier plan of the same run read and that is gone.

    Raises:
        GoneError: files of this version have been removed.
        InvalidInputError: there is no such zone or column.
    """
    bounds = days.day_bounds(request.date, request.time_zone)
    files = snapshot.files(bounds.start - unique.WINDOW, bounds.end)
    paths = tuple(str(file.path) for file in files)
    with engine.connection(scratch, memory_mb=_MEMORY_MB, threads=2) as connection:
        cutter = rules.Cutter(
            _Counter(connection, paths, request),
            [file.sorted for file in files],
            slice_rows=slice_rows,
            sort_rows=min(slice_rows, _SORT_ROWS),
        )
        try:
            slices = tuple(cutter.cut(bounds))
        except duckdb.IOException:
            check_files(paths, snapshot.version)
            raise
    return Plan(
        request=request,
        lake_version=snapshot.version,
        start=bounds.start,
        end=bounds.end,
        complete_through=complete_through,
        columns=columns(request.columns),
        hide_sub_ids=hide_sub_ids,
        formula_guard=formula_guard,
        files=paths,
        slices=slices,
        warnings=rules.warnings(bounds, complete_through, replaces),
    )


def columns(extra: Sequence[str] = ()) -> tuple[Column, ...]:
    """Return the columns of a file: the 42, then the extra ones that are named.

    Raises:
        InvalidInputError: there is no such extra column.
    """
    return rules.resolve_columns(
        extra,
        [Column(name=column.name, source=column.source) for column in schema.EXPORT_COLUMNS],
        [Column(name=column.name, source=column.source) for column in schema.EXTRA_COLUMNS],
    )


def check_files(paths: Sequence[str], version: int) -> None:
    """Raise GoneError if files that a plan reads have been removed."""
    gone = sum(not Path(path).exists() for path in paths)
    if gone:
        raise GoneError(f"{gone} of {len(paths)} files of lake version {version} were removed")


class _Counter:
    """Counts clicks by file and stretch of time."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        paths: Sequence[str],
        request: ClickExportRequest,
    ) -> None:
        self._connection = connection
        self._paths = paths
        self._request = request
        self._positions = {path: position for position, path in enumerate(paths)}

    def __call__(self, start: Micros, end: Micros, step: Micros) -> list[rules.Count]:
        if not self._paths or start == end:
            return []
        found = self._connection.execute(
            queries.counts([Path(path) for path in self._paths], self._request, start, end, step)
        )
        return [
            rules.Count(
                file=self._positions[path],
                start=start + stretch * step,
                rows=clicks,
                wanted=wanted,
                kept=kept,
                first=first,
                last=last,
            )
            for path, stretch, clicks, wanted, kept, first, last in found.fetchall()
        ]
