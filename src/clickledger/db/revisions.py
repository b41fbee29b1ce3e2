"""Migrations: how far the control database has been brought, and bringing it up to date.

Apart from the engine, so that a process that only reads and writes does not load Alembic.
"""

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass

from alembic import command, config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from clickledger.db.engine import WAIT_S, sqlite_file
from clickledger.errors import CorruptedError, UnavailableError

#: Any constant: two programs that migrate one PostgreSQL database at once take turns.
_MIGRATION_LOCK = 0x636C69636B
_AGAIN_AFTER_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """How far a database has been migrated."""

    #: What the database is at; empty: no migration ever ran.
    current: str
    #: What this version of the program needs.
    needed: str

    @property
    def behind(self) -> bool:
        """Whether ``migrate`` has something to do."""
        return self.current != self.needed


def check(engine: Engine) -> Revision:
    """Tell how far the database has been migrated, changing nothing."""
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    needed = ScriptDirectory.from_config(alembic_settings()).get_current_head()
    return Revision(current=current or "", needed=needed or "")


def migrate(engine: Engine) -> None:
    """Bring the tables up to date: all missing migrations in one transaction, or none.

    A SQLite file that is missing is made. Programs that migrate at once take turns.
    """
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _MIGRATION_LOCK})
        settings = alembic_settings()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")


def alembic_settings() -> config.Config:
    """Point Alembic at the migrations inside this package."""
    settings = config.Config()
    settings.set_main_option("script_location", "clickledger.db:migrations")
    settings.set_main_option("path_separator", "os")
    return settings


def _prepare_sqlite(engine: Engine) -> None:
    """Make the file when it is missing, and set what the file itself remembers: WAL."""
    path = sqlite_file(engine.url)
    if path is None:
        return
    try:
        path.touch(mode=0o600)
        with closing(sqlite3.connect(path, timeout=WAIT_S)) as connection:
            _use_wal(connection)
    except (OSError, sqlite3.OperationalError) as error:
        raise UnavailableError(f"the control database cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        raise CorruptedError(f"the control database is damaged: {error}") from error


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; another program that does the same at once is waited for.

    SQLite does not wait by itself here: two that hold a read lock would wait for each other.
    """
    give_up = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                raise
            time.sleep(_AGAIN_AFTER_S)
        else:
            return
