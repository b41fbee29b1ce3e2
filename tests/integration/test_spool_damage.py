"""Bytes change on the disk: what is hit is reported with what is left of it, all else is loaded."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from clickledger.clock import SteadyClock
from clickledger.errors import UnavailableError
from clickledger.spool import format as spool_format
from clickledger.spool import layout, verify
from clickledger.spool.reader import Spools
from clickledger.spool.receipts import Receipts
from clickledger.spool.segment import Row, SegmentReader, SegmentWriter
from clickledger.spool.writer import Writer
from clickledger.testing.spools import Drain, HandClock, click, until_ready

START = 1_700_000_000_000_000
PER_BATCH = 30  # about 12 kB: a batch fills pages of its own
BATCHES = 12


def fill(root: Path, *, segments: int = 1, batches: int = BATCHES, close: bool = True) -> Writer:
    """Write batches of clicks ``sequence * 1000 + position``, evenly over some segments."""
    hand = HandClock()
    spool = Writer.open(
        root, segment_bytes=1_000_000, segment_age_s=1, clock=SteadyClock(hand.read)
    )
    for sequence in range(1, batches + 1):
        if segments > 1 and (sequence - 1) % (batches // segments) == 0:
            until_ready(spool)
            hand.now += 1_000_000
        spool.append([click(sequence * 1000 + i) for i in range(PER_BATCH)], START + sequence)
    if close:
        spool.close()
    return spool


def segment(root: Path, number: int = 1) -> Path:
    (folder,) = layout.spool_folders(root)
    return layout.segment_path(folder, number)


def log(root: Path, number: int = 1) -> Path:
    return layout.companions(segment(root, number))[0]


def flip(path: Path, needle: bytes) -> None:
    """Change one bit wherever ``needle`` begins."""
    data = bytearray(path.read_bytes())
    at = data.find(needle)
    assert at >= 0
    while at >= 0:
        data[at] ^= 1
        at = data.find(needle, at + 1)
    path.write_bytes(data)


def wreck_page_of(path: Path, needle: bytes) -> None:
    """Overwrite the middle of each page that holds ``needle``: its links are gone."""
    data = bytearray(path.read_bytes())
    at = data.find(needle)
    assert at >= 0
    while at >= 0:
        frame = (at - 32) // 8216 * 8216 + 32
        data[frame + 24 : frame + 24 + 64] = bytes([255]) * 64
        at = data.find(needle, frame + 8216)
    path.write_bytes(data)


def batches_of(clicks: list[int]) -> list[int]:
    assert len(clicks) == len(set(clicks))
    found = sorted({number // 1000 for number in clicks})
    assert len(clicks) == PER_BATCH * len(found), "a batch comes whole or not at all"
    return found


def without(*sequences: int, of: int = BATCHES) -> list[int]:
    return [sequence for sequence in range(1, of + 1) if sequence not in sequences]


def test_a_flipped_bit_under_a_living_writer(tmp_path: Path) -> None:
    spool = fill(tmp_path, close=False)
    flip(log(tmp_path), b"subId1=%d" % 5007)
    with closing(spool), closing(Drain(tmp_path)) as drain:
        drain.all()

        assert batches_of(drain.clicks) == without(5)
        (found,) = drain.set_aside
        assert (found.spool_id, found.sequence, found.clicks) == (spool.spool_id, 5, PER_BATCH)
        assert (found.reason, found.first_received) == ("bad_checksum", START)
        assert b"subId1=5006" in found.raw, "with its bytes"
        assert b"subId1=5008" in found.raw
        spool.append([click(13_000 + i) for i in range(PER_BATCH)], START)
        assert batches_of(drain.all()) == without(5, of=13)


@pytest.mark.parametrize("sequence", [1, 5, BATCHES])
def test_a_flipped_bit_in_the_log_of_a_dead_writer(tmp_path: Path, sequence: int) -> None:
    """SQLite takes everything behind the flipped bit for never written. The spool does not."""
    fill(tmp_path)
    flip(log(tmp_path), b"subId1=%d" % (sequence * 1000 + 7))

    with closing(Drain(tmp_path)) as drain:
        drain.all()

        assert batches_of(drain.clicks) == without(sequence)
        (found,) = drain.set_aside
        assert (found.sequence, found.clicks, found.reason) == (sequence, PER_BATCH, "bad_checksum")
        assert b"subId1=%d" % (sequence * 1000 + 8) in found.raw
        assert layout.spool_folders(tmp_path) == []
        # The receipt says what was accepted, so that the books can be balanced.
        assert [receipt.sequence for receipt in drain.receipts()] == without()


def test_a_flipped_bit_in_a_header(tmp_path: Path) -> None:
    fill(tmp_path)
    with closing(Spools(tmp_path)) as spools:
        header = spools.list()[0].read(3, 1).batches[0].checksum
    flip(log(tmp_path), header)

    with closing(Drain(tmp_path)) as drain:
        drain.all()

        assert batches_of(drain.clicks) == without(4)
        (found,) = drain.set_aside
        assert (found.sequence, found.clicks, found.reason) == (4, 0, "bad_header")
        assert found.first_received is None
        assert b"subId1=4000" in found.raw


def test_a_bit_flipped_in_a_sealed_segment_of_a_living_writer(tmp_path: Path) -> None:
    spool = fill(tmp_path, segments=2, close=False)
    until_ready(spool)
    flip(log(tmp_path, 1), b"subId1=%d" % 2007)
    with closing(spool), closing(Drain(tmp_path)) as drain:
        assert batches_of(drain.all()) == without(2)
        assert [found.sequence for found in drain.set_aside] == [2]


@pytest.mark.parametrize("dead", [True, False])
def test_a_page_that_leads_nowhere(tmp_path: Path, *, dead: bool) -> None:
    """The page that continues batch 5 is not a page any more: SQLite gives nothing back of it."""
    spool = fill(tmp_path, segments=2, close=dead)
    wreck_page_of(log(tmp_path, 1), b"subId1=5025")

    with closing(spool), closing(Drain(tmp_path)) as drain:
        drain.all()

        assert batches_of(drain.clicks) == without(5)
        (found,) = drain.set_aside
        assert found.sequence == 5
        assert found.reason in ("bad_checksum", "unreadable")
        if found.reason == "unreadable":  # there are no bytes to hand over: the file is kept
            kept = layout.set_aside_folder(tmp_path, spool.spool_id, 1)
            assert {path.name for path in kept.iterdir()} >= {
                layout.REASON,
                "00000001.segment",
                "00000001.segment-wal",
            }


@pytest.mark.parametrize("key", [1, 49, 51, 99, 127])
@pytest.mark.parametrize("alive", [True, False])
def test_a_row_whose_key_is_damaged(tmp_path: Path, key: int, *, alive: bool) -> None:
    """Its header says which batch it is; a key that jumps ahead must not take others with it."""
    spool = Writer.open(
        tmp_path, segment_bytes=2_000_000, segment_age_s=60, clock=SteadyClock(HandClock().read)
    )
    for number in range(1, 101):
        spool.append([click(number)], START)
    if not alive:
        spool.close()
    data = bytearray(log(tmp_path).read_bytes())
    header = b"CLKB\x01\x00\x00\x00" + (50).to_bytes(8, "big")
    at = data.find(header)
    while at >= 0:
        assert data[at - 7] == 50, "the row's key stands before the lengths of its columns"
        data[at - 7] = key
        at = data.find(header, at + 1)
    log(tmp_path).write_bytes(data)

    for limit in (1, 7, 1000):
        with closing(Drain(tmp_path, chunk_clicks=limit)) as drain:
            for _ in range(200):
                drain.step(release=False)
            # What SQLite's search no longer finds is reported; nothing is passed over in silence.
            reported = {found.sequence for found in drain.set_aside}
            assert len(drain.clicks) == len(set(drain.clicks))
            assert set(drain.clicks) | reported == set(range(1, 101))
            assert len(drain.clicks) >= 98
    spool.close()


def wreck_leaf_of(path: Path, needle: bytes) -> None:
    """Make the page with the rows around ``needle`` no page of a table, wherever the log has it."""
    data = bytearray(path.read_bytes())
    frames = range(32, len(data) - 8216 + 1, 8216)
    hit = {bytes(data[at : at + 4]) for at in frames if needle in data[at + 24 : at + 8216]}
    for at in frames:
        if bytes(data[at : at + 4]) in hit:
            data[at + 24] = 99
    path.write_bytes(data)


@pytest.mark.parametrize("lost", ["the middle", "the end"])
def test_a_page_of_many_batches_that_is_none(tmp_path: Path, lost: str) -> None:
    """The batches on it are gone, those before and behind it are not; the file is kept."""
    spool = Writer.open(
        tmp_path, segment_bytes=2_000_000, segment_age_s=60, clock=SteadyClock(HandClock().read)
    )
    for number in range(1, 101):
        spool.append([click(number)], START)
    spool.close()
    wreck_leaf_of(log(tmp_path), b"subId1=%d" % (50 if lost == "the middle" else 100))

    with closing(Drain(tmp_path)) as drain:
        drain.all()

        gone = sorted(set(range(1, 101)) - set(drain.clicks))
        assert 5 < len(gone) < 30
        assert gone == list(range(gone[0], gone[-1] + 1))
        (found,) = drain.set_aside
        assert (found.sequence, found.reason, found.raw) == (gone[-1], "unreadable", b"")
        assert f"batches {gone[0]} to {gone[-1]}" in found.detail
        kept = layout.set_aside_folder(tmp_path, spool.spool_id, 1)
        assert (kept / "00000001.segment-wal").exists()
        assert [receipt.sequence for receipt in drain.receipts()] == [
            number for number in range(1, 101) if number not in gone
        ]


def test_a_log_that_lost_its_beginning(tmp_path: Path) -> None:
    """The log's header, which SQLite needs to believe any of it, is gone; the batches are not."""
    fill(tmp_path)
    data = bytearray(log(tmp_path).read_bytes())
    data[:32] = bytes(32)
    log(tmp_path).write_bytes(data)

    with closing(Drain(tmp_path)) as drain:
        assert batches_of(drain.all()) == without()
        assert drain.set_aside == []


def test_a_log_that_lost_its_end_is_missed(tmp_path: Path) -> None:
    """The mark knows which batch was the last that was promised."""
    spool = fill(tmp_path)
    data = log(tmp_path).read_bytes()
    log(tmp_path).write_bytes(data[: data.find(b"subId1=9007")])

    with closing(Drain(tmp_path)) as drain:
        drain.all()

        assert batches_of(drain.clicks) == without(9, 10, 11, 12)
        (found,) = drain.set_aside
        assert (found.sequence, found.reason, found.raw) == (BATCHES, "missing", b"")
        assert "after 8" in found.detail
        kept = layout.set_aside_folder(tmp_path, spool.spool_id, 1)
        assert json.loads((kept / layout.REASON).read_text())["reason"] == "it ends at batch 8"


def test_a_sealed_log_that_lost_its_end_is_missed_by_the_next_segment(tmp_path: Path) -> None:
    spool = fill(tmp_path, segments=3, close=False)
    until_ready(spool)
    data = log(tmp_path, 2).read_bytes()
    log(tmp_path, 2).write_bytes(data[: data.find(b"subId1=7007")])
    with closing(spool), closing(Drain(tmp_path)) as drain:
        drain.all()

        assert batches_of(drain.clicks) == without(7, 8)
        (found,) = drain.set_aside
        assert (found.sequence, found.reason) == (8, "missing")


def test_a_missing_segment_is_missed(tmp_path: Path) -> None:
    fill(tmp_path, segments=3)
    segment(tmp_path, 2).unlink()
    log(tmp_path, 2).unlink()

    with closing(Drain(tmp_path)) as drain:
        assert batches_of(drain.all()) == without(5, 6, 7, 8)
        (found,) = drain.set_aside
        assert (found.sequence, found.reason) == (8, "missing")


def test_a_spool_that_lost_all_its_segments_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    fill(tmp_path)
    for path in layout.spool_folders(tmp_path)[0].glob("*.segment*"):
        path.unlink()
    with (
        closing(Spools(tmp_path)) as spools,
        Receipts(tmp_path / "receipts.db") as receipts,
    ):
        (source,) = spools.list()
        assert not source.release(0, receipts, now=9).spool_removed

        chunk = source.read(0, 9)

        assert [(one.sequence, one.reason) for one in chunk.corrupted] == [(BATCHES, "missing")]
        assert source.release(chunk.last_sequence, receipts, now=9).spool_removed


def test_a_segment_that_is_removed_while_it_is_opened_is_gone(tmp_path: Path) -> None:
    """Its log may have been gone already: what was read of it must not be believed."""

    class Removed(SegmentReader):
        def _check(self, spool_id: str, number: int) -> None:
            super()._check(spool_id, number)
            segment(tmp_path).unlink()

    spool = fill(tmp_path)
    with pytest.raises(FileNotFoundError):
        Removed.open(segment(tmp_path), spool.spool_id, 1)


def overwritten(path: Path) -> None:
    path.write_bytes(b"not a database " * 1000)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def without_log(path: Path) -> None:
    overwritten(path)
    layout.companions(path)[0].unlink()


@pytest.mark.parametrize("damage", [overwritten, emptied, without_log])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_segment_that_cannot_be_read_at_all_is_kept_with_the_reason(
    tmp_path: Path, damage: Callable[[Path], None], number: int
) -> None:
    spool = fill(tmp_path, segments=3)
    damage(segment(tmp_path, number))
    before = segment(tmp_path, number).read_bytes()

    with closing(Drain(tmp_path)) as drain:
        drain.all()

        last = number * 4
        assert batches_of(drain.clicks) == without(last - 3, last - 2, last - 1, last)
        reported = {(found.sequence, found.reason) for found in drain.set_aside}
        assert (last, "unreadable") in reported
        assert layout.spool_folders(tmp_path) == []
        kept = layout.set_aside_folder(tmp_path, spool.spool_id, number)
        assert (kept / f"{number:08d}.segment").read_bytes() == before
        facts = json.loads((kept / layout.REASON).read_text())
        assert (facts["spool_id"], facts["segment"]) == (spool.spool_id, number)
        assert "nothing can be read" in facts["reason"]
        assert verify.verify(tmp_path).set_aside == (kept.name,)
        assert verify.reason(tmp_path, kept.name) == facts["reason"]


def test_a_dead_spool_of_which_nothing_can_be_read_at_all(tmp_path: Path) -> None:
    """Neither its only segment nor its mark: nobody knows what is lost, but that something is."""
    spool = fill(tmp_path)
    overwritten(segment(tmp_path))
    (segment(tmp_path).parent / layout.MARK).write_bytes(b"nothing of use")

    with closing(Drain(tmp_path)) as drain:
        assert drain.all() == []
        assert [(one.sequence, one.reason) for one in drain.set_aside] == [(1, "unreadable")]
        assert layout.spool_folders(tmp_path) == []
        kept = layout.set_aside_folder(tmp_path, spool.spool_id, 1)
        assert (kept / "00000001.segment-wal").exists()


def test_a_damaged_live_segment_holds_the_mark_until_it_is_complete(tmp_path: Path) -> None:
    spool = fill(tmp_path, close=False)
    wreck_page_of(log(tmp_path), b"subId1=5025")
    with closing(spool), closing(Spools(tmp_path)) as spools:
        spool.mark(START + 1000)
        chunk = spools.list()[0].read(0, 10_000)
        if chunk.exhausted:  # the damage is inside one batch: it is reported at once
            assert [found.sequence for found in chunk.corrupted] == [5]
        else:
            assert [batch.sequence for batch in chunk.batches] == [1, 2, 3, 4]
            assert chunk.low_water == START + 4


def test_a_file_in_the_wrong_spool_is_not_believed(tmp_path: Path) -> None:
    one = fill(tmp_path / "one")
    fill(tmp_path / "two")
    shutil.copy(segment(tmp_path / "two"), segment(tmp_path / "one"))
    shutil.copy(log(tmp_path / "two"), log(tmp_path / "one"))

    with closing(Drain(tmp_path / "one")) as drain:
        drain.all()

        assert drain.clicks == []
        assert [found.reason for found in drain.set_aside] == ["unreadable"]
        kept = layout.set_aside_folder(tmp_path / "one", one.spool_id, 1)
        assert "the file says it is segment" in verify.reason(tmp_path / "one", kept.name)


def test_a_segment_of_a_newer_version_waits_for_a_newer_program(tmp_path: Path) -> None:
    fill(tmp_path)
    with closing(sqlite3.connect(segment(tmp_path), isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 2")
        connection.execute("UPDATE segment SET format = 2")

    with closing(Spools(tmp_path)) as spools, pytest.raises(UnavailableError, match="format 2"):
        spools.list()[0].read(0, 100)
    assert segment(tmp_path).exists()


@pytest.mark.parametrize("place", ["PRAGMA user_version = 2", "UPDATE segment SET format = 2"])
def test_a_damaged_version_is_not_a_newer_one(tmp_path: Path, place: str) -> None:
    fill(tmp_path)
    with closing(sqlite3.connect(segment(tmp_path), isolation_level=None)) as connection:
        connection.execute(place)

    with closing(Drain(tmp_path)) as drain:
        assert batches_of(drain.all()) == without()


def test_a_damaged_schema_is_damage_and_no_crash(tmp_path: Path) -> None:
    """SQLite quotes it in its message, and it is no text any more."""
    fill(tmp_path, segments=3)
    for path in (segment(tmp_path, 2), log(tmp_path, 2)):
        data = path.read_bytes()
        path.write_bytes(data.replace(b"CREATE TABLE segment (", b"CREATE \xffABLE segment ("))

    with closing(Drain(tmp_path)) as drain:
        assert batches_of(drain.all()) == without(5, 6, 7, 8)
        assert [(found.sequence, found.reason) for found in drain.set_aside] == [(8, "unreadable")]


def test_what_stands_behind_a_failed_commit_is_never_taken_for_a_batch(tmp_path: Path) -> None:
    """A commit fails, its bytes are on the disk all the same, and the writer has gone on."""
    spool = fill(tmp_path, batches=3, close=False)
    until_ready(spool)
    inner = spool._spool
    assert inner is not None
    failed = inner._segment
    inner._sound = False  # as after an input/output error: the next batch goes elsewhere
    number = spool.append([click(5000 + i) for i in range(PER_BATCH)], START)
    assert number == 4
    # The bytes of the commit that failed: a batch that nobody promised.
    codec = spool_format.Codec(spool.spool_id)
    payload = spool_format.encode_clicks([click(4000 + i) for i in range(PER_BATCH)])
    spool.close()
    header = codec.seal(
        payload,
        sequence=4,
        previous=3,
        clicks=PER_BATCH,
        first_received=START,
        last_received=START,
        low_water=START,
    )
    ghost(segment(tmp_path, failed.number), 4, header, payload)

    with closing(Drain(tmp_path)) as drain:
        assert batches_of(drain.all()) == [1, 2, 3, 5]
        assert drain.set_aside == []
        assert [receipt.sequence for receipt in drain.receipts()] == [1, 2, 3, 4]


def ghost(path: Path, sequence: int, header: bytes, payload: bytes) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO batches VALUES (?, ?, ?)", (sequence, header, payload))


def test_segments_close_without_a_checkpoint(tmp_path: Path) -> None:
    """A second write of every click is what the design avoids; see README.md."""
    folder = tmp_path / "spool"
    folder.mkdir()
    writer = SegmentWriter.create(folder, 1, spool_id="x", capacity=100_000)
    before = layout.segment_path(folder, 1).read_bytes()
    codec = spool_format.Codec("x")
    payload = spool_format.encode_clicks([click(1)])
    header = codec.seal(
        payload,
        sequence=1,
        previous=0,
        clicks=1,
        first_received=1,
        last_received=1,
        low_water=1,
    )
    writer.commit([Row(1, header, payload)], 1)
    writer.close()

    assert layout.segment_path(folder, 1).read_bytes() == before
    assert payload in layout.companions(layout.segment_path(folder, 1))[0].read_bytes()
