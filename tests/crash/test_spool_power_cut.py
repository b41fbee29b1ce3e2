"""The power fails: every byte and every name that was not synced is gone. No click is.

The workload runs on a recording disk. Its record is cut at each acknowledgement and at random
moments in between, the folder is rebuilt with what was synced, and each click acknowledged before
the cut must be in it. The first tests hold the harness itself to the truth.
"""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from clickledger.testing import power_cut
from clickledger.testing.power_cut import Kind, Replay
from clickledger.testing.spools import Drain

ROUNDS = int(os.environ.get("CLICKLEDGER_CRASH_ROUNDS", "5"))
_HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return power_cut.compile_disk(_HERE / "powercut" / "disk.c", tmp_path_factory.mktemp("disk"))


def run(disk: Path, folder: Path, program: list[str], fault: Path | None = None) -> Path:
    """Run a Python program on the disk; return the record."""
    root, log = folder / "root", folder / "log"
    root.mkdir(exist_ok=True)
    variables = power_cut.environment(disk, root, log, fault)
    subprocess.run([sys.executable, *program], env={**os.environ, **variables}, check=True)
    return log


def left(disk: Path, folder: Path, program: str) -> dict[str, bytes]:
    """Return the files that a power cut at the program's end leaves."""
    log = run(disk, folder, ["-c", f"import os\nos.chdir({str(folder / 'root')!r})\n{program}"])
    replay = Replay()
    for event in power_cut.events(log):
        replay.play(event)
    replay.cut(folder / "cut")
    return {
        str(path.relative_to(folder / "cut")): path.read_bytes()
        for path in (folder / "cut").rglob("*")
        if path.is_file()
    }


MAKE = "h = os.open('a', os.O_CREAT | os.O_RDWR); os.write(h, b'one'); "
SYNC_FOLDER = "os.fsync(os.open('.', os.O_RDONLY)); "


@pytest.mark.parametrize(
    ("program", "files"),
    [
        pytest.param(MAKE + "os.fsync(h)", {}, id="the name was not synced"),
        pytest.param(MAKE + SYNC_FOLDER, {"a": b""}, id="the bytes were not synced"),
        pytest.param(MAKE + "os.fsync(h); " + SYNC_FOLDER, {"a": b"one"}, id="both were"),
        pytest.param(
            MAKE + "os.fdatasync(h); " + SYNC_FOLDER + "os.pwrite(h, b'two!', 0)",
            {"a": b"one"},
            id="written over after the sync",
        ),
        pytest.param(
            MAKE + "os.fsync(h); " + SYNC_FOLDER + "os.rename('a', 'b')",
            {"a": b"one"},
            id="a rename that was not synced",
        ),
        pytest.param(
            MAKE + "os.fsync(h); os.rename('a', 'b'); " + SYNC_FOLDER,
            {"b": b"one"},
            id="a rename that was",
        ),
        pytest.param(
            MAKE + "os.fsync(h); " + SYNC_FOLDER + "os.unlink('a')",
            {"a": b"one"},
            id="a removal that was not synced",
        ),
        pytest.param(
            MAKE + "os.ftruncate(h, 1); os.fsync(h); " + SYNC_FOLDER, {"a": b"o"}, id="shortened"
        ),
        pytest.param(
            "os.mkdir('d'); h = os.open('d/a', os.O_CREAT | os.O_WRONLY | os.O_APPEND)\n"
            "for part in (b'x', b'y'): os.write(h, part)\n"
            "os.fsync(h); os.fsync(os.open('d', os.O_RDONLY)); os.rename('d', 'e'); " + SYNC_FOLDER,
            {"e/a": b"xy"},
            id="appended in a folder that is renamed",
        ),
        pytest.param(
            MAKE + "os.fsync(h); os.link('a', 'b'); os.unlink('a'); " + SYNC_FOLDER,
            {"b": b"one"},
            id="a second name",
        ),
        pytest.param(
            "import sqlite3\nc = sqlite3.connect('a'); c.execute('CREATE TABLE t (x)')\n"
            "c.close(); " + SYNC_FOLDER,
            {"a": b"SQLite format 3\0"},
            id="SQLite's own calls are seen",
        ),
    ],
)
def test_the_disk_keeps_what_was_synced_and_nothing_else(
    disk: Path, tmp_path: Path, program: str, files: dict[str, bytes]
) -> None:
    found = {name: data[:16] for name, data in left(disk, tmp_path, program).items()}

    assert found == files


def checked_cuts(
    log: Path, folder: Path, chance: random.Random, between: float
) -> Iterator[tuple[set[int], Drain]]:
    """Cut at each acknowledgement, and between events; yield what was promised, and a loader."""
    replay = Replay()
    for event in power_cut.events(log):
        replay.play(event)
        promised = event.kind is Kind.ACKNOWLEDGE
        if not promised and chance.random() >= between:
            continue
        # At a promise, nothing unsynced survives; in between, anything may.
        replay.cut(folder / "cut", None if promised else chance)
        (folder / "cut").mkdir(exist_ok=True)
        with closing(Drain(folder / "cut")) as drain:
            drain.all()
            yield {int(number) for text in replay.acknowledged for number in text.split()}, drain


@pytest.mark.parametrize("seed", range(max(1, ROUNDS // 5)))
def test_every_acknowledged_click_survives_a_power_cut(
    disk: Path, tmp_path: Path, seed: int
) -> None:
    log = tmp_path / "log"
    workload = str(_HERE / "spool_workload.py")
    run(disk, tmp_path, [workload, str(tmp_path / "root"), str(seed), "60", str(log)])
    cuts = 0
    for promised, drain in checked_cuts(log, tmp_path, random.Random(seed), between=0.03):
        assert promised <= set(drain.clicks), "a promised click is gone"
        assert len(drain.clicks) == len(set(drain.clicks)), "a click came twice"
        assert drain.set_aside == [], "a commit that was cut off is not damage"
        cuts += 1
    assert cuts > 60


def test_the_harness_catches_a_writer_that_does_not_sync(disk: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    workload = str(_HERE / "spool_workload.py")
    run(disk, tmp_path, [workload, str(tmp_path / "root"), "1", "5", str(log), "off"])

    cuts = checked_cuts(log, tmp_path, random.Random(1), between=0)

    assert any(promised - set(drain.clicks) for promised, drain in cuts)
