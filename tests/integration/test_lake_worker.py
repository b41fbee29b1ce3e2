"""The lake's threads in the worker process: loading within seconds, upkeep, faults, the end."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from clickledger.clock import DAY, SteadyClock, wall_clock
from clickledger.config import DataFolder, Settings
from clickledger.errors import UnavailableError
from clickledger.lake.lease import Lease
from clickledger.lake.store import Lake
from clickledger.lake.work import LakeWorker
from clickledger.metrics import Metrics
from clickledger.spool import layout
from clickledger.spool.model import Receipt
from clickledger.spool.receipts import Receipts
from clickledger.spool.writer import Writer
from clickledger.testing.loading import VISITOR_KEY, directory, stored
from clickledger.testing.spools import click


def worker(
    folder: DataFolder,
    metrics: Metrics,
    pins: Callable[[], Sequence[int]] = lambda: (),
    **settings: float,
) -> LakeWorker:
    return LakeWorker(
        lake=Lake.open(str(folder.lake)),
        folder=folder,
        names=directory,
        visitor_key=VISITOR_KEY,
        pins=pins,
        settings=Settings(load_interval_s=0.05, **settings),  # type: ignore[arg-type] # numbers
        metrics=metrics,
    )


def writer(folder: DataFolder) -> Writer:
    folder.spool.mkdir(exist_ok=True)
    return Writer.open(folder.spool, segment_bytes=2**24, segment_age_s=600, clock=SteadyClock())


def eventually(condition: Callable[[], object], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_clicks_arrive_while_it_runs_and_the_mark_follows(tmp_path: Path) -> None:
    folder, metrics = DataFolder(tmp_path), Metrics()
    spool, running = writer(folder), worker(folder, metrics)
    running.start()
    try:
        for number in range(5):
            now = wall_clock()
            spool.append([click(number, now)], now)
        lake = Lake.open(str(folder.lake))
        eventually(lambda: len(stored(lake, "sequence")) == 5)
        eventually(lambda: (running.status()["complete_through"] or 0) == now)
        status = running.status()
        assert (status["fault"], status["faults"], status["exhausted"]) == ("", 0, True)
        value = metrics.registry.get_sample_value
        assert value("clickledger_lake_loaded_clicks_total") == 5
        assert value("clickledger_spool_waiting_clicks") == 0
    finally:
        running.stop()
    spool.close()
    assert not any(thread.is_alive() for thread in running._threads)


def test_halt_ends_both_threads_without_waiting(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.spool.mkdir()
    lease = Lease(folder.locks / "lake")
    running = worker(folder, Metrics(), compact_interval_s=3600)
    running.start()
    with lease.held():  # a load waits for it
        begun = time.monotonic()
        running.halt()
        assert time.monotonic() - begun < 1
    eventually(lambda: not any(thread.is_alive() for thread in running._threads))
    running.stop()


def test_upkeep_runs_by_itself(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    spool = writer(folder)
    old = wall_clock() - 2 * DAY
    running = worker(
        folder, Metrics(), compact_interval_s=0.1, close_day_after_s=0, vacuum_interval_s=0.3
    )
    running.start()
    try:
        lake = Lake.open(str(folder.lake))
        spool.append([click(number, old + number) for number in range(5)], wall_clock())
        spool.close()
        eventually(lambda: any(file.sorted for file in lake.snapshot().all_files))
        assert {row["unique_click"] for row in stored(lake)} == {True, False}
        assert running.status()["fault"] == ""
    finally:
        running.stop()


def test_faults_are_told_and_do_not_end_it(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)

    def no_database() -> Sequence[int]:
        raise UnavailableError("no database")

    running = worker(
        folder, Metrics(), no_database, compact_interval_s=0.05, vacuum_interval_s=0.05
    )
    folder.spool.mkdir()
    (folder.spool / "receipts.db").mkdir()
    running.start()
    try:
        eventually(lambda: "receipts" in str(running.status()["fault"]))
        eventually(
            lambda: "vacuum: UnavailableError: no database" in str(running.status()["fault"])
        )
        (folder.spool / "receipts.db").rmdir()
        spool = writer(folder)
        spool.append([click(1, wall_clock())], wall_clock())
        spool.close()
        lake = Lake.open(str(folder.lake))
        eventually(lambda: len(stored(lake, "sequence")) == 1)
        eventually(lambda: "receipts" not in str(running.status()["fault"]))
        assert isinstance(running.status()["faults"], int)
        assert running.status()["faults"] != 0
    finally:
        running.stop()


def test_a_missing_spool_folder_is_told_holds_the_mark_and_may_come_back(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    spool = writer(folder)
    running = worker(folder, Metrics())
    running.start()
    try:
        eventually(lambda: running.status()["exhausted"])
        folder.spool.rename(tmp_path / "away")
        eventually(lambda: str(folder.spool) in str(running.status()["fault"]))
        mark = running.status()["complete_through"]
        eventually(lambda: int(str(running.status()["faults"])) > 1)
        assert not folder.spool.exists()
        assert running.status()["complete_through"] == mark
        (tmp_path / "away").rename(folder.spool)
        now = wall_clock()
        spool.append([click(1, now)], now)
        eventually(lambda: len(stored(Lake.open(str(folder.lake)), "sequence")) == 1)
        eventually(lambda: running.status()["complete_through"] == now)
        assert running.status()["fault"] == ""
    finally:
        running.stop()
    spool.close()


def test_old_receipts_go(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.spool.mkdir()
    with Receipts(folder.spool / layout.RECEIPTS) as receipts:
        receipts.add(
            Receipt(
                spool_id="gone",
                sequence=days,
                clicks=1,
                checksum=b"",
                first_received=0,
                last_received=0,
                released=wall_clock() - days * DAY,
            )
            for days in (1, 3)
        )
        running = worker(folder, Metrics(), receipts_keep_days=2)
        running.start()
        try:
            eventually(lambda: [one.sequence for one in receipts.iterate()] == [1])
        finally:
            running.stop()
