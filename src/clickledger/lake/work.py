"""The lake's part of the worker process: loading, and the upkeep beside it."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import structlog

from clickledger.clock import DAY, SECOND, Micros, wall_clock
from clickledger.config import DataFolder, Settings
from clickledger.enrich.model import Names
from clickledger.lake import engine, watermark
from clickledger.lake.lease import Lease
from clickledger.lake.loader import Loader, LoadReport
from clickledger.lake.maintenance import Maintenance
from clickledger.lake.store import Lake
from clickledger.metrics import Metrics
from clickledger.spool import layout
from clickledger.spool.reader import Spools
from clickledger.spool.receipts import Receipts

_log = structlog.get_logger(__name__)

#: Pause after a load that failed.
_AFTER_FAULT_S = 1.0
#: A load in progress ends by itself well before; an upkeep notices the stop between two steps.
_STOP_WITHIN_S = 8.0
_PURGE_EVERY_S = 3600.0
#: A process that restarts often still gets round to it.
_FIRST_VACUUM_S = 300.0


class LakeWorker:
    """Runs the loader and the upkeep of one lake, each in a thread of its own."""

    def __init__(
        self,
        *,
        lake: Lake,
        folder: DataFolder,
        names: Callable[[], Names],
        visitor_key: bytes,
        pins: Callable[[], Sequence[int]],
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], Micros] = wall_clock,
    ) -> None:
        """Prepare; nothing runs before ``start``.

        ``names``: the directory as it is now. ``pins``: versions that unfinished jobs read.
        """
        self._lake = lake
        self._folder = folder
        self._names = names
        self._visitor_key = visitor_key
        self._pins = pins
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._stopping = threading.Event()
        self._lease = Lease(folder.locks / "lake")
        self._maintenance = Maintenance(
            lake=lake, lease=self._lease, scratch=folder.tmp, stopping=self._stopping
        )
        self._threads = [
            threading.Thread(target=self._load_loop, name="lake-load", daemon=True),
            threading.Thread(target=self._upkeep_loop, name="lake-upkeep", daemon=True),
        ]
        self._report: LoadReport | None = None
        self._load_fault = ""
        self._upkeep_fault = ""
        self._faults = 0

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def halt(self) -> None:
        """Tell both to stop, without waiting for them."""
        self._stopping.set()

    def stop(self) -> None:
        """Stop both; a load in progress is finished, an upkeep given up without loss."""
        self.halt()
        give_up = time.monotonic() + _STOP_WITHIN_S
        for thread in self._threads:
            thread.join(max(0.0, give_up - time.monotonic()))

    def status(self) -> dict[str, object]:
        """Tell how it goes: ``fault`` is empty when all is well."""
        report = self._report
        mark = watermark.read(self._folder.watermark)
        return {
            "version": report.version if report else None,
            "complete_through": mark,
            "lag_s": None if mark is None else max(0.0, (self._clock() - mark) / SECOND),
            "held_by": report.held_by if report else "",
            "exhausted": report.exhausted if report else None,
            "fault": "; ".join(filter(None, (self._load_fault, self._upkeep_fault))),
            "faults": self._faults,
        }

    def _load_loop(self) -> None:
        while not self._stopping.is_set():
            try:
                self._load_until_fault()
            except Exception as error:  # noqa: BLE001 - the loop goes on, whatever it was
                self._load_fault = self._note("load", error)
                self._stopping.wait(_AFTER_FAULT_S)

    def _load_until_fault(self) -> None:
        """Load until told to stop; everything is opened anew after a fault.

        A spool folder that is missing is not made here: an empty one would say that every click
        is loaded.
        """
        with ExitStack() as opened:
            spools = opened.enter_context(Spools(self._folder.spool))
            receipts = opened.enter_context(Receipts(self._folder.spool / layout.RECEIPTS))
            loader = Loader(
                lake=self._lake,
                spools=spools,
                receipts=receipts,
                lease=self._lease,
                mark=self._folder.watermark,
                names=self._names,
                visitor_key=self._visitor_key,
                batch_clicks=self._settings.load_batch_clicks,
                metrics=self._metrics,
                clock=self._clock,
            )
            purge_at = 0.0
            while not self._stopping.is_set():
                report = self._report = loader.load_once()
                self._load_fault = "; ".join(report.problems)
                if report.exhausted:
                    self._metrics.spool_waiting_clicks.set(0)
                else:
                    self._metrics.spool_waiting_clicks.set(loader.waiting())
                if time.monotonic() >= purge_at:
                    receipts.purge(self._clock() - self._settings.receipts_keep_days * DAY)
                    purge_at = time.monotonic() + _PURGE_EVERY_S
                if report.exhausted or report.problems:
                    self._stopping.wait(self._settings.load_interval_s)

    def _upkeep_loop(self) -> None:
        engine.sweep(self._folder.tmp)
        settings = self._settings
        vacuum_at = time.monotonic() + min(settings.vacuum_interval_s, _FIRST_VACUUM_S)
        while not self._stopping.wait(settings.compact_interval_s):
            faults = [
                self._upkeep("compact", self._maintenance.compact),
                self._upkeep("close days", self._close_days),
            ]
            if time.monotonic() >= vacuum_at:
                faults.append(self._upkeep("vacuum", self._vacuum))
                vacuum_at = time.monotonic() + settings.vacuum_interval_s
            self._upkeep_fault = "; ".join(filter(None, faults))

    def _close_days(self) -> None:
        mark = watermark.read(self._folder.watermark)
        if mark is not None:
            ended = self._clock() - int(self._settings.close_day_after_s * SECOND)
            self._maintenance.close_days(min(mark, ended))

    def _vacuum(self) -> None:
        self._maintenance.vacuum(self._settings.lake_retention_hours, self._pins())

    def _upkeep(self, what: str, work: Callable[[], object]) -> str:
        """Do one part of the upkeep; return what went wrong, empty: nothing."""
        if self._stopping.is_set():
            return ""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the rest goes on, whatever it was
            return self._note(what, error)
        return ""

    def _note(self, what: str, error: Exception) -> str:
        self._faults += 1
        _log.exception("lake_work_failed", part=what)
        return f"{what}: {type(error).__name__}: {error}"
