"""What follows the lake for click postbacks is killed at random moments, and so is its loader.

Each click of the lake has one delivery for each notification that wants it, or is counted in one
digest; compaction and closed days go on all the while.
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
from sqlalchemy import select

from clickledger.db.tables import deliveries
from clickledger.postbacks.model import CLICK_DIGEST, Kind, Notification
from clickledger.testing import click_following, lake_workload
from clickledger.testing.loading import feed
from clickledger.testing.notifications import NotificationNode

ROUNDS = int(os.environ.get("CLICKLEDGER_CRASH_ROUNDS", "6"))
_BATCHES = 40
_CLICKS = 20 * _BATCHES


def start(body: Callable[..., None], *arguments: object) -> BaseProcess:
    # A server that forks: it has imported everything, and has no thread yet.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["clickledger.testing.click_following"])
    process = context.Process(target=body, args=arguments, daemon=True)
    process.start()
    return process


def told(node: NotificationNode, notification: Notification) -> tuple[Counter[int], int]:
    """Return the numbers of the clicks told one by one, and how many were told by number."""
    query = select(deliveries.c.event, deliveries.c["values"]).where(
        deliveries.c.notification_id == notification.id
    )
    with node.engine.connect() as connection:
        found = connection.execute(query).all()
    alone = Counter(int(row.values["ClickId"]) for row in found if row.event == "CLICK")
    counted = sum(int(row.values["Clicks"]) for row in found if row.event == CLICK_DIGEST)
    return alone, counted


@pytest.mark.timeout(60 + 30 * ROUNDS)
def test_every_click_has_one_delivery_or_is_counted_once(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    node = NotificationNode(tmp_path)
    wish = {"kind": Kind.CLICK, "url": "https://hooks.example/in?click={ClickId}"}
    followed = [
        (node.add(**wish, name="all", click_limit=1000), 1),
        (node.add(node.partner, **wish, click_limit=10), 1),
        (node.add(node.rival, **wish, click_limit=1000), 2),
    ]
    with feed(tmp_path) as one:
        one.load()  # makes the tables
    bodies: dict[str, Callable[[int], BaseProcess]] = {
        "follower": lambda _: start(click_following.follow, tmp_path),
        "loader": lambda _: start(lake_workload.load, tmp_path),
        "upkeep": lambda _: start(lake_workload.look_after, tmp_path),
        "collector": lambda n: start(
            lake_workload.collect, tmp_path, tmp_path / "promised", n * _CLICKS, _BATCHES
        ),
    }
    running = {name: body(0) for name, body in bodies.items()}
    for number in range(1, ROUNDS + 1):
        time.sleep(dice.uniform(0.05, 1.0))
        for name in {"follower", dice.choice(sorted(bodies))}:
            running[name].kill()
            running[name].join()
            running[name] = bodies[name](number)
        if not running["collector"].is_alive():
            running["collector"] = bodies["collector"](ROUNDS + number)
    running["collector"].join(30)
    for process in running.values():
        process.kill()
        process.join()

    with feed(tmp_path) as one:
        one.load()
        rows = one.rows("click_id", "program_id")
    assert told(node, followed[0][0])[0], "the follower never came to anything"
    last = click_following.follower(tmp_path)
    last.look()
    assert last.look() == 0
    assert len(rows) > _CLICKS // 2
    for notification, program_id in followed:
        wanted = {int(str(row["click_id"])) for row in rows if row["program_id"] == program_id}
        alone, counted = told(node, notification)
        name = f"seed {seed}, {notification.draft.name} of {notification.account_sid}"
        assert [number for number, times in alone.items() if times > 1] == [], name
        assert alone.keys() <= wanted, name
        assert len(alone) + counted == len(wanted), name
    assert told(node, followed[1][0])[1] > 0, "the limit of ten a second was never reached"
