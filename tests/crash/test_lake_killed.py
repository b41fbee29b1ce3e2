"""Two loaders, the upkeep and a collector at one lake, each killed at random moments.

Every promised click is in the lake or a dead letter exactly once, whoever died in between; days
are sorted and compacted all the while.
"""

import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from clickledger.lake.verify import verify
from clickledger.spool import format as spool_format
from clickledger.testing import lake_workload
from clickledger.testing.loading import feed

ROUNDS = int(os.environ.get("CLICKLEDGER_CRASH_ROUNDS", "6"))
_BATCHES = 60
_CLICKS = 20 * _BATCHES


def start(body: Callable[..., None], *arguments: object) -> BaseProcess:
    # A server that forks: it has imported everything, and has no thread yet.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["clickledger.testing.lake_workload"])
    process = context.Process(target=body, args=arguments, daemon=True)
    process.start()
    return process


@pytest.mark.timeout(60 + 30 * ROUNDS)
def test_every_click_is_in_the_lake_exactly_once(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    with feed(tmp_path) as one:
        one.load()  # makes the tables
    promised = tmp_path / "promised"
    bodies: dict[str, Callable[[int], BaseProcess]] = {
        "loader one": lambda _: start(lake_workload.load, tmp_path),
        "loader two": lambda _: start(lake_workload.load, tmp_path),
        "upkeep": lambda _: start(lake_workload.look_after, tmp_path),
        "collector": lambda n: start(
            lake_workload.collect, tmp_path, promised, n * _CLICKS, _BATCHES
        ),
    }
    running = {name: body(0) for name, body in bodies.items()}
    for number in range(1, ROUNDS + 1):
        time.sleep(dice.uniform(0.05, 1.2))
        for name in dice.sample(sorted(bodies), dice.randint(1, 2)):
            running[name].kill()
            running[name].join()
            running[name] = bodies[name](number)
        ended = running["collector"]
        if not ended.is_alive():
            running["collector"] = bodies["collector"](ROUNDS + number)
    running["collector"].join(30)
    for process in running.values():
        process.kill()
        process.join()

    with feed(tmp_path) as one:
        one.load()
        lake_workload.keep_up(one)
        loaded = Counter(int(str(row["click_id"])) for row in one.rows("click_id"))
        dead = Counter(
            int(spool_format.decode_click(bytes(row["raw"])).click_id)  # type: ignore[call-overload] # bytes
            for row in one.letters()
        )
        found = verify(one.lake, one.folder.spool, one.folder.tmp, receipts_since=0)
        files = one.lake.snapshot().all_files
        history = [entry.get("userMetadata", "") for entry in one.lake.clicks()._delta.history()]
    wanted = {int(line) for line in promised.read_text().split()}
    told = f"seed {seed}, {len(wanted)} promised"
    assert wanted <= loaded.keys() | dead.keys(), told
    assert not loaded.keys() & dead.keys(), told
    assert max(loaded.values()) == 1, told
    assert max(dead.values(), default=1) == 1, told
    assert found.problems == (), told
    assert all(file.sorted for file in files), told
    # The test is about rewrites against live appends: there were some.
    assert sum(entry.startswith("close") for entry in history) >= 1, history
    assert sum(entry == "load" for entry in history) >= ROUNDS, history
