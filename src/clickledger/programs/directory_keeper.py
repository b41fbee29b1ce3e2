"""Keeps the directory fresh in a process that must not depend on the database."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Literal

import structlog
from sqlalchemy import Engine

from clickledger import durable
from clickledger.errors import CorruptedError
from clickledger.programs import store
from clickledger.programs.directory import Directory, Records

#: Pause between two looks; a change is seen by the next one, and 2 s are promised.
POLL_S = 0.5
#: How long a start waits for the database before it takes the snapshot.
PATIENCE_S = 2.0
#: How long an end waits for a look that is under way.
_END_S = 2.0

Source = Literal["database", "snapshot", "empty"]
WriteFile = Callable[[Path, bytes], None]

#: What tells one content of a file from the next: inode, time of change (ns), size.
_Stamp = tuple[int, int, int] | None

_log = structlog.get_logger(__name__)


class DirectoryKeeper:
    """Holds the present directory and replaces it after each change.

    Any thread may read ``current``. Without the database (none given, gone, locked, damaged)
    the snapshot file is followed instead, which another process may still be writing; without
    both, what is in memory stays. No fault of either is ever raised.
    """

    def __init__(
        self,
        engine: Engine | None,
        snapshot: Path,
        *,
        poll_s: float = POLL_S,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
        write: WriteFile = durable.write,
    ) -> None:
        self._engine = engine
        self._snapshot = snapshot
        self._poll_s = poll_s
        self._patience_s = patience_s
        self._clock = clock
        self._write = write
        #: What links mean now; a new object after each change.
        self.current = Directory(Records())
        #: Where ``current`` came from.
        self.source: Source = "empty"
        self._confirmed = clock()
        #: The snapshot file when it was last found to be what is in memory, and last read.
        self._kept: _Stamp = None
        self._read: _Stamp = None
        self._told: dict[str, str] = {}
        self._looking = Lock()
        self._ended = Event()
        self._thread: Thread | None = None

    @property
    def version(self) -> int:
        """Version of the present directory."""
        return self.current.version

    @property
    def age(self) -> float:
        """Seconds since the database or a newly read snapshot last confirmed ``current``."""
        return self._clock() - self._confirmed

    def load(self) -> None:
        """Fill ``current``: from the database, else from the snapshot, else with nothing.

        A database that does not answer soon is not waited for: its answer counts when it comes.
        """
        if self._engine is not None:
            first = Thread(target=self._look_at_database, name="directory-load", daemon=True)
            first.start()
            first.join(self._patience_s)
        if self.source == "empty":
            self._look_at_snapshot()

    def start(self) -> None:
        """Keep ``current`` fresh in a thread of its own until ``stop``."""
        self._ended.clear()
        self._thread = Thread(target=self._run, name="directory", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a look that hangs in the database is left behind."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_END_S)
            self._thread = None

    def look(self) -> None:
        """Look once whether anything has changed; what the thread does again and again."""
        if not self._look_at_database():
            self._look_at_snapshot()

    def _run(self) -> None:
        while not self._ended.wait(self._poll_s):
            self.look()

    def _look_at_database(self) -> bool:
        """Take over what the database says; False when it does not answer."""
        if self._engine is None or not self._looking.acquire(blocking=False):
            return False
        try:
            version = store.read_version(self._engine)
            if self.source != "database" or version != self.version:
                self._take(store.read_directory(self._engine), "database")
            self._confirmed = self._clock()
            self._tell("database", "")
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, links go on working
            self._tell("database", str(error))
            return False
        else:
            self._keep_snapshot(self._engine)
            return True
        finally:
            self._looking.release()

    def _keep_snapshot(self, engine: Engine) -> None:
        """Write the snapshot anew when it is not what is in memory, whoever changed it."""
        if self._kept is not None and self._kept == _stamp(self._snapshot):
            return
        try:
            if _content(self._snapshot) != self.current.to_bytes():
                self._take(write_snapshot(engine, self._snapshot, self._write), "database")
            self._kept = _stamp(self._snapshot)
            self._tell("snapshot", "")
        except Exception as error:  # noqa: BLE001 - a full disk must not end the thread
            self._tell("snapshot", str(error))

    def _look_at_snapshot(self) -> None:
        """Take over what the snapshot says, when it has changed and is not older."""
        stamp = _stamp(self._snapshot)
        if stamp is None or stamp == self._read:
            return
        self._read = stamp
        try:
            directory = Directory.from_bytes(self._snapshot.read_bytes())
        except (OSError, CorruptedError) as error:
            self._tell("snapshot", f"{self._snapshot} is not used: {error}")
            return
        self._tell("snapshot", "")
        if self.source != "database" or directory.version > self.version:
            self._take(directory, "snapshot")
            self._confirmed = self._clock()

    def _take(self, directory: Directory, source: Source) -> None:
        if (directory.version, source) != (self.version, self.source):
            _log.info("directory.loaded", version=directory.version, source=source)
        self.current = directory
        self.source = source
        if source == "database":
            self._kept = None  # the file is to be compared anew

    def _tell(self, part: str, fault: str) -> None:
        """Log a fault once, and once more when it is over."""
        before = self._told.get(part, "")
        self._told[part] = fault
        if fault and fault != before:
            _log.warning(f"directory.{part}_fault", error=fault, in_use=self.source)
        elif before and not fault:
            _log.info(f"directory.{part}_back")


def write_snapshot(engine: Engine, path: Path, write: WriteFile = durable.write) -> Directory:
    """Bring the snapshot file up to date with the database; return what it says.

    The database is read while holding the turn to write, so that of two writers the later
    one also has the later content.

    Raises:
        UnavailableError: the database does not answer.
        OSError: the file cannot be written; the old one is still there.
    """
    with durable.turn(path):
        directory = store.read_directory(engine)
        content = directory.to_bytes()
        if _content(path) != content:
            write(path, content)
    return directory


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
