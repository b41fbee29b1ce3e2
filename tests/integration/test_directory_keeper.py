"""The keeper of the directory: fresh within 2 s, and alive without the database."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from clickledger import durable
from clickledger.accounts.store import Accounts
from clickledger.db import engine as db
from clickledger.db import revisions
from clickledger.programs.directory import Directory, Records, Route
from clickledger.programs.directory_keeper import DirectoryKeeper, write_snapshot
from clickledger.programs.store import Programs


@dataclass
class Site:
    """A control database with a brand, and where its snapshot lies."""

    folder: Path
    engine: Engine
    sid: str
    programs: Programs

    @property
    def database(self) -> Path:
        return self.folder / "control.db"

    @property
    def snapshot(self) -> Path:
        return self.folder / "directory.snapshot"

    def add_program(self) -> int:
        return self.programs.create_program(
            advertiser_sid=self.sid, name="x", time_zone="UTC", landing_page="https://shop.example/"
        ).id

    def open(self, wait_s: float = 0.05) -> Engine:
        return db.open_engine(f"sqlite:///{self.database}", wait_s=wait_s)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    engine = db.open_engine(f"sqlite:///{tmp_path / 'control.db'}")
    revisions.migrate(engine)
    accounts = Accounts(engine, [b"k" * 32])
    with engine.begin() as connection:
        brand, _ = accounts.create(connection, "advertiser", "Brand")
    yield Site(tmp_path, engine, brand.sid, Programs(engine, accounts))
    engine.dispose()


@contextmanager
def running(keeper: DirectoryKeeper, engine: Engine | None = None) -> Iterator[DirectoryKeeper]:
    keeper.load()
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.stop()
        if engine is not None:
            engine.dispose()


def delete(site: Site) -> None:
    site.engine.dispose()
    for file in site.folder.glob("control.db*"):
        file.unlink()


def overwrite(site: Site) -> None:
    with site.database.open("r+b") as file:
        file.write(b"no database at all" * 500)


def corrupt(site: Site) -> None:
    delete(site)
    site.database.write_bytes(b"no database at all" * 500)


@contextmanager
def locked(site: Site) -> Iterator[None]:
    site.engine.dispose()
    with closing(sqlite3.connect(site.database, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        yield


def wait_for(condition: Callable[[], bool], at_most_s: float = 2.0) -> float:
    """Wait until it holds; return how long that took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < at_most_s, "it did not come in time"
        time.sleep(0.01)
    return time.monotonic() - start


# With the database


def test_it_starts_from_the_database_and_keeps_a_private_snapshot(site: Site) -> None:
    program_id = site.add_program()
    keeper = DirectoryKeeper(site.engine, site.snapshot)
    keeper.load()
    assert (keeper.source, keeper.version) == ("database", 1)
    assert keeper.current.program(program_id) is not None
    kept = Directory.from_bytes(site.snapshot.read_bytes())
    assert kept.records == keeper.current.records
    assert site.snapshot.stat().st_mode & 0o777 == 0o600


def test_a_change_is_seen_within_two_seconds(site: Site) -> None:
    engine = site.open()
    with running(DirectoryKeeper(engine, site.snapshot), engine) as keeper:
        partner, _ = site.programs.create_partner(advertiser_sid=site.sid, name="x")
        program_id = site.add_program()
        ad = site.programs.create_ad(
            advertiser_sid=site.sid, program_id=program_id, name="x", type="BANNER"
        )
        took = wait_for(
            lambda: isinstance(keeper.current.route(partner.id, ad.id, program_id), Route)
        )
        assert took < 2.0
        wait_for(
            lambda: (
                Directory.from_bytes(site.snapshot.read_bytes()).records == keeper.current.records
            )
        )


def test_nothing_is_read_or_written_while_nothing_changes(site: Site) -> None:
    site.add_program()
    writes: list[Path] = []

    def write(path: Path, data: bytes) -> None:
        writes.append(path)
        durable.write(path, data)

    keeper = DirectoryKeeper(site.engine, site.snapshot, write=write)
    keeper.load()
    before = keeper.current
    for _ in range(5):
        keeper.look()
    assert keeper.current is before
    assert writes == [site.snapshot]


def test_keepers_of_many_processes_share_one_snapshot(site: Site) -> None:
    keepers = [DirectoryKeeper(site.engine, site.snapshot) for _ in range(4)]
    for keeper in keepers:
        keeper.load()
    for _ in range(5):
        site.add_program()
        threads = [threading.Thread(target=keeper.look) for keeper in keepers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    versions = {keeper.version for keeper in keepers}
    assert versions == {5}
    assert Directory.from_bytes(site.snapshot.read_bytes()).version == 5


def test_a_database_set_back_to_an_older_state_is_followed(site: Site) -> None:
    """After a backup was put back its version is lower; the database is still the truth."""
    site.add_program()
    keeper = DirectoryKeeper(site.engine, site.snapshot)
    keeper.load()
    with site.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM programs")
        connection.exec_driver_sql("UPDATE directory_version SET version = 0")
    keeper.look()
    assert (keeper.version, keeper.current.records.programs) == (0, ())
    assert Directory.from_bytes(site.snapshot.read_bytes()).version == 0


def test_a_snapshot_that_was_damaged_or_deleted_is_written_anew(site: Site) -> None:
    site.add_program()
    keeper = DirectoryKeeper(site.engine, site.snapshot)
    keeper.load()
    good = site.snapshot.read_bytes()
    site.snapshot.write_bytes(good[:-1])
    keeper.look()
    assert site.snapshot.read_bytes() == good
    site.snapshot.unlink()
    keeper.look()
    assert site.snapshot.read_bytes() == good


def test_a_disk_that_refuses_the_snapshot_is_told_once_and_tried_again(site: Site) -> None:
    broken = True

    def write(path: Path, data: bytes) -> None:
        if broken:
            raise OSError(28, "No space left on device")
        durable.write(path, data)

    site.add_program()
    keeper = DirectoryKeeper(site.engine, site.snapshot, write=write)
    with capture_logs() as logs:
        keeper.load()
        keeper.look()
        site.add_program()
        keeper.look()
    assert (keeper.source, keeper.version) == ("database", 2)
    assert not site.snapshot.exists()
    (told,) = [line for line in logs if line["event"] == "directory.snapshot_fault"]
    assert "No space left" in told["error"]
    broken = False
    with capture_logs() as logs:
        keeper.look()
    assert Directory.from_bytes(site.snapshot.read_bytes()).version == 2
    assert [line["event"] for line in logs if "snapshot" in line["event"]] == [
        "directory.snapshot_back"
    ]


# Without the database


@pytest.mark.parametrize("harm", [delete, corrupt])
def test_it_starts_from_the_snapshot_when_the_database_is_gone(
    site: Site, harm: Callable[[Site], None]
) -> None:
    program_id = site.add_program()
    write_snapshot(site.engine, site.snapshot)
    harm(site)
    engine = site.open()
    with capture_logs() as logs, running(DirectoryKeeper(engine, site.snapshot), engine) as keeper:
        assert keeper.source == "snapshot"
        assert keeper.current.program(program_id) is not None
    assert "directory.database_fault" in [line["event"] for line in logs]
    assert not site.database.exists() or site.database.read_bytes().startswith(b"no database")


def test_it_starts_from_the_snapshot_when_the_database_is_locked(site: Site) -> None:
    """And soon, however patient the driver is; the database counts again when it answers."""
    program_id = site.add_program()
    write_snapshot(site.engine, site.snapshot)
    engine = site.open(wait_s=3.0)
    keeper = DirectoryKeeper(engine, site.snapshot, poll_s=0.05, patience_s=0.2)
    with locked(site):
        start = time.monotonic()
        keeper.load()
        assert time.monotonic() - start < 1.0
        assert keeper.source == "snapshot"
        assert keeper.current.program(program_id) is not None
        keeper.start()
    try:
        wait_for(lambda: keeper.source == "database", at_most_s=5.0)
    finally:
        keeper.stop()
        engine.dispose()


@pytest.mark.parametrize("harm", [delete, corrupt])
def test_it_goes_on_when_the_database_goes_while_running(
    site: Site, harm: Callable[[Site], None]
) -> None:
    program_id = site.add_program()
    engine = site.open()
    now = [100.0]
    keeper = DirectoryKeeper(engine, site.snapshot, clock=lambda: now[0])
    keeper.load()
    assert keeper.age == 0.0
    harm(site)
    now[0] += 7.0
    for _ in range(3):
        keeper.look()
    assert keeper.source == "database"
    assert keeper.current.program(program_id) is not None
    assert keeper.age == 7.0
    engine.dispose()


def test_it_goes_on_when_the_database_is_overwritten_under_it(site: Site) -> None:
    """SQLite may go on answering from its log and its memory, or not: both are fine."""
    program_id = site.add_program()
    engine = site.open()
    keeper = DirectoryKeeper(engine, site.snapshot)
    keeper.load()
    site.engine.dispose()
    overwrite(site)
    for _ in range(3):
        keeper.look()
    assert keeper.current.program(program_id) is not None
    assert Directory.from_bytes(site.snapshot.read_bytes()).program(program_id) is not None
    engine.dispose()


def test_it_goes_on_while_the_database_is_locked_and_is_fresh_again_afterwards(site: Site) -> None:
    site.add_program()
    engine = site.open()
    now = [100.0]
    keeper = DirectoryKeeper(engine, site.snapshot, clock=lambda: now[0])
    keeper.load()
    engine.pool.dispose()
    with capture_logs() as logs:
        with locked(site):
            now[0] += 7.0
            keeper.look()
            keeper.look()
            assert (keeper.version, keeper.age) == (1, 7.0)
        site.add_program()
        keeper.look()
    assert (keeper.version, keeper.age) == (2, 0.0)
    events = [line["event"] for line in logs if "database" in line["event"]]
    assert events == ["directory.database_fault", "directory.database_back"]
    engine.dispose()


def test_a_tables_are_missing_is_a_fault_like_any_other(site: Site) -> None:
    write_snapshot(site.engine, site.snapshot)
    with site.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE directory_version")
    keeper = DirectoryKeeper(site.engine, site.snapshot)
    keeper.load()
    assert keeper.source == "snapshot"


def test_without_a_database_the_snapshot_file_is_followed(site: Site) -> None:
    """A collector that cannot reach the database learns through one that can."""
    site.add_program()
    write_snapshot(site.engine, site.snapshot)
    with running(DirectoryKeeper(None, site.snapshot)) as keeper:
        assert (keeper.source, keeper.version) == ("snapshot", 1)
        site.add_program()
        write_snapshot(site.engine, site.snapshot)
        took = wait_for(lambda: keeper.version == 2)
        assert took < 2.0


def test_a_collector_that_lost_the_database_takes_a_newer_snapshot_but_no_older(
    site: Site,
) -> None:
    site.add_program()
    site.add_program()
    engine = site.open()
    keeper = DirectoryKeeper(engine, site.snapshot)
    keeper.load()
    delete(site)
    durable.write(site.snapshot, Directory(Records(version=1)).to_bytes())
    keeper.look()
    assert (keeper.source, keeper.version) == ("database", 2)
    durable.write(site.snapshot, Directory(Records(version=3)).to_bytes())
    keeper.look()
    assert (keeper.source, keeper.version) == ("snapshot", 3)
    engine.dispose()


def test_a_damaged_snapshot_is_refused_with_a_clear_line_and_never_used(site: Site) -> None:
    program_id = site.add_program()
    write_snapshot(site.engine, site.snapshot)
    content = bytearray(site.snapshot.read_bytes())
    content[-1] ^= 0xFF
    site.snapshot.write_bytes(content)
    keeper = DirectoryKeeper(None, site.snapshot)
    with capture_logs() as logs:
        keeper.load()
        keeper.look()
    assert keeper.source == "empty"
    assert keeper.current.program(program_id) is None
    (told,) = logs
    assert told["event"] == "directory.snapshot_fault"
    assert told["error"].endswith(
        "directory.snapshot is not used: the snapshot of the directory fails its checksum"
    )


def test_a_snapshot_damaged_while_running_does_not_replace_what_is_known(site: Site) -> None:
    site.add_program()
    write_snapshot(site.engine, site.snapshot)
    keeper = DirectoryKeeper(None, site.snapshot)
    keeper.load()
    site.snapshot.write_bytes(b"CLICKDY")
    keeper.look()
    assert (keeper.source, keeper.version) == ("snapshot", 1)


def test_with_neither_database_nor_snapshot_every_link_is_unknown(tmp_path: Path) -> None:
    engine = db.open_engine(f"sqlite:///{tmp_path / 'control.db'}")
    keeper = DirectoryKeeper(engine, tmp_path / "directory.snapshot")
    keeper.load()
    assert (keeper.source, keeper.version) == ("empty", 0)
    assert keeper.current.route(1, 1, 1) == "unknown_program"
    assert list(tmp_path.iterdir()) == []
    engine.dispose()


def test_a_database_that_hangs_delays_neither_the_start_nor_the_end(site: Site) -> None:
    write_snapshot(site.engine, site.snapshot)
    engine = site.open(wait_s=4.0)
    keeper = DirectoryKeeper(engine, site.snapshot, poll_s=0.01, patience_s=0.1)
    with locked(site):
        start = time.monotonic()
        keeper.load()
        keeper.start()
        time.sleep(0.1)
        keeper.stop()
        assert time.monotonic() - start < 3.0
    engine.dispose()


def test_it_can_be_started_again(site: Site) -> None:
    keeper = DirectoryKeeper(site.engine, site.snapshot, poll_s=0.01)
    keeper.load()
    keeper.stop()  # never started: nothing to end

    def start_and_see(version: int) -> None:
        keeper.start()
        site.add_program()
        wait_for(lambda: keeper.version == version)
        keeper.stop()

    start_and_see(1)
    start_and_see(2)
