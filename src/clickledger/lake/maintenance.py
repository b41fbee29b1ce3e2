"""Upkeep of the lake beside its use: compaction, closed days, old files.

Everything here may run at any time, beside the loader, exports and another upkeep.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import structlog

from clickledger.clock import Micros
from clickledger.errors import GoneError
from clickledger.lake import compaction
from clickledger.lake.closing import Closer
from clickledger.lake.lease import Lease
from clickledger.lake.store import Lake
from clickledger.lake.table import Table

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """The upkeep of one lake."""

    lake: Lake
    lease: Lease
    #: Where work on a closed day waits on disk.
    scratch: Path
    #: Set: stop soon, at a place where nothing is lost.
    stopping: threading.Event

    def compact(self, *, thorough: bool = False) -> int:
        """Merge small files of both tables; return how many went. ``thorough``: all there are."""
        return sum(
            compaction.compact(table, self.lease, thorough=thorough, stopping=self.stopping.is_set)
            for table in (self.lake.clicks(), self.lake.dead_letters())
        )

    def close_days(self, closed_before: Micros) -> list[date]:
        """Sort each day that ended before ``closed_before`` and is not, or not any more, sorted."""
        closer = Closer(self.lake, self.lease, self.scratch, stopping=self.stopping)
        return closer.close_days(closed_before)

    def vacuum(self, retention_hours: int, pins: Sequence[int] = ()) -> int:
        """Remove files that were given up so many hours ago, but not those of pinned versions.

        Returns how many went. Also forgets the log of versions that are not kept any more; it is
        the log that makes a version readable, so the table's own rule follows ``retention_hours``.
        """
        return sum(
            self._vacuum(table, retention_hours, kept)
            for table, kept in (
                (self.lake.clicks(), self._openable(pins)),
                (self.lake.dead_letters(), ()),
            )
        )

    def _vacuum(self, table: Table, retention_hours: int, kept: Sequence[int]) -> int:
        removed = 0
        if self.stopping.is_set():
            return removed
        if table.vacuum(retention_hours, kept, dry_run=True) and not self.stopping.is_set():
            with self.lease.held():
                removed = len(table.vacuum(retention_hours, kept))
        if not self.stopping.is_set():
            with self.lease.held():
                table.keep_versions(retention_hours)
        if not self.stopping.is_set():
            table.forget_old_versions()
        return removed

    def _openable(self, pins: Sequence[int]) -> list[int]:
        """Leave out versions that are gone already: the library refuses to vacuum around them."""
        kept = []
        for version in sorted(set(pins)):
            if self.stopping.is_set():
                break
            try:
                Table(self.lake.clicks_path, version)
            except GoneError:
                _log.warning("pinned_version_gone", version=version)
            else:
                kept.append(version)
        return kept
