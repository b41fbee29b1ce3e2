"""The control database: opening it.

Readers: ``with engine.connect() as connection``; they never wait for a writer on SQLite.
Writers: ``with engine.begin() as connection``; they queue. A database that cannot answer is an
UnavailableError, one whose bytes are damaged a CorruptedError; what remains SQLAlchemy's is a
broken constraint (IntegrityError) or a mistake of ours. No error repeats the values that were
sent: some of them are secrets.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.pool import ConnectionPoolEntry

from clickledger.config import DataFolder, Settings
from clickledger.errors import CorruptedError, InvalidInputError, UnavailableError

#: How long a writer waits for its turn, in seconds.
WAIT_S = 15.0

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
#: SQLSTATE of a write to a PostgreSQL server that others write to.
_READ_ONLY = "25006"


def control_url(settings: Settings, folder: DataFolder) -> URL:
    """Name the control database: the one that is set, else SQLite in the data folder."""
    if not settings.database_url:
        return URL.create("sqlite", database=str(folder.control_db.absolute()))
    try:
        return make_url(settings.database_url)
    except exc.ArgumentError:
        raise InvalidInputError.of("database_url", "is not an SQLAlchemy URL") from None


def open_engine(url: str | URL, *, wait_s: float = WAIT_S) -> Engine:
    """Open the control database; nothing is sent to it before the first use.

    For SQLite a file that is missing is not made: that is left to ``migrate``. Safe for use
    from many threads; every process opens its own.

    Raises:
        InvalidInputError: the driver for this URL is not installed.
    """
    url = make_url(url)
    try:
        if url.get_backend_name() == "sqlite":
            engine = _open_sqlite(url, wait_s)
        else:
            engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)
    except (exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise InvalidInputError.of(
            "database_url", f"{error}; for PostgreSQL install clickledger[postgresql]"
        ) from error
    event.listen(engine, "handle_error", _tell)
    return engine


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """Open a connection for reading several tables as they were at one instant."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":  # every transaction of SQLite is a snapshot
            yield connection
        else:
            yield connection.execution_options(isolation_level="REPEATABLE READ")


class _TurnTakingEngine(Engine):
    """An engine whose ``begin`` takes SQLite's write lock at once.

    A transaction that reads first and then writes would otherwise fail, at once and whatever
    the waiting time, when another one has written in between.
    """

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a connection with a transaction that writes."""
        with (
            self.connect().execution_options(clickledger_writes=True) as connection,
            connection.begin(),
        ):
            yield connection


def _open_sqlite(url: URL, wait_s: float) -> Engine:
    made = create_engine(url, connect_args={"timeout": wait_s, "isolation_level": None})
    engine = _TurnTakingEngine(made.pool, made.dialect, made.url, hide_parameters=True)
    path = sqlite_file(url)
    if path is not None:
        watch = _SqliteFile(path)
        event.listen(engine, "do_connect", watch.connect)
        event.listen(engine, "connect", watch.remember)
        event.listen(engine, "checkout", watch.recheck)
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    return engine


def sqlite_file(url: URL) -> Path | None:
    """Name the file of a SQLite database; None when it has none."""
    in_memory = not url.database or url.database == ":memory:"
    return None if in_memory else Path(str(url.database))


def _prepare_connection(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")


def _begin(connection: Connection) -> None:
    """Open the transaction ourselves: the driver would do so only before the first write."""
    writes = connection.get_execution_options().get("clickledger_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class _SqliteFile:
    """Keeps an engine on the file that bears the name, and never makes one.

    An open connection would go on with a file that was deleted or replaced by a backup, and
    what it then wrote would be lost. SQLite's own rule remains: whoever puts a backup back
    removes the files ``-wal`` and ``-shm`` beside it, which belong to the old one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def connect(
        self,
        _dialect: object,
        _record: ConnectionPoolEntry,
        arguments: list[str],
        options: dict[str, object],
    ) -> None:
        """Have the driver open an existing file only."""
        arguments[0] = f"file:{quote(str(self._path))}?mode=rw"
        options["uri"] = True

    def remember(self, _connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        """Note which file a new connection has opened."""
        record.info["file"] = self._identity()

    def recheck(
        self, _connection: sqlite3.Connection, record: ConnectionPoolEntry, _proxy: object
    ) -> None:
        """Have a connection opened anew when its file no longer bears the name."""
        if record.info["file"] != self._identity():
            raise exc.DisconnectionError("the database file was replaced")

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _tell(context: ExceptionContext) -> Exception | None:
    """Turn what the driver raised into an error of ours, where a caller can act on it."""
    if context.is_pre_ping:
        return None  # the pool itself deals with a connection that has ended
    original = context.original_exception
    if isinstance(original, sqlite3.DatabaseError):
        code = getattr(original, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGED:
            return CorruptedError(f"the control database is damaged: {original}")
    # After a failover, until its address is that of the other server: the driver calls it an
    # internal error, which would be one of ours.
    read_only = getattr(original, "sqlstate", "") == _READ_ONLY
    if read_only or isinstance(context.sqlalchemy_exception, exc.OperationalError):
        return UnavailableError(f"the control database does not answer: {original}")
    return None
