"""The worker process: the loader, the maintenance of the lake, the jobs and the postbacks."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import msgspec

from clickledger.accounts.keys import Keys, Ring
from clickledger.accounts.store import Accounts
from clickledger.clock import SteadyClock
from clickledger.config import DataFolder, Settings, lake_url
from clickledger.db.engine import control_url, open_engine
from clickledger.jobs.click_exports import ClickExporter
from clickledger.jobs.store import Jobs
from clickledger.jobs.work import JobWorker
from clickledger.lake.store import Lake
from clickledger.lake.work import LakeWorker
from clickledger.metrics import Metrics
from clickledger.postbacks.clicks import ClickPostbacks
from clickledger.postbacks.network import Guard
from clickledger.postbacks.work import PostbackWorker
from clickledger.programs.directory_keeper import DirectoryKeeper
from clickledger.programs.store import Programs


@contextlib.contextmanager
def open_worker(settings: Settings, folder: DataFolder) -> Iterator[Callable[[], None]]:
    """Run all that works on one folder; yield what reports on it.

    Raises:
        ClickledgerError: the folder has a worker already, or something it needs is missing.
    """
    with ExitStack() as opened:
        clock, metrics = SteadyClock(), Metrics()
        keys = Keys.load(folder.keys)
        engine = open_engine(control_url(settings, folder))
        opened.callback(engine.dispose)
        keeper = DirectoryKeeper(engine, folder.directory_snapshot)
        keeper.load()
        keeper.start()
        opened.callback(keeper.stop)
        programs = Programs(engine, Accounts(engine, keys.ring(Ring.TOKEN)))
        lake = Lake.open(lake_url(settings, folder))
        loading = LakeWorker(
            lake=lake,
            folder=folder,
            names=lambda: keeper.current,
            visitor_key=keys.ring(Ring.VISITOR)[0],
            pins=Jobs(engine, clock).pins,
            settings=settings,
            metrics=metrics,
        )
        exporter = ClickExporter(
            lake=lake,
            folder=folder,
            settings=settings,
            hides_sub_ids=lambda sid, program: programs.get_program(sid, program).hide_sub_ids,
            held_by=lambda: str(loading.status()["held_by"]),
        )
        exporting = JobWorker(
            engine=engine,
            exporter=exporter,
            folder=folder,
            settings=settings,
            metrics=metrics,
            clock=clock,
        )
        posting = PostbackWorker(
            engine=engine,
            settings=settings,
            metrics=metrics,
            clock=clock,
            guard=Guard(settings.postback_networks, settings.postback_ports),
        )
        following = ClickPostbacks(engine=engine, lake=lake, mark=folder.watermark, clock=clock)
        # First: it makes sure that this is the only worker.
        exporting.start()
        opened.callback(exporting.stop)
        posting.start()
        opened.callback(posting.stop)
        following.start()
        opened.callback(following.stop)
        loading.start()
        opened.callback(loading.stop)
        # Told first, all at once: each then has the whole time to end.
        opened.callback(loading.halt)
        opened.callback(exporting.halt)
        opened.callback(posting.halt)
        opened.callback(following.halt)

        def report() -> None:
            """Write what the probes of the HTTP processes tell of this one."""
            status = {
                "at": time.time(),
                "lake": loading.status(),
                "jobs": exporting.status(),
                "postbacks": posting.status(),
                "click_postbacks": following.status(),
            }
            replacement = folder.worker_status.with_suffix(".new")
            with contextlib.suppress(OSError):  # a full disk is the spool's to report
                replacement.write_bytes(msgspec.json.encode(status))
                replacement.replace(folder.worker_status)

        yield report
