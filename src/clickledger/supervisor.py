"""One parent, several processes: start them, replace those that die, end them together."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

_log = structlog.get_logger(__name__)

#: Operators are promised an exit within 10 s of SIGTERM; what still runs then is killed.
STOP_WITHIN_S = 9.0
#: A process that dies at once is not started in a tight loop: pauses double up to the last.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0
#: A process that lived this long starts again without a pause.
_LIVED_WELL_S = 10.0
_TICK_S = 0.1


@dataclass(slots=True, kw_only=True)
class _Child:
    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = _FIRST_PAUSE_S
    start_at: float = field(default=0.0)


class Supervisor:
    """Runs the processes of one `serve` until SIGTERM or SIGINT.

    Each child asks the kernel for SIGTERM at its parent's death (``process.die_with_parent``), so
    that none outlives the parent however that dies.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """``environment``: what the children get in place of this process's own."""
        self._environment = dict(environment)
        self._children: list[_Child] = []
        self._stopping = False

    def add(self, name: str, command: Sequence[str]) -> None:
        """Add a process to run: arguments after the Python interpreter."""
        self._children.append(_Child(name=name, command=(sys.executable, *command)))

    def run(self) -> int:
        """Run until told to stop; return the exit status: 0 unless a child had to be killed."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        while not self._stopping:
            for child in self._children:
                self._tend(child)
            time.sleep(_TICK_S)
        return self._end()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _tend(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_at:
                child.process = subprocess.Popen(child.command, env=self._environment)  # noqa: S603 - our own interpreter and module
                child.started = now
                _log.info("process_started", name=child.name, pid=child.process.pid)
            return
        status = child.process.poll()
        if status is None:
            return
        _log.error("process_died", name=child.name, pid=child.process.pid, status=status)
        if now - child.started >= _LIVED_WELL_S:
            child.pause = _FIRST_PAUSE_S
        child.start_at = now + child.pause
        child.pause = min(2 * child.pause, _LONGEST_PAUSE_S)
        child.process = None

    def _end(self) -> int:
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_WITHIN_S
        status = 0
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.error("process_killed", pid=process.pid)
                process.kill()
                process.wait()
                status = 1
        return status
