"""DBOS, as far as jobs use it: which tries were started, which of their steps are done.

What it remembers is a help, never the truth: that is the Job row. So a trouble of its database
delays nothing that the row can tell, and a lost ``workflows.db`` costs a job one more try.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog
from dbos import DBOS, DBOSConfig, SetWorkflowID
from sqlalchemy import URL
from sqlalchemy.exc import DatabaseError

from clickledger.errors import CorruptedError
from clickledger.jobs.model import Attempt
from clickledger.jobs.rules import Workflow
from clickledger.jobs.steps import Outcome

_log = structlog.get_logger(__name__)

_NAME = "clickledger"

#: Ours, not the library's default, a hash of the code: with that, every change of the code would
#: strand what was pending. Grows when the steps of a try change their order or their meaning;
#: tries of the version before are then replaced by new ones.
APPLICATION_VERSION = "1"

#: One worker process per data folder, so one name. What this name left pending is taken up again.
_EXECUTOR_ID = "worker"

#: How often one try is taken up after a kill before another takes its place: so a job that brings
#: the worker down each time is FAILED in the end, and does not keep all others from their turn.
_TAKEN_UP_AT_MOST = 20

_PENDING = frozenset({"PENDING", "ENQUEUED", "DELAYED"})

#: Most workflows that one sweep forgets in one statement.
_SWEEP = 500


class Workflows:
    """The one DBOS of this process; the library allows no second beside it.

    ``body`` runs a try in a thread of DBOS's. What it leaves by a BaseException that is no
    Exception stays pending, and is run again at the next ``open``.
    """

    def __init__(self, database: Path, body: Callable[[Attempt], None]) -> None:
        self._database = database
        self._body = body
        self._handler = _Forward(logging.WARNING)

    def open(self) -> None:
        """Launch DBOS; it takes up pending tries by itself, in its own threads.

        Raises:
            CorruptedError: its database cannot be read.
        """
        # A logger that has a handler gets none from DBOS, which would write to the console.
        logger = logging.getLogger("dbos")
        logger.addHandler(self._handler)
        logger.propagate = False
        url = URL.create("sqlite", database=str(self._database.absolute()))
        settings = DBOSConfig(
            name=_NAME,
            system_database_url=url.render_as_string(),
            application_version=APPLICATION_VERSION,
            executor_id=_EXECUTOR_ID,
            log_level="WARNING",
            enable_otlp=False,
            # We send no notifications, so a look at them costs nothing; its pause is what
            # `close` waits for.
            notification_listener_polling_interval_sec=0.1,
        )
        try:
            DBOS(config=settings)
            # Registered anew with each start: `close` drops the registry, and with it this object.
            register = DBOS.workflow(name="job", max_recovery_attempts=_TAKEN_UP_AT_MOST)
            self._start = register(self._workflow())
            DBOS.launch()
        except DatabaseError as error:
            self.close()
            raise CorruptedError(
                f"{self._database} cannot be read ({error.orig}). It holds nothing that the job "
                "rows do not: move it away and start again."
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End DBOS's threads; tries that have not ended are left pending."""
        DBOS.destroy(destroy_registry=True)
        logging.getLogger("dbos").removeHandler(self._handler)

    def start(self, attempt: Attempt) -> None:
        """Run a try in the background, unless this id was started before."""
        with SetWorkflowID(attempt.workflow_id):
            DBOS.start_workflow(self._start, attempt.job_id, attempt.run, attempt.number)

    def state(self, attempt: Attempt) -> Workflow:
        """Tell what DBOS knows of a try."""
        found = DBOS.list_workflows(
            workflow_ids=[attempt.workflow_id], load_input=False, load_output=False
        )
        if not found:
            return Workflow.UNKNOWN
        status = found[0]
        ours = status.app_version == APPLICATION_VERSION and status.executor_id == _EXECUTOR_ID
        return Workflow.PENDING if ours and status.status in _PENDING else Workflow.ENDED

    def step(self, name: str, function: Callable[[], Outcome]) -> Outcome:
        """Run one step of a try from within its body, or return what it came to before.

        A step can be done again at any time, so a failure to remember it changes nothing.
        """
        done: list[Outcome] = []

        def run() -> Outcome:
            done.append(function())
            return done[0]

        try:
            return DBOS.run_step({"name": name}, run)
        except Exception as error:  # noqa: BLE001 - `function` raises none: it is DBOS's own trouble
            _log.warning("step not remembered", step=name, reason=str(error))
            return done[0] if done else function()

    def forget(self, before: datetime) -> int:
        """Remove what is remembered of tries that ended before; return how many."""
        forgotten = 0
        while True:
            ended = DBOS.list_workflows(
                completed_before=before.isoformat(),
                limit=_SWEEP,
                load_input=False,
                load_output=False,
            )
            if not ended:
                return forgotten
            DBOS.delete_workflows([workflow.workflow_id for workflow in ended])
            forgotten += len(ended)

    def _workflow(self) -> Callable[[str, int, int], None]:
        """Make the function that DBOS knows: with plain arguments, which outlive our classes."""

        def job(job_id: str, run: int, number: int) -> None:
            self._body(Attempt(job_id=job_id, run=run, number=number))

        return job


class _Forward(logging.Handler):
    """Sends what DBOS has to say to our log."""

    def emit(self, record: logging.LogRecord) -> None:
        reason = record.exc_info[1] if record.exc_info else None
        _log.warning("dbos", said=record.getMessage(), reason=repr(reason) if reason else None)
