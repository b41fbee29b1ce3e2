"""The API in this process: two brands and a partner on a real database, at a clock that stands."""

import base64
import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, update

from clickledger.accounts.keys import Keys, Ring
from clickledger.accounts.model import Account
from clickledger.accounts.store import Accounts
from clickledger.api.app import create_app
from clickledger.api.handling import Clicks, home
from clickledger.clock import Micros, SteadyClock, to_datetime, to_micros
from clickledger.config import DataFolder, Settings
from clickledger.db import tables
from clickledger.db.engine import control_url, open_engine
from clickledger.db.revisions import migrate
from clickledger.exports import manifest as manifests
from clickledger.exports.manifest import Manifest, Part, UniqueRule
from clickledger.jobs.model import Job
from clickledger.jobs.results import run_folder
from clickledger.jobs.store import Jobs
from clickledger.metrics import Metrics
from clickledger.postbacks import outbox, schedule, signing
from clickledger.postbacks.log import Deliveries
from clickledger.postbacks.model import Delivery, Event, Outcome
from clickledger.postbacks.model import Kind as EventKind
from clickledger.postbacks.network import Resolver
from clickledger.postbacks.queue import Queue, Result
from clickledger.postbacks.rendering import Renderer
from clickledger.postbacks.store import Notifications
from clickledger.programs.model import Program
from clickledger.programs.store import Programs
from clickledger.testing.in_process import Answer, App, request
from clickledger.wiring.node import open_postbacks

#: What the names of endpoints resolve to; an address is its own.
HOSTS: Mapping[str, tuple[str, ...]] = {
    "hooks.example": ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"),
    "private.example": ("10.0.0.7",),
    "half-private.example": ("93.184.216.34", "169.254.169.254"),
}


def known_hosts(host: str) -> Sequence[str]:
    """Look a name up in ``HOSTS``; OSError when it is not there, as for one that does not exist."""
    with contextlib.suppress(ValueError):
        return (str(ip_address(host)),)
    if host not in HOSTS:
        raise OSError(f"{host} is unknown")
    return HOSTS[host]


@dataclass(slots=True)
class StandingClock:
    """A clock that shows what it was told; it may be told to go on, not to go back."""

    at: datetime

    def __call__(self) -> Micros:
        """Read it."""
        return to_micros(self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """An account and the token that only its owner knows."""

    account: Account
    token: str

    @property
    def sid(self) -> str:
        """Account SID."""
        return self.account.sid

    @property
    def header(self) -> str:
        """Value of the ``Authorization`` header."""
        pair = f"{self.account.sid}:{self.token}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class KnownClicks:
    """Clicks that were put in, instead of a lake."""

    rows: dict[tuple[int, str], Mapping[str, object]] = field(default_factory=dict)
    #: Every id that was looked up.
    asked: list[str] = field(default_factory=list)

    def find_click(self, program_id: int, click_id: str) -> Mapping[str, object] | None:
        """Find a click that was put in."""
        self.asked.append(click_id)
        return self.rows.get((program_id, click_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class BrandApi:
    """A brand with a program, another brand with another, and a partner; and their API."""

    app: App
    clock: StandingClock
    engine: Engine
    folder: DataFolder
    keys: Keys
    metrics: Metrics
    jobs: Jobs
    programs: Programs
    clicks: KnownClicks
    brand: Login
    program: Program
    stranger: Login
    strange_program: Program
    partner: Login
    partner_id: int
    #: Of the same brand.
    other_partner: Login
    notifications: Notifications
    deliveries: Deliveries

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask as the brand."""
        return self.send("GET", target, headers=headers)

    def send(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Sequence[bytes] = b"",
    ) -> Answer:
        """Send as the brand."""
        return self.send_as(self.brand, method, target, headers=headers, body=body)

    def send_as(
        self,
        login: Login | None,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Sequence[bytes] = b"",
    ) -> Answer:
        """Send as someone else, or as nobody.

        ``…`` in the target is a partner's own path for a partner, and the brand's otherwise.
        """
        pairs = dict(headers or {})
        if login is not None:
            pairs.setdefault("authorization", login.header)
        partner = login is not None and login.account.kind == "partner"
        account = login.account if login is not None and partner else self.brand.account
        path = target.replace("…", home(account), 1)
        return request(self.app, method, path, headers=pairs, body=body)

    def job_event(self, **said: Any) -> Event:  # noqa: ANN401 - an event's fields, by name
        """Describe a job of the brand that is complete now, but for what is ``said``."""
        usual: dict[str, Any] = {
            "kind": EventKind.JOB_COMPLETION,
            "name": "CLICK_EXPORT_COMPLETED",
            "account_sids": (self.brand.sid,),
            "program_id": self.program.id,
            "at": to_datetime(self.clock()),
            "values": {"JobId": "job-1", "Status": "COMPLETED"},
        }
        return Event(**{**usual, **said})

    def put(self, event: Event) -> int:
        """Put an event into the outbox; return for how many notifications."""
        with self.engine.begin() as connection:
            return outbox.put(connection, event, to_datetime(self.clock()))

    def attempt(self, delivery_id: int, **outcome: Any) -> Delivery:  # noqa: ANN401 - an outcome's fields, by name
        """Have a delivery tried once, as the worker would, but for the call itself."""
        delivery, now = self.deliveries.get(None, delivery_id), to_datetime(self.clock())
        notification = self.notifications.find(delivery.notification_id)
        message_id, tries = delivery.message_id, delivery.tries + 1
        prepared = Renderer(notification.draft).prepare(delivery.event, message_id, delivery.values)
        came = Outcome(**{"started_at": now, "duration_ms": 12, "status": None, **outcome})
        result = Result(
            delivery=delivery,
            draft=notification.draft,
            prepared=signing.sign(prepared, notification.secrets, message_id, now),
            outcome=came,
            ended_at=now,
            verdict=schedule.after(came, tries=tries, now=now, jitter=0.5),
        )
        Queue(self.engine, disable_days=5.0).finish([result])
        return self.deliveries.get(None, delivery_id)

    def export(self, query: str = "") -> Job:
        """Schedule an export of the brand's program; return its job."""
        answer = self.get(f"…/Programs/{self.program.id}/ClickExport.json?{query}")
        return self.jobs.find(answer.json()["QueuedUri"].rpartition("/")[2])

    def finish(self, job: Job, *parts: bytes) -> Job:
        """Write a file of these parts for the job's present run, and complete it."""
        folder = run_folder(self.folder.results, job.id, job.run)
        folder.mkdir(parents=True)
        for number, part in enumerate(parts):
            (folder / f"part-{number:05}").write_bytes(part)
        manifests.write(
            folder,
            Manifest(
                account_sid=job.account_sid,
                program_id=job.program_id,
                date=job.request.date,
                time_zone=job.request.time_zone,
                start=f"{job.request.date}T05:00:00Z",
                end=f"{job.request.date + timedelta(days=1)}T05:00:00Z",
                ad_ids=job.request.ad_ids,
                media_ids=job.request.media_ids,
                unique_click=job.request.unique_click,
                format=job.request.result_format,
                columns=("Id", "ProgramId"),
                hide_sub_ids=False,
                formula_guard=False,
                unique_rule=UniqueRule(window_seconds=1800, type="ROLLING"),
                lake_version=7,
                complete_through=None,
                rows=2,
                bytes=sum(map(len, parts)),
                sha256=hashlib.sha256(b"".join(parts)).hexdigest(),
                parts=tuple(
                    Part(name=f"part-{number:05}", rows=number, bytes=len(part))
                    for number, part in enumerate(parts)
                ),
                warnings=(),
            ),
        )
        at = to_datetime(self.clock())
        return self.set_job(
            job.id,
            state="COMPLETED",
            message="2 clicks.",
            started_at=at,
            completed_at=at,
            progress_at=at,
            records=2,
            percent=100,
            result_run=job.run,
        )

    def set_job(self, job_id: str, **columns: object) -> Job:
        """Put a job into a state, as the worker would."""
        with self.engine.begin() as connection:
            connection.execute(
                update(tables.jobs).where(tables.jobs.c.id == job_id).values(**columns)
            )
        return self.jobs.find(job_id)


@contextlib.contextmanager
def brand_api(
    folder: Path,
    *,
    now: datetime,
    settings: Settings | None = None,
    clicks: Clicks | None = None,
    resolve: Resolver = known_hosts,
) -> Iterator[BrandApi]:
    """Make a data folder with two brands and serve their API in this process.

    The first brand shows dates in Berlin; its program has its days in New York. ``clicks``:
    where to look clicks up, instead of what is put into ``BrandApi.clicks``. ``resolve``: where
    postbacks look hosts up, instead of in ``HOSTS``.
    """
    data = DataFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = settings or Settings()
    clock = StandingClock(now)
    keys = Keys.create(data.keys, clock)
    engine = open_engine(control_url(settings, data))
    migrate(engine)
    accounts = Accounts(engine, keys.ring(Ring.TOKEN), clock)
    programs = Programs(engine, accounts, clock)
    jobs = Jobs(engine, SteadyClock(clock))
    metrics = Metrics()
    known_clicks = KnownClicks()
    with engine.begin() as connection:
        brand = _login(accounts.create(connection, "advertiser", "Acme & Söhne", "Europe/Berlin"))
        stranger = _login(accounts.create(connection, "advertiser", "Other", "UTC"))
    program, strange_program = (
        programs.create_program(
            advertiser_sid=login.sid,
            name=name,
            time_zone="America/New_York",
            landing_page="https://shop.example/",
        )
        for login, name in ((brand, "Spring Sale"), (stranger, "Other Sale"))
    )
    partner, other_partner = (
        programs.create_partner(advertiser_sid=brand.sid, name=name) for name in ("Blog", "Forum")
    )
    postbacks = open_postbacks(settings, engine, SteadyClock(clock), resolve)
    app = create_app(
        accounts=accounts,
        programs=programs,
        jobs=jobs,
        clicks=clicks or known_clicks,
        postbacks=postbacks,
        results=data.results,
        keys=keys,
        settings=settings,
        metrics=metrics,
        clock=SteadyClock(clock),
    )
    try:
        yield BrandApi(
            app=app,
            clock=clock,
            engine=engine,
            folder=data,
            keys=keys,
            metrics=metrics,
            jobs=jobs,
            programs=programs,
            clicks=known_clicks,
            brand=brand,
            program=program,
            stranger=stranger,
            strange_program=strange_program,
            partner=Login(account=accounts.get(partner[0].sid), token=partner[1]),
            partner_id=partner[0].id,
            other_partner=Login(account=accounts.get(other_partner[0].sid), token=other_partner[1]),
            notifications=postbacks.notifications,
            deliveries=postbacks.deliveries,
        )
    finally:
        engine.dispose()


def _login(made: tuple[Account, str]) -> Login:
    account, token = made
    return Login(account=account, token=token)
