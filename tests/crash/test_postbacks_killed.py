"""The worker is killed in the middle of a burst of postbacks, and while runs end.

However often that happens, every event arrives at least once, under the id it has always had;
and a run has ended exactly when its postback is in the outbox.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

from sqlalchemy import Engine, select

from clickledger.clock import SteadyClock, to_datetime
from clickledger.config import DataFolder, Settings
from clickledger.db.engine import control_url, open_engine
from clickledger.db.tables import attempts, deliveries
from clickledger.jobs.model import State
from clickledger.postbacks import outbox
from clickledger.postbacks.log import Deliveries
from clickledger.postbacks.model import Draft, Event, Fate, Kind, Notification
from clickledger.postbacks.network import Guard
from clickledger.postbacks.places import EACH
from clickledger.postbacks.store import Notifications
from clickledger.testing.installation import Brand, Installation
from clickledger.testing.jobs import SID, FileExporter, JobNode
from clickledger.testing.notifications import OVERLAP, FixedGuard
from clickledger.testing.receiver import Received, Receiver, receiver

ROUNDS = int(os.environ.get("CLICKLEDGER_CRASH_ROUNDS", "2"))

#: Events by what the receiver does with them: some it fails at first.
EVENTS = {"/ok/quick": 300, "/slow/0.05/calm": 280, "/fail/1/first": 20}
TOTAL = sum(EVENTS.values())
#: Events with an order to keep, of the endpoints that do not fail: every tenth, in so many keys.
KEYS = 5


def notification(engine: Engine, brand: Brand, to: Receiver, path: str) -> Notification:
    guard = Guard([ip_network("127.0.0.0/8")], [to.port])
    made = Notifications(engine, SteadyClock(), guard, timedelta())
    url = to.url(path) + "?job={JobId}"
    return made.create(brand.sid, Draft(name=path, kind=Kind.JOB_COMPLETION, url=url))


def put(engine: Engine, brand: Brand, to: Notification, count: int) -> None:
    """Put events, in the order of their jobs' numbers."""
    ordered = "fail" not in to.draft.url
    now = to_datetime(SteadyClock().now())
    with engine.begin() as connection:
        events = [
            Event(
                kind=Kind.JOB_COMPLETION,
                name="CLICK_EXPORT_COMPLETED",
                account_sids=(brand.sid,),
                program_id=brand.program_id,
                order_key=f"{number // 10 % KEYS}" if ordered and number % 10 == 0 else "",
                at=now,
                values={"JobId": str(number)},
            )
            for number in range(count)
        ]
        assert outbox.put_to(connection, to.id, events, now) == count


def unfinished(engine: Engine) -> int:
    query = select(deliveries.c.id).where(deliveries.c.fate == Fate.WAITING.value)
    with engine.connect() as connection:
        return len(connection.execute(query).all())


def test_a_burst_arrives_at_least_once_however_often_the_worker_is_killed(tmp_path: Path) -> None:
    chance = random.Random(7)
    with receiver(tmp_path) as running:
        settings = {
            "POSTBACK_NETWORKS": '["127.0.0.0/8"]',
            "POSTBACK_PORTS": json.dumps([running.port]),
        }
        server = Installation(tmp_path / "data", settings)
        brand = server.make()
        engine = open_engine(control_url(Settings(), DataFolder(server.folder)))
        for path, count in EVENTS.items():
            put(engine, brand, notification(engine, brand, running, path), count)
        try:
            for number in range(1, ROUNDS + 1):
                server.start(role="worker")
                running.wait_for(TOTAL * number // (ROUNDS + 2))
                time.sleep(chance.uniform(0, 0.1))
                server.kill()
            assert unfinished(engine) > 0, "it was killed in the middle"
            server.start(role="worker")
            deadline = time.monotonic() + 40
            while unfinished(engine):
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            server.kill()
        requests = running.requests()
        with engine.connect() as connection:
            stored = connection.execute(
                select(
                    deliveries.c.id,
                    deliveries.c.message_id,
                    deliveries.c.fate,
                    deliveries.c.notification_id,
                    deliveries.c.order_key,
                ).order_by(deliveries.c.id)
            ).all()
            logged = Counter(connection.execute(select(attempts.c.delivery_id)).scalars())
        engine.dispose()
    received = Counter(request.message_id for request in requests)
    assert {row.fate for row in stored} == {Fate.DELIVERED.value}
    assert received.keys() == {row.message_id for row in stored}, "all arrived, and nothing else"
    assert all(logged[row.id] <= received[row.message_id] for row in stored), "no call is made up"
    duplicates = len(requests) - sum(logged.values())
    assert duplicates <= ROUNDS * EACH * len(EVENTS), "what was under way, and nothing more"
    first = {message_id: place for place, message_id in reversed([*enumerate(_ids(requests))])}
    keyed = defaultdict(list)
    for row in stored:
        if row.order_key:
            keyed[row.notification_id, row.order_key].append(first[row.message_id])
    assert len(keyed) == 2 * KEYS
    assert all(places == sorted(places) for places in keyed.values()), "each key in its order"


def _ids(requests: Sequence[Received]) -> Sequence[str]:
    return [request.message_id for request in requests]


#: Ends one run of a job after the other, and says so after each.
ENDING = """
import sys
from pathlib import Path
import structlog
from clickledger.testing.jobs import SID, FileExporter, JobNode

structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])
node = JobNode(Path(sys.argv[1]), FileExporter())
while True:
    job = node.schedule()
    for unfinished in node.runs.unfinished():
        attempt = node.runs.replace(unfinished) or node.runs.claim(unfinished)
        if attempt and node.runs.complete(attempt, rows=1, message="1 click.", sha256="ab"):
            print(attempt.run, flush=True)
    node.jobs.replay(SID, job.id)
"""


def test_a_run_has_ended_exactly_when_its_postback_is_in_the_outbox(tmp_path: Path) -> None:
    node = JobNode(tmp_path, FileExporter())
    guarded = Notifications(node.engine, node.clock, FixedGuard(), OVERLAP)
    guarded.create(SID, Draft(name="jobs", kind=Kind.JOB_COMPLETION, url="https://hooks.example/"))
    job = node.schedule()
    chance = random.Random(7)
    said = 0
    for _ in range(ROUNDS * 2):
        process = subprocess.Popen(
            [sys.executable, "-c", ENDING, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(chance.uniform(0, 0.2))
        process.kill()
        lines = [first, *process.stdout.read().splitlines()]
        process.wait()
        process.stdout.close()
        said = max(said, *(int(line) for line in lines))
        now = node.jobs.find(job.id)
        ended = now.run if now.state is State.COMPLETED else now.run - 1
        told, total = Deliveries(node.engine, node.clock).list(None, page_size=10_000)
        assert sorted(int(one.values["Run"]) for one in told) == list(range(1, ended + 1))
        assert said <= ended == total
