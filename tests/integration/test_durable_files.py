"""Small files replaced as a whole."""

import threading
from pathlib import Path

import pytest

from clickledger import durable


def test_a_file_is_replaced_as_a_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.write(path, b"one")
    path.chmod(0o644)
    with path.open("rb") as reading:
        durable.write(path, b"two")
        assert reading.read() == b"one"
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_changes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    """The fault: a folder bears the name."""
    path = tmp_path / "file"
    path.mkdir()
    (path / "inside").touch()
    with pytest.raises(OSError, match="file"):
        durable.write(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_turns_are_taken_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_bytes(b"0")

    def count() -> None:
        for _ in range(25):
            with durable.turn(path):
                durable.write(path, str(int(path.read_bytes()) + 1).encode())

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == b"100"
