"""A log entry that a power cut tore is taken away, and what it said happens again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clickledger.errors import CorruptedError
from clickledger.lake.table import CHECKPOINT_EVERY
from clickledger.testing.loading import feed
from clickledger.testing.spools import click

NOW = 1_700_000_000_000_000


def entry(root: Path, version: int, name: str = ".json") -> Path:
    return root / "lake" / "clicks" / "_delta_log" / f"{version:020d}{name}"


def loaded(root: Path, loads: int) -> None:
    """Load one click ``loads`` times."""
    with feed(root) as one:
        for number in range(loads):
            one.spool([click(number, NOW)])
            one.load()


TEARS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "zeros": lambda data: bytes(len(data)),
    "half": lambda data: data[: len(data) // 2],
    "a hole": lambda data: data[:100] + bytes(50) + data[150:],
    "cut between two lines": lambda data: b"".join(data.splitlines(keepends=True)[:-1]),
}


@pytest.mark.parametrize("tear", TEARS.values(), ids=TEARS.keys())
def test_a_torn_commit_never_happened(tmp_path: Path, tear: Callable[[bytes], bytes]) -> None:
    loaded(tmp_path, 2)
    torn = entry(tmp_path, 2)
    torn.write_bytes(tear(torn.read_bytes()))
    with feed(tmp_path) as one:
        assert one.lake.version() == 1
        assert len(one.rows("sequence")) == 1
        assert torn.with_name(torn.name + ".torn").exists(), "its bytes are kept"
        one.spool([click(7, NOW)])
        assert one.load().version == 2
        assert len(one.rows("sequence")) == 2


def test_a_whole_log_is_left_as_it_is(tmp_path: Path) -> None:
    loaded(tmp_path, 2)
    before = {path.name: path.read_bytes() for path in entry(tmp_path, 0).parent.iterdir()}
    with feed(tmp_path):
        pass
    assert {p.name: p.read_bytes() for p in entry(tmp_path, 0).parent.iterdir()} == before


def test_a_torn_table_that_was_being_made_is_made_again(tmp_path: Path) -> None:
    loaded(tmp_path, 0)
    entry(tmp_path, 0).write_bytes(b'{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}\n')
    with feed(tmp_path) as one:
        one.spool([click(1, NOW)])
        assert one.load().clicks == 1


@pytest.mark.parametrize("name", [".checkpoint.parquet", None])
def test_a_torn_checkpoint_is_not_needed(tmp_path: Path, name: str | None) -> None:
    loaded(tmp_path, 1)
    with feed(tmp_path) as one:
        table = one.lake.clicks()
        for number in range(CHECKPOINT_EVERY):
            table.commit([], why="test", loaded={"other": number + 1})
            table.refresh()
    hint = entry(tmp_path, 0).with_name("_last_checkpoint")
    path = hint if name is None else entry(tmp_path, CHECKPOINT_EVERY, name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with feed(tmp_path) as one:
        assert one.lake.version() == CHECKPOINT_EVERY + 1
        assert one.lake.clicks().loaded("other") == CHECKPOINT_EVERY
        assert len(one.rows("sequence")) == 1


def test_more_damage_than_a_power_cut_leaves_is_not_touched(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        for number in range(7):
            one.lake.clicks().commit([], why="test", loaded={"other": number + 1})
    for version in range(2, 8):
        entry(tmp_path, version).write_bytes(b"")
    with pytest.raises(CorruptedError, match=r"6 entries .* put back a copy"), feed(tmp_path):
        pass
    assert entry(tmp_path, 2).exists()
