"""The control database: its migrations, its writers, and what goes wrong with its file."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from pathlib import Path

import pytest
from alembic import command, config
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_mock_engine, event, exc, select, update
from sqlalchemy.schema import CreateIndex, CreateTable

from clickledger.config import DataFolder, Settings
from clickledger.db import engine as db
from clickledger.db import revisions, tables
from clickledger.errors import CorruptedError, InvalidInputError, UnavailableError

VERSION = tables.directory_version.c.version


@contextmanager
def opened(path: Path, wait_s: float = db.WAIT_S) -> Iterator[Engine]:
    engine = db.open_engine(f"sqlite:///{path}", wait_s=wait_s)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def migrated(path: Path, wait_s: float = db.WAIT_S) -> Iterator[Engine]:
    with opened(path, wait_s) as engine:
        revisions.migrate(engine)
        yield engine


def schema(path: Path) -> list[str]:
    """Return the SQL of every table and index, with its spaces evened out."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' "
            "AND name <> 'alembic_version'"
        ).fetchall()
    return sorted(" ".join(sql.split()) for (sql,) in rows)


def version_of(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(VERSION)).scalar_one())


# Migrations


def test_the_migrations_build_the_declared_tables(tmp_path: Path) -> None:
    with migrated(tmp_path / "migrated.db") as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    (tmp_path / "declared.db").touch()
    with opened(tmp_path / "declared.db") as engine:
        tables.metadata.create_all(engine)
    assert schema(tmp_path / "migrated.db") == schema(tmp_path / "declared.db")


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    with migrated(path) as engine:
        with engine.begin() as connection:
            connection.execute(update(tables.directory_version).values(version=7))
        before = schema(path)
        revisions.migrate(engine)
        assert schema(path) == before
        assert version_of(engine) == 7


def test_every_migration_can_be_undone_and_done_again(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    with migrated(path) as engine:
        before = schema(path)
        with engine.begin() as connection:
            settings = revisions.alembic_settings()
            settings.attributes["connection"] = connection
            command.downgrade(settings, "base")
        assert schema(path) == []
        assert revisions.check(engine) == revisions.Revision(current="", needed="0002")
        revisions.migrate(engine)
        assert schema(path) == before


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """The fault: a table of the last step is there already."""
    path = tmp_path / "control.db"
    with opened(path) as engine:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE jobs (id TEXT)")
        with pytest.raises(UnavailableError, match="jobs already exists"):
            revisions.migrate(engine)
        assert schema(path) == ["CREATE TABLE jobs (id TEXT)"]
        assert revisions.check(engine).behind


def test_a_check_says_what_is_missing_and_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    with opened(path) as engine:
        with pytest.raises(UnavailableError, match="unable to open"):
            revisions.check(engine)
        assert not path.exists()
        path.touch()
        assert revisions.check(engine) == revisions.Revision(current="", needed="0002")
        assert revisions.check(engine).behind
        revisions.migrate(engine)
        assert not revisions.check(engine).behind


def test_programs_that_migrate_at_once_take_turns(tmp_path: Path) -> None:
    failures: list[Exception] = []

    def migrate() -> None:
        try:
            with migrated(tmp_path / "control.db"):
                pass
        except Exception as error:  # noqa: BLE001 - the test shows whatever was raised
            failures.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with opened(tmp_path / "control.db") as engine:
        assert version_of(engine) == 0


def test_the_migrations_say_the_same_on_postgresql() -> None:
    """The SQL for that dialect, compared statement by statement with the declared tables."""
    buffer = StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": buffer}
    )
    scripts = ScriptDirectory.from_config(revisions.alembic_settings())
    with Operations.context(context):
        for revision in reversed(list(scripts.walk_revisions())):
            revision.module.upgrade()
    made = sorted(" ".join(part.split()) for part in buffer.getvalue().split(";") if part.strip())
    dialect = create_mock_engine("postgresql://", lambda *_: None).dialect
    wanted: list[str] = ["INSERT INTO directory_version (id, version) VALUES (1, 0)"]
    for table in tables.metadata.sorted_tables:
        wanted.append(str(CreateTable(table).compile(dialect=dialect)))
        wanted += [str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes]
    assert made == sorted(" ".join(text.split()) for text in wanted)


def test_migrations_work_from_an_installed_wheel(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=root,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = (
        "import clickledger.db.engine as db\n"
        "from clickledger.db import revisions\n"
        "engine = db.open_engine('sqlite:///wheel.db')\n"
        "revisions.migrate(engine)\n"
        "print(db.__file__, revisions.check(engine).current)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
    )
    file, revision = done.stdout.split()
    assert Path(file).is_relative_to(tmp_path / "site")
    assert revision == "0002"
    with migrated(tmp_path / "tree.db"):
        assert schema(tmp_path / "wheel.db") == schema(tmp_path / "tree.db")


def test_a_developer_makes_a_new_migration_from_a_scratch_database(tmp_path: Path) -> None:
    scripts = tmp_path / "migrations"
    shutil.copytree(Path(db.__file__).parent / "migrations", scripts)
    with migrated(tmp_path / "scratch.db") as engine, engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE vanity_links")
    settings = config.Config()
    settings.set_main_option("script_location", str(scripts))
    settings.set_main_option("path_separator", "os")
    settings.cmd_opts = config.CommandLine().parser.parse_args(
        ["-x", f"url=sqlite:///{tmp_path / 'scratch.db'}", "revision"]
    )
    command.revision(settings, "put the links back", autogenerate=True)
    (made,) = scripts.glob("versions/*put_the_links_back.py")
    text = made.read_text()
    assert "op.create_table('vanity_links'" in text
    assert "sa.DateTime(timezone=True)" in text
    assert "clickledger" not in text


# Opening, reading, writing


def test_a_new_file_is_private_durable_and_checks_references(tmp_path: Path) -> None:
    with migrated(tmp_path / "control.db") as engine, engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 15_000,
    }
    assert (tmp_path / "control.db").stat().st_mode & 0o777 == 0o600


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a?b #c%20d")
    folder.root.mkdir()
    engine = db.open_engine(db.control_url(Settings(), folder))
    revisions.migrate(engine)
    assert version_of(engine) == 0
    engine.dispose()
    assert folder.control_db.is_file()


def test_two_writers_queue_and_lose_nothing(tmp_path: Path) -> None:
    """Each reads, then writes: without the lock at the start one of them would fail at once."""
    failures: list[Exception] = []

    def count(engine: Engine) -> None:
        try:
            for _ in range(50):
                with engine.begin() as connection:
                    version = connection.execute(select(VERSION)).scalar_one()
                    connection.execute(update(tables.directory_version).values(version=version + 1))
        except Exception as error:  # noqa: BLE001 - the test shows whatever was raised
            failures.append(error)

    path = tmp_path / "control.db"
    with migrated(path) as first, opened(path) as second:
        threads = [
            threading.Thread(target=count, args=(engine,)) for engine in (first, first, second)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert version_of(first) == 150


def test_a_reader_does_not_wait_for_a_writer_and_sees_one_instant(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    with migrated(path, wait_s=0.0) as engine, db.snapshot(engine) as reading:
        assert reading.execute(select(VERSION)).scalar_one() == 0
        with engine.begin() as writing:
            writing.execute(update(tables.directory_version).values(version=5))
            assert version_of(engine) == 0
        assert reading.execute(select(VERSION)).scalar_one() == 0
        assert version_of(engine) == 5


def test_a_transaction_that_fails_is_undone(tmp_path: Path) -> None:
    def change_and_fail(engine: Engine) -> None:
        with engine.begin() as connection:
            connection.execute(update(tables.directory_version).values(version=9))
            connection.execute(tables.vanity_links.insert().values(path="/x", program_id=1))

    with migrated(tmp_path / "control.db") as engine:
        with pytest.raises(exc.IntegrityError):
            change_and_fail(engine)
        assert version_of(engine) == 0


def test_no_error_repeats_the_values_that_were_sent(tmp_path: Path) -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    values = {
        "id": "1",
        "account_sid": "IRnobody",
        "name": "n",
        "kind": "CLICK",
        "draft": {"headers": {"X-Key": "k-67890"}},
        "secret": "whsec_12345",
        "created_at": moment,
        "changed_at": moment,
    }
    with (
        migrated(tmp_path / "control.db") as engine,
        pytest.raises(exc.IntegrityError) as caught,
        engine.begin() as connection,
    ):
        connection.execute(tables.notifications.insert().values(values))
    assert "INSERT INTO notifications" in str(caught.value)
    for secret in ("whsec_12345", "k-67890"):
        assert secret not in str(caught.value)


def test_a_writer_that_waits_in_vain_says_so(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    with (
        migrated(path) as first,
        opened(path, wait_s=0.05) as second,
        first.begin(),
        pytest.raises(UnavailableError, match="database is locked"),
        second.begin(),
    ):
        pass


def test_a_deleted_file_is_not_written_to_and_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    with migrated(path) as engine:
        assert version_of(engine) == 0
        path.unlink()
        with pytest.raises(UnavailableError, match="unable to open"):
            version_of(engine)
        assert not path.exists()


def test_a_file_put_in_place_is_used_at_once(tmp_path: Path) -> None:
    """A backup is put back under a running program, as SQLite wants it: without the old log."""
    with migrated(tmp_path / "backup.db") as engine, engine.begin() as connection:
        connection.execute(update(tables.directory_version).values(version=42))
    path = tmp_path / "control.db"
    with migrated(path) as engine:
        assert version_of(engine) == 0
        for log in tmp_path.glob("control.db-*"):
            log.unlink()
        (tmp_path / "backup.db").replace(path)
        assert version_of(engine) == 42


def test_a_damaged_file_is_told_apart_from_one_that_does_not_answer(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    path.write_bytes(b"not a database" * 100)
    with opened(path) as engine:
        with pytest.raises(CorruptedError, match="damaged"):
            version_of(engine)
        with pytest.raises(CorruptedError, match="damaged"):
            revisions.migrate(engine)


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with (
        opened(tmp_path / "nowhere" / "control.db") as engine,
        pytest.raises(UnavailableError, match="cannot be opened"),
    ):
        revisions.migrate(engine)


def test_a_server_that_is_not_there_is_told() -> None:
    engine = db.open_engine("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(UnavailableError, match="does not answer"):
        revisions.check(engine)
    engine.dispose()


def test_a_server_that_only_reads_is_told(tmp_path: Path) -> None:
    psycopg = pytest.importorskip("psycopg")

    class ReadOnlyError(sqlite3.InternalError):
        """What the driver of PostgreSQL raises, as that of SQLite would."""

        sqlstate = psycopg.errors.ReadOnlySqlTransaction.sqlstate

    def refuse(*_call: object) -> None:
        raise ReadOnlyError("cannot execute UPDATE in a read-only transaction")

    with migrated(tmp_path / "control.db") as engine:
        event.listen(engine, "do_execute", refuse)
        with pytest.raises(UnavailableError, match="read-only"), engine.connect() as connection:
            connection.execute(select(tables.accounts.c.sid))


@pytest.mark.parametrize("url", ["nosuch://host/db", "mysql://host/db"])
def test_a_missing_driver_is_told(url: str) -> None:
    with pytest.raises(InvalidInputError, match="database_url"):
        db.open_engine(url)


def test_the_url_comes_from_the_settings_else_from_the_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert db.control_url(Settings(), folder).database == str(tmp_path / "control.db")
    named = db.control_url(Settings(database_url="postgresql://u:p@host/name"), folder)
    assert (named.host, named.password) == ("host", "p")
    with pytest.raises(InvalidInputError, match="database_url"):
        db.control_url(Settings(database_url="no url"), folder)


def test_instants_are_aware_utc_in_and_out(tmp_path: Path) -> None:
    east = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5)))
    values = {"sid": "IRa", "kind": "partner", "name": "n", "token_hash": b"\0" * 32}
    with migrated(tmp_path / "control.db") as engine:
        with engine.begin() as connection:
            connection.execute(tables.accounts.insert().values(**values, created_at=east))
        with engine.connect() as connection:
            (stored,) = connection.execute(select(tables.accounts.c.created_at)).scalars()
        assert stored == east
        assert stored.tzinfo is UTC
        with pytest.raises(exc.StatementError, match="naive"), engine.begin() as connection:
            connection.execute(
                tables.accounts.insert().values(**values, created_at=datetime(2026, 3, 1))  # noqa: DTZ001 - what is refused
            )
