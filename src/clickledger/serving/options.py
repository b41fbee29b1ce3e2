"""What a process is told by its parent, and how it begins."""

import msgspec
import structlog

from clickledger.config import Role, Settings
from clickledger.process import die_with_parent
from clickledger.wiring.logs import configure_logging


class ProcessOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a `serve`; passed as JSON on its command line."""

    #: http or worker: the module to run.
    kind: str
    data: str
    role: Role
    host: str
    port: int
    #: Pid of the parent; the process ends when that is gone.
    parent: int


def begin(argument: str) -> tuple[ProcessOptions, Settings]:
    """Read the command line of a child process, tie it to its parent, set up its log."""
    options = msgspec.json.decode(argument, type=ProcessOptions)
    die_with_parent(options.parent)
    settings = Settings()
    configure_logging(settings.log_level)
    structlog.contextvars.bind_contextvars(process=options.kind)
    return options, settings
