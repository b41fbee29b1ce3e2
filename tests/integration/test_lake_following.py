"""Following the lake: what a load added, and reading it in pieces that memory can hold."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clickledger.errors import GoneError, UnavailableError
from clickledger.lake.following import Addition, Log, pieces
from clickledger.testing.loading import Feed, feed
from clickledger.testing.spools import click

START = 1_700_000_000_000_000
DAY = 86_400_000_000


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Feed]:
    with feed(tmp_path) as one:
        yield one


def test_a_load_is_one_entry_with_its_files_and_spools(lake: Feed) -> None:
    log = Log(lake.lake)
    assert log.after(0) is None
    first = lake.spool([click(1, START)], [click(2, START + 7), click(3, START - DAY)])
    second = lake.spool([click(4, START + 5, program_id=-1)])
    lake.load()
    entry = log.after(0)
    assert entry is not None
    assert (entry.version, entry.rows, len(entry.files)) == (1, 3, 2)
    assert all(file.exists() for file in entry.files)
    assert entry.spools == {first: (2, START + 7), second: (1, START + 7)}
    assert log.after(1) is None


def test_a_load_of_dead_letters_alone_has_no_clicks(lake: Feed) -> None:
    spool = lake.spool([click(1, START, program_id=-1)])
    lake.load()
    assert Log(lake.lake).after(0) == Addition(version=1, spools={spool: (1, 0)})


def test_an_entry_that_is_no_load_adds_nothing(lake: Feed) -> None:
    table = lake.lake.clicks()
    table.keep_versions(3)
    assert Log(lake.lake).after(0) == Addition(version=1)


def test_the_present_is_what_was_received_since(lake: Feed) -> None:
    old = lake.spool([click(1, START)])
    lake.load()
    new = lake.spool([click(2, START + 10)], [click(3, START + 20)])
    lake.load()
    log = Log(lake.lake)
    present = log.present(START + 1)
    assert (present.version, present.rows) == (2, 2)
    assert present.spools == {new: (2, START + 20)}
    assert log.present(START).spools.keys() == {old, new}
    assert log.present(START + 21) == Addition(version=2)


def test_a_version_that_was_taken_back_is_gone(lake: Feed) -> None:
    log = Log(lake.lake)
    with pytest.raises(GoneError, match="no entry after version 1"):
        log.after(1)


@pytest.mark.parametrize("read_rows", [1000, 7, 1])
@pytest.mark.parametrize("ranges", [1000, 3, 1])
@pytest.mark.parametrize("limit", [1000, 5, 1])
def test_pieces_hold_every_click_in_order_and_whole_batches(
    big: tuple[Addition, list[tuple[str, int, int]]], read_rows: int, ranges: int, limit: int
) -> None:
    addition, keys = big
    found = list(
        pieces(
            addition,
            ["click_id"],
            received_from=START,
            programs=[3],
            limit=limit,
            read_rows=read_rows,
            ranges=ranges,
        )
    )
    rows = [tuple(row.values())[:3] for piece in found for row in piece.to_pylist()]
    assert rows == keys
    batches = [{row[:2] for row in zip(*list(piece.columns)[:2], strict=True)} for piece in found]
    assert sum(map(len, batches)) == len(set().union(*batches))
    assert all(len(piece) >= limit for piece in found[:-1]) or read_rows < 1000
    assert found[0].column_names == [
        "spool_id",
        "sequence",
        "position",
        "received_time",
        "click_id",
    ]
    assert found[0]["received_time"][0].as_py() >= START


@pytest.fixture(scope="module")
def big(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Addition, list[tuple[str, int, int]]]:
    """Make a lake of three spools, and name the clicks of program 3 received from the start on."""
    keys = []
    with feed(tmp_path_factory.mktemp("big")) as one:
        for number in range(3):
            batches = [
                [
                    click(
                        batch * 4 + position,
                        START - 1 if batch == 9 else START + batch,
                        program_id=4 if position == 2 else 3,
                    )
                    for position in range(4)
                ]
                for batch in range(5 + 10 * number)
            ]
            spool = one.spool(*batches)
            keys += [
                (spool, batch + 1, position)
                for batch in range(len(batches))
                for position in (0, 1, 3)
                if batch != 9
            ]
        one.load()
        addition = Log(one.lake).after(0)
    assert addition is not None
    return addition, sorted(keys)


def test_a_file_that_is_gone_or_broken_is_said(lake: Feed) -> None:
    lake.spool([click(1, START)])
    lake.load()
    addition = Log(lake.lake).after(0)
    assert addition is not None

    def read() -> object:
        return list(pieces(addition, [], received_from=0, programs=[3], limit=10))

    (file,) = addition.files
    file.write_bytes(b"PAR1 not really")
    with pytest.raises(UnavailableError, match="cannot be read"):
        read()
    file.unlink()
    with pytest.raises(GoneError, match="not kept any more"):
        read()
