"""A log laid over its database, past damage, but without a commit that was never finished."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from clickledger.spool import wal

PAGE = 4096
FRAME = PAGE + 24


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A database and its log, which holds 8 commits of one row each: 1 to 8."""
    path = tmp_path_factory.mktemp("wal") / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for number in range(1, 9):
            connection.execute("INSERT INTO t VALUES (?, ?)", (number, bytes([number]) * 6000))
        return path.read_bytes(), Path(f"{path}-wal").read_bytes()


def rows(image: bytes | None) -> list[tuple[int, bool]]:
    """Read the rows: each number, and whether its content is what was written."""
    assert image is not None
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(image)
        found = connection.execute("SELECT x, y FROM t ORDER BY x").fetchall()
    return [(number, content == bytes([number]) * 6000) for number, content in found]


def whole(*numbers: int) -> list[tuple[int, bool]]:
    return [(number, True) for number in numbers]


def frames_of_last_commit(log: bytes) -> list[int]:
    starts = list(range(32, len(log), FRAME))
    ends = [start for start in starts if log[start + 4 : start + 8] != bytes(4)]
    return [start for start in starts if ends[-2] < start <= ends[-1]]


@pytest.mark.parametrize("torn_end", [True, False])
def test_a_sound_log_gives_every_row(files: tuple[bytes, bytes], *, torn_end: bool) -> None:
    database, log = files
    assert rows(wal.image(database, log, torn_end=torn_end)) == whole(*range(1, 9))


def test_zeros_behind_the_end_are_no_frames(files: tuple[bytes, bytes]) -> None:
    database, log = files
    image = wal.image(database, log + bytes(10 * FRAME + 7), torn_end=False)
    assert rows(image) == whole(*range(1, 9))
    assert rows(wal.image(database, bytes(32 + 10 * FRAME), torn_end=False)) == []
    assert rows(wal.image(database, b"", torn_end=False)) == []


def test_a_flipped_bit_hits_its_own_row_only(files: tuple[bytes, bytes]) -> None:
    database, log = files
    at = log.index(bytes([3]) * 100) + 50
    damaged = log[:at] + b"\x02" + log[at + 1 :]
    found = rows(wal.image(database, damaged, torn_end=False))
    assert found == [*whole(1, 2), (3, False), *whole(4, 5, 6, 7, 8)]


def test_the_log_s_own_header_is_not_needed(files: tuple[bytes, bytes]) -> None:
    database, log = files
    damaged = bytes(32) + log[32:]
    assert rows(wal.image(database, damaged, torn_end=False)) == whole(*range(1, 9))


@pytest.mark.parametrize("part", ["page", "header"])
def test_a_last_commit_without_all_its_frames_was_never_finished(
    files: tuple[bytes, bytes], part: str
) -> None:
    """As a kill leaves it between two writes, or a power cut that kept the later of them."""
    database, log = files
    for start in frames_of_last_commit(log):
        begin, end = (start + 24, start + FRAME) if part == "page" else (start, start + 24)
        torn = log[:begin] + bytes(end - begin) + log[end:]
        assert rows(wal.image(database, torn, torn_end=False)) == whole(*range(1, 8))


def test_a_last_commit_that_does_not_hold_is_there_for_who_wants_it(
    files: tuple[bytes, bytes],
) -> None:
    database, log = files
    at = log.rindex(bytes([8]) * 100) + 50
    damaged = log[:at] + b"\x02" + log[at + 1 :]
    assert rows(wal.image(database, damaged, torn_end=False)) == whole(*range(1, 8))
    found = rows(wal.image(database, damaged, torn_end=True))
    assert found == [*whole(*range(1, 8)), (8, False)]


def test_a_cut_log_ends_with_its_last_whole_commit(files: tuple[bytes, bytes]) -> None:
    database, log = files
    for size in range(0, len(log), 1000):
        found = rows(wal.image(database, log[:size], torn_end=False))
        assert found == whole(*range(1, len(found) + 1))
    assert len(rows(wal.image(database, log[:-1], torn_end=False))) == 7


def test_a_damaged_page_number_takes_no_memory(files: tuple[bytes, bytes]) -> None:
    database, log = files
    image = wal.image(database, log, torn_end=True)
    damaged = log[:32] + b"\xff\xff\xff\xff" + log[36:]
    found = wal.image(database, damaged, torn_end=True)
    assert image is not None
    assert found is not None
    assert len(found) <= len(image)


def test_what_is_no_database_is_none() -> None:
    assert wal.image(b"", b"", torn_end=False) is None
    assert wal.image(b"not a database at all" * 100, b"", torn_end=False) is None
