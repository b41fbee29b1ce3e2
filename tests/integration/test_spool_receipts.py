"""Receipts outlive what they are for; they are added once, read in order, purged by age."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clickledger.errors import UnavailableError
from clickledger.spool import receipts as receipts_module
from clickledger.spool.model import Receipt
from clickledger.spool.receipts import Receipts

OLD = "0190a1b2c3d4-0123456789abcdef"
NEW = "0190a1b2c3d5-0123456789abcdef"


def receipt(sequence: int, spool_id: str = OLD, released: int = 1000) -> Receipt:
    return Receipt(
        spool_id=spool_id,
        sequence=sequence,
        clicks=sequence * 2,
        checksum=sequence.to_bytes(16, "big"),
        first_received=sequence * 10,
        last_received=sequence * 10 + 7,
        released=released,
    )


def test_receipts_come_back_in_order_of_age(tmp_path: Path) -> None:
    path = tmp_path / "receipts.db"
    with Receipts(path) as receipts:
        receipts.add([receipt(1, NEW), receipt(2), receipt(1)])
        receipts.add([receipt(3)])
    with Receipts(path) as receipts:
        assert list(receipts.iterate()) == [receipt(1), receipt(2), receipt(3), receipt(1, NEW)]
        assert list(receipts.iterate(OLD, after=1)) == [receipt(2), receipt(3)]
        assert list(receipts.iterate(NEW)) == [receipt(1, NEW)]
        assert list(receipts.iterate("unknown")) == []


def test_adding_again_changes_nothing(tmp_path: Path) -> None:
    with Receipts(tmp_path / "receipts.db") as receipts:
        receipts.add([receipt(1), receipt(2)])
        receipts.add([receipt(2, released=5000), receipt(3)])
        assert list(receipts.iterate()) == [receipt(1), receipt(2), receipt(3)]


def test_a_purge_takes_the_old_and_leaves_the_rest(tmp_path: Path) -> None:
    with Receipts(tmp_path / "receipts.db") as receipts:
        receipts.add([receipt(number, released=100 + number) for number in range(1, 6)])
        receipts.add([receipt(number, NEW, released=103) for number in range(1, 3)])

        assert receipts.purge(before=103) == 2
        assert [found.sequence for found in receipts.iterate()] == [3, 4, 5, 1, 2]
        assert receipts.purge(before=103) == 0
        assert receipts.purge(before=1000) == 5
        assert list(receipts.iterate()) == []


def test_a_purge_of_more_than_one_transaction(tmp_path: Path) -> None:
    many = receipts_module._PURGE_ROWS + 5
    with Receipts(tmp_path / "receipts.db") as receipts:
        receipts.add(receipt(number) for number in range(1, many + 1))
        receipts.add([receipt(many + 1, released=2000)])

        assert receipts.purge(before=2000) == many
        assert list(receipts.iterate()) == [receipt(many + 1, released=2000)]


def test_a_receipt_is_small(tmp_path: Path) -> None:
    """It is kept 90 days for each batch: 50 bytes of it, not 100."""
    path = tmp_path / "receipts.db"
    with Receipts(path) as receipts:
        receipts.add(
            Receipt(
                spool_id=OLD,
                sequence=number,
                clicks=20,
                checksum=bytes(16),
                first_received=1_700_000_000_000_000 + number,
                last_received=1_700_000_000_001_000 + number,
                released=1_700_000_005_000_000,
            )
            for number in range(10_000)
        )
    assert path.stat().st_size < 60 * 10_000


def test_an_interrupted_addition_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Receipt]:
        yield receipt(1)
        raise KeyError("the caller failed")

    with Receipts(tmp_path / "receipts.db") as receipts:
        with pytest.raises(KeyError):
            receipts.add(broken())
        assert list(receipts.iterate()) == []
        receipts.add([receipt(2)])
        assert list(receipts.iterate()) == [receipt(2)]


def test_reading_needs_a_file_and_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "receipts.db"
    with pytest.raises(UnavailableError, match=r"receipts\.db"):
        Receipts(path, read_only=True)
    assert not path.exists()
    with Receipts(path) as writing, Receipts(path, read_only=True) as reading:
        writing.add([receipt(1)])
        assert list(reading.iterate()) == [receipt(1)]
        with pytest.raises(UnavailableError):
            reading.add([receipt(2)])


def test_a_file_that_is_not_receipts_is_named(tmp_path: Path) -> None:
    path = tmp_path / "receipts.db"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(UnavailableError, match="not a database"):
        Receipts(path)
