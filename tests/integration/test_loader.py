"""Spool → lake: exactly once, dead letters apart, the mark never ahead of the clicks."""

import errno
import os
import shutil
import stat
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from clickledger.clock import DAY, SECOND
from clickledger.errors import UnavailableError
from clickledger.lake import watermark
from clickledger.lake.files import ROWS
from clickledger.lake.letters import DeadLetters, Letter
from clickledger.lake.schema import STATISTICS_COLUMNS
from clickledger.lake.table import CHECKPOINT_EVERY, CommitConflictError, Table
from clickledger.spool import format as spool_format
from clickledger.spool.model import Click
from clickledger.testing.loading import Feed, feed
from clickledger.testing.spools import HandClock, click

NOW = 20_000 * DAY + DAY // 2


def clicks(first: int, count: int, received: int = NOW) -> list[Click]:
    return [click(n, received + n) for n in range(first, first + count)]


def ids(found: Feed) -> list[str]:
    return [str(row["click_id"]) for row in found.rows("click_id")]


def test_clicks_arrive_with_their_row_key_and_the_spool_goes(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        spool_id = one.spool(clicks(0, 3), clicks(3, 2))
        report = one.load()
        assert (report.clicks, report.dead_letters, report.problems) == (5, 0, ())
        rows = one.rows("click_id", "program_name", "event_time", "unique_click")
        keys = [(row["spool_id"], row["sequence"], row["position"]) for row in rows]
        assert keys == [(spool_id, 1, 0), (spool_id, 1, 1), (spool_id, 1, 2),
                        (spool_id, 2, 0), (spool_id, 2, 1)]  # fmt: skip
        assert ids(one) == [f"{n:032}" for n in range(5)]
        assert {row["program_name"] for row in rows} == {"Shoes"}
        assert {row["unique_click"] for row in rows} == {None}
        assert one.spools.list() == []
        assert [(r.sequence, r.clicks) for r in one.receipts.iterate()] == [(1, 3), (2, 2)]


def test_loading_again_adds_nothing(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        one.spool(clicks(0, 5))
        version = one.load().version
        assert one.load().version == version
        assert one.loader().load_once().clicks == 0
        assert len(one.rows("sequence")) == 5


def test_a_loader_that_dies_before_the_release_loads_nothing_twice(tmp_path: Path) -> None:
    """The spool is put back as it was before the load: the table knows better."""
    with feed(tmp_path / "a") as one:
        one.spool(clicks(0, 5), clicks(5, 5))
        shutil.copytree(one.folder.spool, tmp_path / "before")
        one.load()
    shutil.rmtree(tmp_path / "a" / "spool")
    shutil.copytree(tmp_path / "before", tmp_path / "a" / "spool")
    with feed(tmp_path / "a") as again:
        report = again.load()
        assert (report.clicks, again.spools.list()) == (0, [])
        assert len(again.rows("sequence")) == 10


def test_each_utc_date_is_a_partition_with_exact_statistics(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        midnight = 20_000 * DAY
        one.spool(clicks(0, 2, midnight - 1))
        one.load()
        files = one.lake.snapshot().all_files
        assert [(str(f.event_date), f.rows) for f in files] == [
            ("2024-10-03", 1),
            ("2024-10-04", 1),
        ]
        assert [(f.min_time, f.max_time) for f in files] == [
            (midnight - 1, midnight - 1),
            (midnight, midnight),
        ]
        assert {(f.min_program, f.max_program, f.sorted) for f in files} == {(3, 3, False)}
        assert one.lake.snapshot().files(midnight, midnight + 1) == [files[1]]


def test_the_log_keeps_no_personal_data(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        one.spool(clicks(0, 3))
        one.load()
        log = "".join(
            path.read_text() for path in (one.lake.clicks_path / "_delta_log").glob("*.json")
        )
        for secret in ("198.51.100.7", "01234567-89ab", "Mozilla", "subId1", "shop.example"):
            assert secret not in log
        (file,) = one.lake.snapshot().all_files
        assert set(file.data.least) == set(STATISTICS_COLUMNS)


def test_undecodable_clicks_go_alone(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        writer = one.writer()
        good = click(1, NOW)
        # A click of the wrong shape, as a later version or a defect might write it.
        writer.append([good, msgspec.structs.replace(good, media_id="soon"), click(2, NOW)], NOW)
        spool_id = writer.spool_id
        writer.close()
        report = one.load()
        assert (report.clicks, report.dead_letters) == (2, 1)
        (letter,) = one.letters()
        assert (letter["spool_id"], letter["sequence"], letter["position"]) == (spool_id, 1, 1)
        assert (letter["reason"], letter["clicks"]) == ("undecodable", 1)
        assert isinstance(letter["raw"], bytes)
        assert b"soon" in letter["raw"]
        assert [row["position"] for row in one.rows("position")] == [0, 2]
        assert one.metrics.registry.get_sample_value(
            "clickledger_lake_dead_letters_total", {"reason": "undecodable"}
        ) == 1  # fmt: skip


def test_unfit_clicks_go_alone_with_raw_bytes_that_decode_again(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        bad = click(1, NOW, program_id=2**63)
        one.spool([click(0, NOW), bad, click(2, NOW)], [click(3, NOW)])
        report = one.load()
        assert (report.clicks, report.dead_letters) == (3, 1)
        (letter,) = one.letters()
        assert (letter["reason"], letter["position"]) == ("bad_id", 1)
        assert isinstance(letter["raw"], bytes)
        assert spool_format.decode_click(letter["raw"]) == bad


def test_a_chunk_of_nothing_but_dead_letters_moves_on(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        one.spool([click(1, NOW, program_id=-1)])
        assert one.load().dead_letters == 1
        assert one.spools.list() == []
        assert one.load().dead_letters == 0
        assert len(one.letters()) == 1


def damage(folder: Path, marker: bytes) -> None:
    """Change one bit wherever ``marker`` is stored."""
    for path in folder.glob("*/*.segment*"):
        path.write_bytes(path.read_bytes().replace(marker, marker[:-1] + bytes([marker[-1] ^ 1])))


def test_a_batch_whose_checksum_fails_is_set_aside_whole_and_once(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        spool_id = one.spool([click(0, NOW)], [click(1, NOW, query=b"sub=MARKER")], [click(2, NOW)])
        damage(one.folder.spool, b"MARKER")
        report = one.load()
        assert report.clicks + report.dead_letters == 3
        letters = one.letters()
        assert {(row["spool_id"], row["position"]) for row in letters} == {(spool_id, -1)}
        assert all(row["reason"] for row in letters)
        assert one.load().dead_letters == 0
        assert one.letters() == letters
        assert one.spools.list() == []


def test_letters_of_a_load_that_got_no_further_are_not_repeated(tmp_path: Path) -> None:
    """Dead letters are committed first: killed in between, the click must not be on both sides."""
    with feed(tmp_path) as one:
        one.spool([click(0, NOW), click(1, NOW, program_id=-1)], [click(2, NOW)])
        shutil.copytree(one.folder.spool, tmp_path / "before")
        shutil.copytree(one.lake.clicks_path, tmp_path / "clicks")
        one.load()
        first = one.letters()
    shutil.rmtree(tmp_path / "spool")
    shutil.copytree(tmp_path / "before", tmp_path / "spool")
    shutil.rmtree(tmp_path / "lake" / "clicks")
    shutil.copytree(tmp_path / "clicks", tmp_path / "lake" / "clicks")
    with feed(tmp_path) as again:
        report = again.load()
        assert (report.clicks, report.dead_letters) == (2, 0)
        assert again.letters() == first
        keys = [(row["sequence"], row["position"]) for row in again.rows("sequence")]
        assert keys == [(1, 0), (2, 0)]


@pytest.mark.parametrize("table", ["clicks", "dead_letters"])
def test_nothing_is_released_before_both_logs_are_on_disk(tmp_path: Path, table: str) -> None:
    """Also what an earlier attempt committed, and could not sync."""
    with feed(tmp_path) as one:
        spool_id = one.spool([click(0, NOW, program_id=-1)])
        letter = Letter(spool_id=spool_id, sequence=1, position=0, clicks=1, received=None,
                        reason="bad_id", detail="", raw=b"")  # fmt: skip
        DeadLetters(one.lake.dead_letters()).record([letter], {spool_id: 1}, NOW)
        Table(one.lake.clicks_path).commit([], why="load", loaded={spool_id: 1})
        path = tmp_path / "lake" / table
        Table(path).checkpoint()  # so that nobody needs to read the entry itself
        loader = one.loader()
        entry = path / "_delta_log" / f"{1:020d}.json"
        entry.rename(tmp_path / "kept")
        os.mknod(entry, stat.S_IFSOCK | 0o600)  # a file that is there, and cannot be opened
        with pytest.raises(OSError, match=entry.name) as refused:
            loader.load_once()
        assert refused.value.errno == errno.ENXIO, "refused by the sync, not by the library"
        assert [source.id for source in one.spools.list()] == [spool_id]
        (tmp_path / "kept").replace(entry)
        assert loader.load_once().dead_letters == 0
        assert one.spools.list() == []
        assert len(one.letters()) == 1


def test_a_click_that_was_set_aside_before_stays_there(tmp_path: Path) -> None:
    """Also when a later version could read it: a row key is on one side only."""
    with feed(tmp_path) as one:
        spool_id = one.spool([click(0, NOW), click(1, NOW)])
        _letter(one, spool_id, position=1)
        assert one.load().clicks == 1
        assert [row["position"] for row in one.rows("position")] == [0]


def _letter(one: Feed, spool_id: str, *, position: int) -> None:
    letter = Letter(
        spool_id=spool_id,
        sequence=1,
        position=position,
        clicks=1,
        received=None,
        reason="undecodable",
        detail="",
        raw=b"",
    )
    DeadLetters(one.lake.dead_letters()).record([letter], {spool_id: 1}, NOW)


def test_the_mark_follows_what_is_loaded(tmp_path: Path) -> None:
    clock = HandClock(NOW)
    with feed(tmp_path, clock=clock.read) as one:
        assert watermark.read(one.folder.watermark) is None
        assert one.load().complete_through == NOW, "no spools: nothing can come that is older"
        writer = one.writer()
        writer.append([click(0, NOW + SECOND)], NOW + SECOND)
        clock.now += 60 * SECOND
        assert one.load().complete_through == NOW + SECOND, "a live spool holds the mark"
        report = one.load()
        assert writer.spool_id in report.held_by
        writer.mark(NOW + 50 * SECOND)
        assert one.load().complete_through == NOW + 50 * SECOND
        writer.close()
        assert one.load().complete_through == NOW + 60 * SECOND, "an ended one, drained, does not"


def test_the_mark_does_not_pass_what_is_not_loaded_yet(tmp_path: Path) -> None:
    clock = HandClock(NOW + 100 * SECOND)
    with feed(tmp_path, clock=clock.read) as one:
        one.batch_clicks = 2
        one.spool(clicks(0, 2), clicks(2, 2), clicks(4, 2))
        loader = one.loader()
        marks: list[int] = []
        while not (report := loader.load_once()).exhausted:
            marks.append(report.complete_through or 0)
        assert marks[0] == NOW + 1
        assert marks == sorted(marks)
        assert report.complete_through == clock.now


def test_the_mark_never_goes_back(tmp_path: Path) -> None:
    path = tmp_path / "mark.json"
    assert watermark.publish(path, 5, now=5) == 5
    assert watermark.publish(path, 3, now=5) == 5
    assert watermark.read(path) == 5
    path.write_bytes(b"")
    assert watermark.read(path) is None
    assert watermark.publish(path, 4, now=5) == 4


def test_a_mark_of_a_clock_that_was_ahead_does_not_stay(tmp_path: Path) -> None:
    clock = HandClock(NOW + DAY)
    with feed(tmp_path, clock=clock.read) as one:
        assert one.load().complete_through == NOW + DAY
        clock.now = NOW
        assert one.load().complete_through == NOW
        assert watermark.read(one.folder.watermark) == NOW


def test_a_spool_that_cannot_be_read_holds_the_mark_and_nobody_else(tmp_path: Path) -> None:
    clock = HandClock(NOW)
    with feed(tmp_path, clock=clock.read) as one:
        assert one.load().complete_through == NOW
        bad = one.spool(clicks(0, 2))
        (segment,) = (one.folder.spool / bad).glob("*.segment")
        for file in segment.parent.glob("*.segment*"):
            file.unlink()
        segment.mkdir()
        clock.now += SECOND
        one.spool(clicks(2, 2))
        report = one.loader().load_once()
        assert report.clicks == 2
        assert bad in report.problems[0]
        assert report.complete_through == NOW
        assert bad in report.held_by


def test_a_missing_spool_folder_holds_the_mark(tmp_path: Path) -> None:
    clock = HandClock(NOW)
    with feed(tmp_path, clock=clock.read) as one:
        one.spool(clicks(0, 2))
        loader = one.loader()
        one.folder.spool.rename(tmp_path / "away")
        with pytest.raises(UnavailableError, match="spools cannot be listed"):
            loader.load_once()
        assert watermark.read(one.folder.watermark) is None
        (tmp_path / "away").rename(one.folder.spool)
        report = loader.load_once()
        assert (report.clicks, report.complete_through) == (2, NOW)


def test_two_table_objects_cannot_commit_one_batch_twice(tmp_path: Path) -> None:
    """What the lease prevents, the table refuses as well."""
    with feed(tmp_path) as one:
        one.spool(clicks(0, 3))
        first, second = one.loader(), one.loader()
        assert first.load_once().clicks == 3
        assert second.load_once().clicks == 0
        assert len(one.rows("sequence")) == 3
    stale = Table(tmp_path / "lake" / "clicks")
    fresh = Table(tmp_path / "lake" / "clicks")
    fresh.commit([], why="test", loaded={"x": 1})
    with pytest.raises(CommitConflictError):
        stale.commit([], why="test", loaded={"y": 1})
    stale.refresh()
    assert (stale.loaded("x"), stale.loaded("y")) == (1, 0)


def test_a_commit_of_another_engine_in_between_is_no_obstacle(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        loader = one.loader()
        loader.load_once()
        Table(one.lake.clicks_path).commit([], why="somebody", loaded={"other": 1})
        one.spool(clicks(0, 3))
        assert loader.load_once().clicks == 3


def test_nothing_is_loaded_without_the_lease(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        with one.lease.held(), pytest.raises(UnavailableError, match="another process"), \
             one.lease.held(timeout_s=0.05):  # fmt: skip
            pass
        with one.lease.held(timeout_s=0.05):
            pass


def test_checkpoints_keep_opening_fast(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        loader = one.loader()
        writer = one.writer()
        for number in range(CHECKPOINT_EVERY + 2):
            writer.append([click(number, NOW)], NOW)
            assert loader.load_once().clicks == 1
        writer.close()
        log = one.lake.clicks_path / "_delta_log"
        assert (log / f"{CHECKPOINT_EVERY:020d}.checkpoint.parquet").exists()
        assert len(ids(one)) == CHECKPOINT_EVERY + 2
        assert one.lake.clicks().loaded(writer.spool_id) == CHECKPOINT_EVERY + 2


def test_waiting_counts_what_is_behind_the_loaded(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        one.batch_clicks = 2
        writer = one.writer()
        for start in range(0, 6, 2):
            writer.append(clicks(start, 2), NOW)
        loader = one.loader()
        loader.load_once()
        assert loader.waiting() == 4
        writer.close()


def test_data_files_hold_all_columns_in_the_declared_order(tmp_path: Path) -> None:
    with feed(tmp_path) as one:
        one.spool(clicks(0, 1))
        one.load()
        (file,) = one.lake.snapshot().all_files
        names = pq.read_schema(file.path).names
        assert names[0] == "spool_id"
        assert "event_date" not in names, "the folder's name says it"
        assert names == ROWS.names
