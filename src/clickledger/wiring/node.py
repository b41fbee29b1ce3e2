"""The HTTP process: tracking links, the API and the probes behind one ASGI callable."""

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import Engine

from clickledger.accounts.keys import Keys, Ring
from clickledger.accounts.store import Accounts
from clickledger.api.app import Postbacks, create_app
from clickledger.api.probes import PROBE_PATHS, Check, Probes
from clickledger.clock import SteadyClock
from clickledger.collector.app import Collector, Receive, Scope, Send
from clickledger.collector.committer import Committer
from clickledger.collector.visitor import TrustedProxies
from clickledger.config import DataFolder, Role, Settings, lake_url
from clickledger.db.engine import control_url, open_engine
from clickledger.errors import ClickledgerError
from clickledger.ids import ClickIds
from clickledger.jobs.store import Jobs
from clickledger.lake import queries
from clickledger.lake.store import Lake
from clickledger.metrics import Metrics
from clickledger.postbacks.log import Deliveries
from clickledger.postbacks.network import Guard, Resolver, system_resolver
from clickledger.postbacks.sender import Sender, trust
from clickledger.postbacks.store import Notifications
from clickledger.programs.directory_keeper import DirectoryKeeper
from clickledger.programs.store import Programs
from clickledger.spool.writer import Writer

#: What the API answers; every other path is a link.
_API_PREFIXES = ("/Advertisers/", "/Mediapartners/", "/Agencies/", "/results/")
#: The worker writes its status each second; older than this, it is not running.
_STALE_STATUS_S = 15.0

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Node:
    """The parts of one HTTP process, behind one ASGI callable."""

    def __init__(self, settings: Settings, folder: DataFolder, role: Role) -> None:
        self._settings = settings
        self._folder = folder
        self._role = role
        self._open = ExitStack()
        self._clock = SteadyClock()
        self._metrics = Metrics()
        self._checks: list[Check] = []
        self._committer: Committer | None = None
        self._links: App | None = None
        self._api: App | None = None

    async def start(self) -> None:
        """Open everything and begin to commit; call on the running event loop.

        Raises:
            ClickledgerError: something this role cannot do without is missing.
        """
        keys = Keys.load(self._folder.keys)
        engine = open_engine(control_url(self._settings, self._folder))
        self._open.callback(engine.dispose)
        if self._role in {Role.ALL, Role.COLLECTOR}:
            self._links = self._open_collector(engine, keys)
        if self._role in {Role.ALL, Role.WEB}:
            self._api = self._open_api(engine, keys)
        if self._role in {Role.ALL, Role.WORKER}:
            self._add_check("worker", self._worker_fault, essential=self._role is Role.WORKER)
        self._probes = Probes(self._checks, self._registry)
        if self._committer is not None:
            self._committer.start()

    async def stop(self) -> None:
        """Commit what is left and close everything, in reverse."""
        if self._committer is not None:
            await self._committer.stop()
        self._open.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to its part: a link, the API or a probe."""
        path: str = scope["path"]
        links = self._links
        if links is not None and path.startswith("/c/"):
            await links(scope, receive, send)
        elif path in PROBE_PATHS:
            await self._probes(scope, receive, send)
        elif self._api is not None and (links is None or path.startswith(_API_PREFIXES)):
            await self._api(scope, receive, send)
        elif links is not None:
            await links(scope, receive, send)
        else:
            await _nothing_here(send)

    def _open_collector(self, engine: Engine, keys: Keys) -> Collector:
        keeper = DirectoryKeeper(engine, self._folder.directory_snapshot)
        keeper.load()
        keeper.start()
        self._open.callback(keeper.stop)
        writer = Writer.open(
            self._folder.spool,
            segment_bytes=self._settings.spool_segment_bytes,
            segment_age_s=self._settings.spool_segment_age_s,
            clock=self._clock,
        )
        self._open.callback(writer.close)
        committer = self._committer = Committer(writer, self._clock, self._metrics)
        self._add_check("spool", lambda: committer.fault, essential=True)
        self._add_check(
            "directory",
            lambda: "no directory: neither database nor snapshot" * (keeper.source == "empty"),
            essential=True,
        )
        return Collector(
            directory=keeper,
            click_ids=ClickIds(keys.ring(Ring.CLICK_ID)),
            committer=committer,
            clock=self._clock,
            proxies=TrustedProxies(self._settings.trusted_proxies),
            metrics=self._metrics,
        )

    def _open_api(self, engine: Engine, keys: Keys) -> App:
        accounts = Accounts(engine, keys.ring(Ring.TOKEN))
        self._add_check(
            "database", lambda: _database_fault(engine), essential=self._role is Role.WEB
        )
        return create_app(
            accounts=accounts,
            programs=Programs(engine, accounts),
            jobs=Jobs(engine, self._clock),
            clicks=LakeClicks(self._settings, self._folder),
            postbacks=open_postbacks(self._settings, engine, self._clock),
            results=self._folder.results,
            keys=keys,
            settings=self._settings,
            metrics=self._metrics,
            clock=self._clock,
        )

    def _add_check(self, name: str, fault: Callable[[], str], *, essential: bool) -> None:
        self._checks.append(Check(name=name, fault=fault, essential=essential))

    def _worker_fault(self) -> str:
        try:
            status = msgspec.json.decode(self._folder.worker_status.read_bytes())
        except (OSError, msgspec.DecodeError):
            return "the worker has not reported yet"
        age = time.time() - status["at"]
        if age > _STALE_STATUS_S:
            return f"the worker last reported {age:.0f} s ago"
        faults = (
            status["lake"].get("fault"),
            status["jobs"].get("trouble"),
            status.get("postbacks", {}).get("trouble"),
            status.get("click_postbacks", {}).get("trouble"),
        )
        return "; ".join(filter(None, faults))

    def _registry(self) -> CollectorRegistry:
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return self._metrics.registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self._folder.metrics))  # type: ignore[no-untyped-call]  # ships no types
        return registry


def open_postbacks(
    settings: Settings, engine: Engine, clock: SteadyClock, resolve: Resolver = system_resolver
) -> Postbacks:
    """Put together what the API of notifications stands on; nothing of it is to be closed."""
    guard = Guard(settings.postback_networks, settings.postback_ports, resolve)

    def open_sender() -> Sender:
        return Sender(
            guard,
            settings.postback_connect_s,
            settings.postback_timeout_s,
            clock=clock,
            tls=trust(),
        )

    overlap = timedelta(seconds=settings.postback_secret_overlap_s)
    return Postbacks(
        notifications=Notifications(engine, clock, guard, overlap),
        deliveries=Deliveries(engine, clock),
        open_sender=open_sender,
    )


class LakeClicks:
    """Clicks by their id, for the API; the lake is opened when the first one is asked for."""

    def __init__(self, settings: Settings, folder: DataFolder) -> None:
        self._url = lake_url(settings, folder)
        self._folder = folder
        self._lake: Lake | None = None

    def find_click(self, program_id: int, click_id: str) -> Mapping[str, object] | None:
        """Return the first row of a journey; None when there is none.

        Raises:
            NotFoundError: there is no lake yet.
        """
        lake = self._lake = self._lake or Lake.open(self._url, create=False)
        return queries.find_click(lake.snapshot(), program_id, click_id, scratch=self._folder.tmp)


async def _nothing_here(send: Send) -> None:
    await send(
        {"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body", "body": b""})


def _database_fault(engine: Engine) -> str:
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
    except ClickledgerError as error:
        return str(error)
    return ""
