"""``python -m clickledger.serving.worker``: the worker process; the parent starts it."""

import os
import signal
import sys
import threading
from pathlib import Path

import structlog

from clickledger.config import DataFolder
from clickledger.errors import ClickledgerError
from clickledger.serving.options import begin
from clickledger.wiring.worker import open_worker

_log = structlog.get_logger(__name__)

#: How often the process says how it is.
_REPORT_EVERY_S = 1.0
#: The loader and the exports give way to the collectors.
_NICENESS = 10


def main(argument: str) -> int:
    """Work until SIGTERM; return the exit status."""
    options, settings = begin(argument)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    os.nice(_NICENESS)
    try:
        with open_worker(settings, DataFolder(Path(options.data))) as report:
            report()
            while not stop.wait(_REPORT_EVERY_S):
                report()
    except ClickledgerError as error:
        _log.error("process_cannot_start", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
