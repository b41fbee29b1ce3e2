"""One Delta table: what is in it, and commits that either happen once or not at all.

Everything that writes goes by three rules, each found out by trial:

* A commit goes through the same ``DeltaTable`` object that the stored versions and the file list
  were read from, with no retries inside the library. Then it succeeds only as the direct
  successor of what was read. With retries the library lets a second rewrite of the same files
  pass, although they are gone: its conflict check ignores removals without data change.
* A commit is on disk when it returns: the library does not fsync, and the spool is released next.
* The time of a commit grows with the number of commits since the object was opened (0.1 ms each),
  not with the number of files: a checkpoint and a new object every 50 commits keep it short.
"""

import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import cast

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, PostCommitHookProperties, RemoveAction

from clickledger import durable
from clickledger.clock import Micros, to_datetime
from clickledger.errors import GoneError, NotFoundError, UnavailableError
from clickledger.lake.mending import ACTIONS, mend

#: Commits between two checkpoints, and between two openings of a table object.
CHECKPOINT_EVERY = 50
_LOG = "_delta_log"
_RETENTION = ("delta.logRetentionDuration", "delta.deletedFileRetentionDuration")
#: Our own checkpoints are made durable; the library's are not.
_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


class CommitConflictError(UnavailableError):
    """Another writer was first: reload, compare again, then skip or retry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One Parquet file of a table, with the statistics that stand in the table's log."""

    #: Relative to the table.
    path: str
    size: int
    rows: int
    #: Value of the partition column; None: the table has no partitions.
    event_date: date | None = None
    #: Smallest and largest value of each column with statistics; instants in microseconds.
    least: Mapping[str, int]
    most: Mapping[str, int]


class Table:
    """One Delta table, for one thread at a time."""

    def __init__(self, path: Path, version: int | None = None) -> None:
        """Open the table, at its newest version or as it was at ``version``.

        Raises:
            NotFoundError: there is no table.
            GoneError: ``version`` is not kept any more, or not there yet.
        """
        self.path = path
        try:
            self._delta = DeltaTable(str(path), version=version)
        except DeltaError as error:
            if version is not None:
                raise GoneError(f"version {version} of the lake is not kept any more") from error
            if isinstance(error, TableNotFoundError):
                raise NotFoundError(f"there is no table at {path}") from error
            raise UnavailableError(f"the table at {path} cannot be opened: {error}") from error
        self._opened_at = self._delta.version()
        #: Commits through this one are certainly on disk. Not the newest: whoever wrote it may
        #: have been killed before it synced.
        self._durable = self._opened_at - 1
        metadata = self._delta.metadata()
        self._partition_by = metadata.partition_columns
        columns = metadata.configuration.get("delta.dataSkippingStatsColumns", "")
        #: Columns whose minima and maxima stand in the log.
        self.statistics = tuple(filter(None, columns.split(",")))

    @classmethod
    def create(
        cls,
        path: Path,
        schema: pa.Schema,
        *,
        partition_by: Sequence[str],
        statistics: Sequence[str],
        kept_hours: int = 48,
    ) -> "Table":
        """Make the table unless it is there. Old versions stay readable for ``kept_hours``.

        What a power cut tore is taken out of its log.
        """
        path.mkdir(parents=True, exist_ok=True)
        mend(path / _LOG)
        DeltaTable.create(
            str(path),
            schema,
            mode="ignore",
            partition_by=list(partition_by),
            configuration={
                "delta.dataSkippingStatsColumns": ",".join(statistics),
                **dict.fromkeys(_RETENTION, f"interval {kept_hours} hours"),
                "delta.checkpointInterval": str(CHECKPOINT_EVERY),
            },
        )
        table = cls(path)
        table.settle()
        for folder in (path, path.parent, path.parent.parent):  # any of them may be new
            durable.sync_folder(folder)
        return table

    @property
    def version(self) -> int:
        """Version of the table as last read."""
        return self._delta.version()

    def refresh(self) -> None:
        """Read what was committed since.

        Raises:
            UnavailableError: the table cannot be read now.
        """
        try:
            self._delta.update_incremental()
            if self._delta.version() - self._opened_at >= CHECKPOINT_EVERY:
                self._delta = DeltaTable(str(self.path))
                self._opened_at = self._delta.version()
        except DeltaError as error:
            raise UnavailableError(f"the table at {self.path} cannot be read: {error}") from error

    def loaded(self, app_id: str) -> int:
        """Return the version that application ``app_id`` committed last; 0: none."""
        return self._delta.transaction_version(app_id) or 0

    def files(self) -> list[DataFile]:
        """List the files of the version as last read, in no particular order."""
        actions = pa.table(self._delta.get_add_actions(flatten=True))
        names = set(actions.column_names)
        least = {name: _numbers(actions, f"min.{name}", names) for name in self.statistics}
        most = {name: _numbers(actions, f"max.{name}", names) for name in self.statistics}
        dates = (
            actions["partition.event_date"].to_pylist()
            if "partition.event_date" in names
            else [None] * len(actions)
        )
        columns = zip(
            actions["path"].to_pylist(),
            actions["size_bytes"].to_pylist(),
            actions["num_records"].to_pylist() if "num_records" in names else [0] * len(actions),
            dates,
            strict=True,
        )
        return [
            DataFile(
                path=path,
                size=size,
                rows=rows or 0,
                event_date=event_date,
                least={name: values[row] for name, values in least.items()},
                most={name: values[row] for name, values in most.items()},
            )
            for row, (path, size, rows, event_date) in enumerate(columns)
        ]

    def paths(self) -> set[str]:
        """Return the relative paths of the version as last read."""
        return set(pa.table(self._delta.get_add_actions())["path"].to_pylist())

    def commit(
        self,
        add: Collection[DataFile],
        *,
        why: str,
        remove: Collection[DataFile] = (),
        loaded: Mapping[str, int] | None = None,
        data_change: bool = True,
    ) -> int:
        """Commit files that are on disk already, and versions of applications, in one step.

        The caller holds the lease and has refreshed and compared. ``why`` stands in the table's
        history. ``data_change`` False: ``add`` holds exactly the rows of ``remove``. Returns the
        version; it is on disk. Refresh before the next use.

        Raises:
            CommitConflictError: somebody else committed since the last refresh; nothing happened.
        """
        now = int(time.time() * 1000)
        actions = [
            AddAction(
                path=file.path,
                size=file.size,
                partition_values=_partition(file),
                modification_time=now,
                data_change=data_change,
                stats=_statistics(file),
            )
            for file in add
        ]
        removals = [
            RemoveAction(file.path, data_change, now, file.size, _partition(file))
            for file in remove
        ]
        version = self._delta.version() + 1
        try:
            self._delta.create_write_transaction(
                [*actions, *removals],
                "append",
                self._delta.schema(),
                partition_by=self._partition_by,
                commit_properties=CommitProperties(
                    custom_metadata={
                        "userMetadata": why,
                        ACTIONS: len(actions) + len(removals) + len(loaded or {}),
                    },
                    max_commit_retries=0,
                    app_transactions=[
                        Transaction(app_id, number) for app_id, number in (loaded or {}).items()
                    ],
                ),
                post_commithook_properties=_NO_HOOKS,
            )
        except CommitFailedError as error:
            raise CommitConflictError(f"the commit was refused: {error}") from error
        except DeltaError as error:
            raise UnavailableError(f"the commit failed: {error}") from error
        self._sync_log(version)
        if version % CHECKPOINT_EVERY == 0:
            self.checkpoint()
        return version

    def settle(self) -> None:
        """Make the version as last read durable, whoever committed it.

        Before something is thrown away because it is in this version.
        """
        self._sync_log(self._delta.version())

    def checkpoint(self) -> None:
        """Write the newest version's state in one file, so that opening the table stays fast."""
        self._delta.update_incremental()
        self._delta.create_checkpoint()
        _sync(
            self.path / _LOG,
            f"{self._delta.version():020d}.checkpoint.parquet",
            "_last_checkpoint",
        )
        self._delta = DeltaTable(str(self.path))
        self._opened_at = self._delta.version()

    def _sync_log(self, version: int) -> None:
        if version > self._durable:
            names = (f"{number:020d}.json" for number in range(self._durable + 1, version + 1))
            log = self.path / _LOG
            _sync(log, *(name for name in names if (log / name).exists()))
            self._durable = version

    def vacuum(
        self, retention_hours: int, keep_versions: Sequence[int], *, dry_run: bool = False
    ) -> list[str]:
        """Remove files that no version needs: gone, or never committed, for so many hours.

        Files of ``keep_versions``, which must be there, stay. Returns the paths, relative to the
        table; with ``dry_run``, of what would go.
        """
        self.refresh()
        if dry_run:
            # The library names every removal in the log, also of files that went long ago.
            named = self._vacuum(retention_hours, keep_versions, dry_run=True)
            return [path for path in named if (self.path / path).exists()]
        going = self.vacuum(retention_hours, keep_versions, dry_run=True)
        self._vacuum(retention_hours, keep_versions, dry_run=False)
        return going

    def _vacuum(
        self, retention_hours: int, keep_versions: Sequence[int], *, dry_run: bool
    ) -> list[str]:
        return self._delta.vacuum(
            retention_hours,
            dry_run=dry_run,
            enforce_retention_duration=False,  # the operator's setting is the rule
            full=True,
            keep_versions=list(keep_versions),
        )

    def keep_versions(self, hours: int) -> None:
        """Let the table's own rule be that old versions stay readable for so long."""
        self.refresh()
        wanted = dict.fromkeys(_RETENTION, f"interval {hours} hours")
        if not wanted.items() <= self._delta.metadata().configuration.items():
            self._delta.alter.set_table_properties(wanted)
            self.refresh()
            self.settle()

    def forget_old_versions(self) -> None:
        """Remove the log of versions older than the table keeps."""
        self.refresh()
        self._delta.cleanup_metadata()


def _numbers(actions: pa.Table, name: str, names: set[str]) -> list[int]:
    if name not in names:
        return [0] * len(actions)
    column = actions[name]
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return cast("list[int]", column.to_pylist())


def _partition(file: DataFile) -> dict[str, str | None]:
    return {"event_date": file.event_date.isoformat()} if file.event_date else {}


def _statistics(file: DataFile) -> str:
    return json.dumps(
        {
            "numRecords": file.rows,
            "minValues": {name: _shown(name, value) for name, value in file.least.items()},
            "maxValues": {name: _shown(name, value) for name, value in file.most.items()},
            "nullCount": dict.fromkeys(file.least, 0),
        }
    )


def _shown(name: str, value: Micros) -> int | str:
    """Write an instant in full: the library itself would cut it to milliseconds."""
    if not name.endswith("_time"):
        return value
    return f"{to_datetime(value):%Y-%m-%dT%H:%M:%S.%f}Z"


def _sync(folder: Path, *names: str) -> None:
    for name in names:
        handle = os.open(folder / name, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    durable.sync_folder(folder)
