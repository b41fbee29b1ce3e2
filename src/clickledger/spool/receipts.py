"""Receipts: what remains of a batch when its payload is removed."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

from clickledger import durable
from clickledger.clock import Micros
from clickledger.errors import UnavailableError
from clickledger.spool.model import Receipt

#: A row takes about 50 bytes: the spool's id stands once in a table of its own, and the last
#: received time is kept as its distance from the first.
_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS spools (key INTEGER PRIMARY KEY, spool_id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS receipts (
    spool INTEGER NOT NULL REFERENCES spools (key),
    sequence INTEGER NOT NULL,
    clicks INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    first_received INTEGER NOT NULL,
    span INTEGER NOT NULL,
    released INTEGER NOT NULL,
    PRIMARY KEY (spool, sequence)
) WITHOUT ROWID;
"""
_BUSY_S = 30.0
#: Rows removed in one transaction: a purge never holds up a release for long.
_PURGE_ROWS = 10_000


class Receipts:
    """The receipts of one data folder; one loader writes, anyone may read."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the file, and make it unless ``read_only``.

        Raises:
            UnavailableError: it cannot be opened; with ``read_only``, also when there is none.
        """
        mode = "ro" if read_only else "rwc"
        try:
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=_BUSY_S,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                if not read_only:
                    self._connection.execute("PRAGMA synchronous = FULL")
                    self._connection.executescript(_SCHEMA)
                    durable.sync_folder(path.parent)
                self._connection.execute("SELECT 1 FROM receipts LIMIT 1").fetchone()
            except BaseException:
                self._connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(f"receipts {path}: {error}") from error

    def add(self, receipts: Iterable[Receipt]) -> None:
        """Store receipts, on disk when this returns; one that is there already stays as it is.

        Raises:
            UnavailableError: none of them was stored.
        """
        keys: dict[str, int] = {}
        rows = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for receipt in receipts:
                key = keys.get(receipt.spool_id)
                if key is None:
                    key = keys[receipt.spool_id] = self._key(receipt.spool_id)
                rows.append(
                    (
                        key,
                        receipt.sequence,
                        receipt.clicks,
                        receipt.checksum,
                        receipt.first_received,
                        receipt.last_received - receipt.first_received,
                        receipt.released,
                    )
                )
            self._connection.executemany(
                "INSERT OR IGNORE INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?)", rows
            )
            self._connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                self._connection.rollback()
            if isinstance(error, sqlite3.Error):
                raise UnavailableError(f"receipts cannot be stored: {error}") from error
            raise

    def iterate(self, spool_id: str | None = None, after: int = 0) -> Iterator[Receipt]:
        """Yield receipts in the order of (spool id, sequence); one spool's only, if it is named.

        A spool id begins with its time, so this is the order of age.
        """
        cursor = self._connection.execute(
            "SELECT spool_id, sequence, clicks, checksum, first_received, span, released"
            " FROM spools JOIN receipts ON spool = key"
            " WHERE (:spool IS NULL OR spool_id = :spool) AND sequence > :after"
            " ORDER BY spool_id, sequence",
            {"spool": spool_id, "after": after},
        )
        with closing(cursor):
            for spool, sequence, clicks, checksum, first, span, released in cursor:
                yield Receipt(
                    spool_id=spool,
                    sequence=sequence,
                    clicks=clicks,
                    checksum=checksum,
                    first_received=first,
                    last_received=first + span,
                    released=released,
                )

    def purge(self, before: Micros) -> int:
        """Remove receipts released before ``before``; return how many.

        In one spool, batches are released in order: it is enough to look at its oldest ones.

        Raises:
            UnavailableError: some may have been removed.
        """
        try:
            keys = self._connection.execute("SELECT key FROM spools").fetchall()
            return sum(self._purge_spool(key, before) for (key,) in keys)
        except sqlite3.Error as error:
            raise UnavailableError(f"receipts cannot be removed: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _key(self, spool_id: str) -> int:
        self._connection.execute("INSERT OR IGNORE INTO spools (spool_id) VALUES (?)", (spool_id,))
        (key,) = self._connection.execute(
            "SELECT key FROM spools WHERE spool_id = ?", (spool_id,)
        ).fetchone()
        return int(key)

    def _purge_spool(self, key: int, before: Micros) -> int:
        purged = 0
        while True:
            oldest = self._connection.execute(
                "SELECT sequence, released FROM receipts WHERE spool = ? ORDER BY sequence LIMIT ?",
                (key, _PURGE_ROWS),
            ).fetchall()
            old = [sequence for sequence, released in oldest if released < before]
            if old:
                self._connection.execute(
                    "DELETE FROM receipts WHERE spool = ? AND sequence <= ? AND released < ?",
                    (key, old[-1], before),
                )
                purged += len(old)
            if len(old) < _PURGE_ROWS:
                return purged
