"""How many postbacks one worker delivers, and how soon after its event each is tried first."""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from sqlalchemy import Engine, Select, func, insert, select

from bench.report import Figure, as_json, show
from clickledger import ids
from clickledger.clock import SteadyClock
from clickledger.config import DataFolder, Settings
from clickledger.db.engine import control_url, open_engine
from clickledger.db.tables import attempts, deliveries
from clickledger.postbacks import outbox
from clickledger.postbacks.model import Draft, Event, Fate, Kind, Method, Notification
from clickledger.postbacks.network import Guard
from clickledger.postbacks.store import Notifications
from clickledger.testing.installation import Brand, Installation, free_port
from clickledger.testing.receiver import Receiver, receiver

#: Deliveries of the first figure, to so many endpoints of one fast receiver.
DELIVERIES = 4_000
ENDPOINTS = 10
#: Calls of the bare client under way at a time: it is slower with more.
_BARE_PARALLEL = 20
_BARE_CALLS = 1_500

#: The second figure.
PER_SECOND = 100
SECONDS = 20.0
WAITING = 10_000
#: A tenth of these is dead: as many stall as refuse.
MANY_ENDPOINTS = 40
_TICK_S = 0.05
_WITHIN_S = 60.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Post:
    """A stopped installation whose notifications lead to a receiver."""

    server: Installation
    brand: Brand
    engine: Engine
    receiver: Receiver
    #: Nothing listens there.
    closed_port: int

    def add(self, name: str, url: str) -> Notification:
        """Make a notification for the end of each job."""
        ports = [self.receiver.port, self.closed_port]
        guard = Guard(Settings(postback_networks=["127.0.0.0/8"]).postback_networks, ports)  # type: ignore[list-item]  # read as from the environment
        made = Notifications(self.engine, SteadyClock(), guard, timedelta())
        draft = Draft(name=name, kind=Kind.JOB_COMPLETION, url=url, method=Method.POST)
        return made.create(self.brand.sid, draft)

    def event(self, number: int) -> Event:
        """Describe the end of a job."""
        return Event(
            kind=Kind.JOB_COMPLETION,
            name="CLICK_EXPORT_COMPLETED",
            account_sids=(self.brand.sid,),
            program_id=self.brand.program_id,
            at=datetime.now(UTC),
            values={
                "JobId": f"job-{number}",
                "JobType": "CLICK_EXPORT",
                "Status": "COMPLETED",
                "RecordsProcessed": "123456",
                "ResultUri": f"https://clicks.example/Advertisers/{self.brand.sid}/Jobs/{number}",
            },
        )

    def put(self, to: Notification, numbers: Sequence[int]) -> None:
        """Put events into the outbox, all in one transaction."""
        with self.engine.begin() as connection:
            events = [self.event(number) for number in numbers]
            outbox.put_to(connection, to.id, events, datetime.now(UTC))

    def put_late(self, to: Notification, count: int) -> None:
        """Put deliveries that have failed once and are due again."""
        now = datetime.now(UTC)
        rows = [
            {
                "message_id": ids.new_message_id(),
                "notification_id": to.id,
                "account_sid": self.brand.sid,
                "kind": to.draft.kind.value,
                "event": "CLICK_EXPORT_COMPLETED",
                "program_id": self.brand.program_id,
                "values": dict(self.event(number).values),
                "event_at": now - timedelta(minutes=10),
                "created_at": now - timedelta(minutes=10),
                "fate": Fate.WAITING.value,
                "next_at": now - timedelta(milliseconds=number),
                "attempts": 1 + number % 4,
                "tries": 1 + number % 4,
            }
            for number in range(count)
        ]
        with self.engine.begin() as connection:
            connection.execute(insert(deliveries), rows)

    def wait(self, counted: Select[int], enough: Callable[[int], bool]) -> None:
        """Wait until a count is as it should be."""
        until = time.monotonic() + _WITHIN_S
        while time.monotonic() < until:
            with self.engine.connect() as connection:
                if enough(connection.execute(counted).scalar_one()):
                    return
            time.sleep(_POLL_S)
        raise TimeoutError("what was put has not been delivered")


@contextlib.contextmanager
def _post() -> Iterator[_Post]:
    with (
        tempfile.TemporaryDirectory(prefix="clickledger-bench-") as name,
        receiver(Path(name)) as running,
    ):
        closed = free_port()
        settings = {
            "POSTBACK_NETWORKS": '["127.0.0.0/8"]',
            "POSTBACK_PORTS": json.dumps([running.port, closed]),
        }
        server = Installation(Path(name) / "data", settings)
        brand = server.make()
        engine = open_engine(control_url(Settings(), DataFolder(server.folder)))
        try:
            yield _Post(
                server=server, brand=brand, engine=engine, receiver=running, closed_port=closed
            )
        finally:
            server.kill()
            engine.dispose()


async def _bare(url: str, body: bytes) -> float:
    """Return the calls per second of the bare client."""
    left = iter(range(_BARE_CALLS))

    async def call(client: httpx.AsyncClient) -> None:
        for _ in left:
            answer = await client.post(url, content=body)
            answer.raise_for_status()

    limits = httpx.Limits(max_connections=_BARE_PARALLEL)
    async with httpx.AsyncClient(limits=limits) as client:
        started = time.perf_counter()
        await asyncio.gather(*(call(client) for _ in range(_BARE_PARALLEL)))
        return _BARE_CALLS / (time.perf_counter() - started)


def throughput() -> Figure:
    """Let a worker find a full outbox; count until each delivery and its log is written."""
    with _post() as post:
        for endpoint in range(ENDPOINTS):
            to = post.add(f"{endpoint}", post.receiver.url(f"/ok/{endpoint}"))
            post.put(to, range(DELIVERIES // ENDPOINTS))
        post.server.start(role="worker")
        delivered = (
            select(func.count())
            .select_from(deliveries)
            .where(deliveries.c.fate == Fate.DELIVERED.value)
        )
        post.wait(delivered, lambda count: count == DELIVERIES)
        times = select(
            func.min(attempts.c.started_at), func.max(deliveries.c.finished_at), func.count()
        ).join_from(attempts, deliveries)
        with post.engine.connect() as connection:
            first, last, logged = connection.execute(times).one()
        per_second = DELIVERIES / (last - first).total_seconds()
        post.server.stop()
        received = post.receiver.requests()
        bare = asyncio.run(_bare(post.receiver.url(), received[0].body))
    assert len({request.message_id for request in received}) == DELIVERIES
    return Figure(
        name="postbacks delivered by one worker, log written",
        value=per_second,
        unit="/s",
        bar=">= 300 /s",
        met=per_second >= 300 and logged == DELIVERIES,
        baseline=bare,
        baseline_name=f"/s by a bare httpx client, {_BARE_PARALLEL} at a time",
        notes={"deliveries": DELIVERIES, "endpoints": ENDPOINTS, "calls": len(received)},
    )


def first_attempts() -> Figure:
    """Put new events at a steady pace among many that wait, some for endpoints that are dead."""
    with _post() as post:
        dead_urls = [post.receiver.url("/stall"), f"http://127.0.0.1:{post.closed_port}/"]
        dead = [
            post.add(f"dead {number}", dead_urls[number % 2])
            for number in range(MANY_ENDPOINTS // 10)
        ]
        alive = [
            post.add(f"alive {number}", post.receiver.url(f"/ok/{number}"))
            for number in range(MANY_ENDPOINTS - len(dead))
        ]
        for to in dead:
            post.put_late(to, WAITING // len(dead))
        post.server.start(role="worker")
        begun, put = time.monotonic(), 0
        began_at = datetime.now(UTC)
        while (passed := time.monotonic() - begun) < SECONDS:
            for number in range(put, int(passed * PER_SECOND)):
                post.put([*dead, *alive][number % MANY_ENDPOINTS], [number])
                put += 1
            time.sleep(_TICK_S)
        untried = (
            select(func.count())
            .select_from(deliveries)
            .where(deliveries.c.event_at >= began_at, deliveries.c.attempts == 0)
        )
        post.wait(untried, lambda count: count == 0)
        query = (
            select(deliveries.c.event_at, func.min(attempts.c.started_at))
            .join_from(deliveries, attempts, isouter=True)
            .where(deliveries.c.event_at >= began_at)
            .group_by(deliveries.c.id)
        )
        with post.engine.connect() as connection:
            rows = connection.execute(query).all()
            retried = connection.execute(
                select(func.count())
                .select_from(attempts.join(deliveries))
                .where(deliveries.c.event_at < began_at)
            ).scalar_one()
    delays = sorted(
        (started - event_at).total_seconds() if started else float("inf")
        for event_at, started in rows
    )
    p99 = delays[int(0.99 * len(delays))]
    return Figure(
        name=f"event to first attempt at {PER_SECOND}/s, {WAITING:,} retries waiting, p99",
        value=p99,
        unit="s",
        bar="<= 5 s",
        met=p99 <= 5 and len(delays) == put,
        notes={
            "p50_s": round(delays[len(delays) // 2], 3),
            "max_s": round(delays[-1], 3),
            "events": put,
            "endpoints": MANY_ENDPOINTS,
            "dead_endpoints": len(dead),
            "retries_made_meanwhile": retried,
        },
    )


def run() -> list[Figure]:
    """Measure both."""
    return [throughput(), first_attempts()]


if __name__ == "__main__":
    found = run()
    show("postbacks", found)
    print(as_json(found))
