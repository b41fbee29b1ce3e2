"""A segment file: an SQLite database whose write-ahead log *is* the log of batches.

It is never checkpointed: no second write of every click, no pause for it, and one state to
understand, before a crash and after it. README.md says what SQLite is relied upon for.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from clickledger import durable
from clickledger.clock import Micros
from clickledger.errors import CorruptedError, UnavailableError
from clickledger.spool import format as spool_format
from clickledger.spool import layout

#: Of the file; the batches inside carry a version of their own (format.py).
FORMAT = 1
_APPLICATION_ID = 0x434C_4B53  # "CLKS"
#: Measured: as fast as 16 KiB for large batches, and a small one writes half as much.
_PAGE_BYTES = 8192
_FRAME_BYTES = _PAGE_BYTES + 24
#: Longest row that lies in one page, and what one further page of a longer row takes.
_INLINE_BYTES = _PAGE_BYTES - 35 - spool_format.HEADER_BYTES
_OVERFLOW_BYTES = _PAGE_BYTES - 4
#: Zeros are written ahead in steps, so that they never stand in front of a commit for long.
_STEP_BYTES = 1024 * 1024
_STEP_PAUSE_S = 0.004
#: Zeros beyond the capacity: the batch that fills a segment has room too.
_SPARE_BYTES = 1024 * 1024
#: With less room than this many times the zeros, none are written: they would take it away
#: from the commits under way.
_SCARCE = 4
#: A read waits this long for another process that rebuilds the log's index after a crash.
_BUSY_S = 10.0

_SCHEMA = f"""
PRAGMA page_size = {_PAGE_BYTES};
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {FORMAT};
BEGIN;
CREATE TABLE segment (spool_id TEXT NOT NULL, number INTEGER NOT NULL, format INTEGER NOT NULL);
CREATE TABLE batches (sequence INTEGER PRIMARY KEY, header BLOB NOT NULL, payload BLOB NOT NULL);
COMMIT;
"""
_INSERT = "INSERT INTO batches (sequence, header, payload) VALUES (?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Row:
    """One batch as it is stored, nothing checked yet."""

    sequence: int
    header: bytes
    payload: bytes


class SegmentWriter:
    """The one connection that writes a segment."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, number: int, capacity: int
    ) -> None:
        self._connection = connection
        self._path = path
        self._file = path.stat()
        self.number = number
        #: Bytes of log at which it counts as full; it can hold more.
        self.capacity = capacity
        #: Bytes of the log that its batches take, about.
        self.used = 0
        #: When its first batch was written; None: it has none.
        self.begun: Micros | None = None

    @classmethod
    def create(cls, folder: Path, number: int, *, spool_id: str, capacity: int) -> "SegmentWriter":
        """Make a segment without batches; its files and their names are durable on return.

        The log is written ahead, as zeros: a commit then overwrites blocks that the file system
        knows already, and its fdatasync need not wait for the file system's own journal. When the
        disk is nearly full, the log grows as it is written.

        Raises:
            OSError, sqlite3.Error: nothing is left behind.
        """
        path = layout.segment_path(folder, number)
        making = path.with_name(f".making-{path.name}")
        try:
            _make(making, number, spool_id)
            making.rename(path)
            durable.sync_folder(folder)
            connection = _open_to_write(path)
        except BaseException:
            _unlink(making, path)
            raise
        try:
            _write_zeros(layout.companions(path)[0], capacity + min(_SPARE_BYTES, capacity))
            durable.sync_folder(folder)
            return cls(connection, path, number, capacity)
        except BaseException:
            connection.close()
            _unlink(making, path)
            raise

    def commit(self, rows: Sequence[Row], now: Micros) -> None:
        """Add batches in one transaction; they are on disk when this returns.

        Raises:
            sqlite3.Error: they are not, as far as can be told.
        """
        values = [(row.sequence, row.header, row.payload) for row in rows]
        try:
            if len(values) == 1:
                self._connection.execute(_INSERT, values[0])
            else:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(_INSERT, values)
                self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.rollback()
            raise
        self.used += sum(_log_bytes(len(row.payload)) for row in rows)
        if self.begun is None:
            self.begun = now

    def reserve(self, size: int) -> None:
        """Find room for ``size`` more bytes of log; OSError when there is none."""
        handle = os.open(layout.companions(self._path)[0], os.O_RDWR | os.O_CLOEXEC)
        try:
            os.posix_fallocate(handle, os.fstat(handle).st_size, size)
        finally:
            os.close(handle)

    def in_place(self) -> bool:
        """Tell whether the file still stands where it was made."""
        try:
            return os.path.samestat(self._path.stat(), self._file)
        except OSError:
            return False

    def close(self) -> None:
        """Close without the checkpoint that SQLite makes when the last connection goes.

        A second, read-only connection is the last one to go: it cannot checkpoint.
        """
        try:
            with closing(_connect(self._path, "mode=ro")) as last:
                last.execute("SELECT number FROM segment").fetchone()
                self._connection.close()
        except sqlite3.Error:  # the file is gone or unreadable: there is nothing to protect
            self._connection.close()

    def discard(self) -> None:
        """Close and remove a segment that never held a batch."""
        self._connection.close()
        _unlink(self._path)


class SegmentReader:
    """A read-only view of a segment: safe beside its writer, changes nothing.

    ``sqlite3.Error`` from any method means that the file, or a part of it, cannot be read.
    """

    def __init__(self, connection: sqlite3.Connection, *, follows: bool) -> None:
        self._connection = connection
        #: Whether batches committed from now on will be seen.
        self.follows = follows

    @classmethod
    def open(cls, path: Path, spool_id: str, number: int) -> "SegmentReader":
        """Open a segment file.

        Raises:
            FileNotFoundError: it was removed.
            CorruptedError: it belongs to another spool.
            UnavailableError: a newer version of this program wrote it.
            sqlite3.Error: it cannot be read.
        """
        path.stat()  # a file that is gone is not a file that cannot be read
        wal = layout.companions(path)[0]
        # Without a log, SQLite would make one, and its index, even to read: `immutable` does not.
        follows = wal.exists() and wal.stat().st_size > 0
        connection = _connect(path, "mode=ro" if follows else "mode=ro&immutable=1")
        try:
            reader = cls(connection, follows=follows)
            reader._check(spool_id, number)
            # A removal takes the segment first and its log after: if the segment is still there
            # now, then the log that was opened was the real one.
            path.stat()
        except BaseException:
            connection.close()
            raise
        return reader

    @classmethod
    def of_image(cls, image: bytes, spool_id: str, number: int) -> "SegmentReader":
        """Open a segment whose pages were put together in memory (wal.py)."""
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            connection.deserialize(image)
            reader = cls(_prepare_to_read(connection), follows=False)
            reader._check(spool_id, number)
        except BaseException:
            connection.close()
            raise
        return reader

    def _check(self, spool_id: str, number: int) -> None:
        try:
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            *found, again = self._connection.execute(
                "SELECT spool_id, number, format FROM segment"
            ).fetchone() or (None,)
        except UnicodeDecodeError as error:  # SQLite's message quotes a damaged schema
            raise CorruptedError("the schema is damaged") from error
        if version == again and version > FORMAT:  # said in two places: it is no damage
            raise UnavailableError(f"segment {number} has format {version}; this reads {FORMAT}")
        if found != [spool_id.encode(), number] or FORMAT not in (version, again):
            raise CorruptedError(f"the file says it is segment {found}, format {version}")

    def rows(self, after: int, *, payloads: bool = True) -> Iterator[Row]:
        """Read the batches behind number ``after`` in order; without payloads: empty ones."""
        payload = "payload" if payloads else "x''"
        cursor = self._connection.execute(
            f"SELECT sequence, header, {payload} FROM batches WHERE sequence > ? ORDER BY sequence",
            (after,),
        )
        with closing(cursor):
            for sequence, header, body in cursor:
                yield Row(sequence, _bytes(header), _bytes(body))

    def row(self, sequence: int) -> Row | None:
        """Read one batch."""
        found = self._connection.execute(
            "SELECT header, payload FROM batches WHERE sequence = ?", (sequence,)
        ).fetchone()
        return None if found is None else Row(sequence, _bytes(found[0]), _bytes(found[1]))

    def first(self) -> Row | None:
        """Read the first batch, without its payload; None: the segment is not begun."""
        return next(self.rows(0, payloads=False), None)

    def last_sequence(self) -> int:
        """Read the number of the last batch; 0 when there is none."""
        (last,) = self._connection.execute("SELECT max(sequence) FROM batches").fetchone()
        return last or 0

    def page_count(self) -> int:
        """Read the number of pages."""
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        return int(pages)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _connect(path: Path, options: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    return _prepare_to_read(connection)


def _prepare_to_read(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.text_factory = bytes  # a damaged row may claim to be text
    # A length above this is damage; SQLite refuses it before it takes memory.
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, spool_format.MAX_PAYLOAD_BYTES + _PAGE_BYTES)
    return connection


def _make(making: Path, number: int, spool_id: str) -> None:
    _unlink(making)  # of an earlier try
    with closing(sqlite3.connect(making, isolation_level=None)) as connection:
        connection.executescript(_SCHEMA)
        connection.execute("INSERT INTO segment VALUES (?, ?, ?)", (spool_id, number, FORMAT))
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise sqlite3.OperationalError(f"the file system allows only journal mode {mode}")
    handle = os.open(making, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open_to_write(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("SELECT number FROM segment").fetchone()  # makes the log and its index
    except BaseException:
        connection.close()
        raise
    return connection


def _write_zeros(wal: Path, size: int) -> None:
    """Fill a log that nothing was written to yet; SQLite takes zeros for the end of the log."""
    disk = os.statvfs(wal)
    if disk.f_bavail * disk.f_frsize < size * _SCARCE:
        return
    handle = os.open(wal, os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            for start in range(0, size, _STEP_BYTES):
                os.pwrite(handle, bytes(min(_STEP_BYTES, size - start)), start)
                os.fdatasync(handle)
                time.sleep(_STEP_PAUSE_S)
        except OSError:
            os.ftruncate(handle, 0)
        os.fsync(handle)
    finally:
        os.close(handle)


def _log_bytes(payload_bytes: int) -> int:
    if payload_bytes <= _INLINE_BYTES:
        # The last page once more, and now and then a new one.
        return _FRAME_BYTES + _FRAME_BYTES // 5
    # The last page, the first page (it counts the pages), and those that the payload fills.
    return _FRAME_BYTES * (2 + -(-payload_bytes // _OVERFLOW_BYTES))


def _bytes(value: object) -> bytes:
    """Take what a damaged row holds in place of bytes for nothing."""
    return value if isinstance(value, bytes) else b""


def _unlink(*paths: Path) -> None:
    for path in paths:
        for file in (path, path.with_name(path.name + "-journal"), *layout.companions(path)):
            with suppress(OSError):
                file.unlink(missing_ok=True)
