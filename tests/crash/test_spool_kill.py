"""SIGKILL to the process that writes the spool, again and again, while a loader drains it.

The workload prints each click that was promised; the checker demands all of them from the loader,
each once, whoever was killed or restarted in between.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from clickledger.spool import layout
from clickledger.testing.spools import Drain

ROUNDS = int(os.environ.get("CLICKLEDGER_CRASH_ROUNDS", "5"))
_WORKLOAD = str(Path(__file__).parent / "spool_workload.py")


@contextmanager
def workload(root: Path, seed: int) -> Iterator[tuple["subprocess.Popen[bytes]", list[int]]]:
    """Run the workload; kill it at the end, and read what it promised."""
    promised: list[int] = []
    command = [sys.executable, _WORKLOAD, str(root), str(seed), "0", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            os.set_blocking(process.stdout.fileno(), True)
            # The first line: it is at work.
            promised += map(int, process.stdout.readline().split())
            yield process, promised
        finally:
            process.kill()
        rest = process.stdout.read()
        # The pipe keeps what was printed before the end; its last line may be cut off.
        for line in rest.splitlines(keepends=True):
            if line.endswith(b"\n"):
                promised += map(int, line.split())


def drain_for(drain: Drain, seconds: float, chance: random.Random) -> None:
    """Load for a while; now and then the loader is restarted, or dies before it releases."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        drain.step(release=chance.random() < 0.7)
        if chance.random() < 0.1:
            drain.restart()


def test_no_promised_click_is_lost_or_doubled_by_sigkill(tmp_path: Path) -> None:
    chance = random.Random(7)
    promised: list[int] = []
    with closing(Drain(tmp_path, chunk_clicks=50)) as drain:
        for seed in range(1, ROUNDS + 1):
            with workload(tmp_path, seed) as (_, of_round):
                if seed % 2:
                    drain_for(drain, chance.uniform(0.02, 0.3), chance)
                else:
                    time.sleep(chance.uniform(0.02, 0.3))
            promised += of_round
        drain.all()

        assert set(promised) <= set(drain.clicks), "a promised click is gone"
        assert len(drain.clicks) == len(set(drain.clicks)), "a click came twice"
        assert drain.set_aside == []
        assert layout.spool_folders(tmp_path) == [], "every process has ended: nothing is left"
        assert sum(receipt.clicks for receipt in drain.receipts()) == len(drain.clicks)
    assert len(promised) > ROUNDS * 100


def test_two_loaders_take_the_same_clicks(tmp_path: Path) -> None:
    """The lease of the lake keeps loaders apart; if it fails, the spool is still whole."""
    with (
        closing(Drain(tmp_path, chunk_clicks=50)) as one,
        closing(Drain(tmp_path, chunk_clicks=50)) as two,
    ):
        with workload(tmp_path, 1) as (_, promised):
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                one.step(release=False)
                two.step(release=False)
        for drain in (one, two):
            while not drain.step(release=False):
                pass

        # Only one of them holds the lock of the ended process, and removes the spool. Only that one
        # is sure to see a commit that was under way when the process died.
        one.all()
        two.all()
        one.all()
        assert layout.spool_folders(tmp_path) == []
        longer, shorter = sorted((one.clicks, two.clicks), key=len, reverse=True)
        assert shorter == longer[: len(shorter)]
        assert set(promised) <= set(shorter)
        assert len(longer) == len(set(longer))
