"""What every process, or the parent of them all, does first."""

import os

import structlog

from clickledger.config import DataFolder, Role, Settings
from clickledger.db.engine import control_url, open_engine
from clickledger.db.revisions import check, migrate
from clickledger.errors import ClickledgerError, CorruptedError

_log = structlog.get_logger(__name__)

#: A locked database must not keep the collectors from starting.
_DATABASE_WAIT_S = 2.0


def prepare(folder: DataFolder, settings: Settings, role: Role) -> None:
    """Make a data folder ready to be served: folders, migrations, counters of the dead removed.

    A collector starts without its database: promise 2. The other roles do not.
    """
    for part in (folder.spool, folder.results, folder.tmp, folder.locks, folder.metrics):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in folder.metrics.glob("*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110 - not a file of ours
            file.unlink(missing_ok=True)
    engine = open_engine(control_url(settings, folder), wait_s=_DATABASE_WAIT_S)
    try:
        revision = check(engine)
        if not revision.current:
            # `init` makes the first tables; a database without any is not the one that was made,
            # and the directory of an empty one must not replace the snapshot.
            raise CorruptedError("the control database is empty: restore it from a backup")
        if revision.behind:
            migrate(engine)
    except ClickledgerError as error:
        if role in {Role.WEB, Role.WORKER}:
            raise
        _log.warning("database_unavailable_at_start", reason=str(error))
    finally:
        engine.dispose()
