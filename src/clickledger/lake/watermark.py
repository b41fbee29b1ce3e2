"""The mark: the instant through which the lake holds every click that was accepted."""

import os
from pathlib import Path

import msgspec
import structlog

from clickledger.clock import SECOND, Micros

_log = structlog.get_logger(__name__)


class _Mark(msgspec.Struct, frozen=True):
    complete_through: Micros


def read(path: Path) -> Micros | None:
    """Return the published mark; None: nothing is known yet.

    A reader takes the mark first and the lake's version after it: then the version holds
    everything that the mark promises.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Mark).complete_through
    except (FileNotFoundError, msgspec.MsgspecError):
        # Not JSON: a power cut, which may take the file's bytes but not the clicks. The loader
        # publishes anew within a second.
        return None


def publish(path: Path, mark: Micros, *, now: Micros) -> Micros:
    """Publish the mark unless a later one stands there; return the one that stands then.

    The caller holds the lease, and what makes the mark true is committed. Replaced as a whole;
    not fsynced, because an older mark is true as well. A mark later than ``now`` was made by
    a clock that was ahead: it would promise clicks that are still to come, and goes.
    """
    before = read(path)
    if before is not None:
        if mark <= before <= now:
            return before
        if before > now:
            _log.warning("mark_from_the_future", ahead_s=(before - now) / SECOND)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(msgspec.json.encode(_Mark(mark)))
    temporary.replace(path)
    return mark
