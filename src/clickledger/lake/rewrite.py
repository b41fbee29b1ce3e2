"""Rewritten files take the place of others: prepared without the lease, committed under it."""

from collections.abc import Callable, Sequence

import structlog

from clickledger.lake.lease import Lease
from clickledger.lake.table import CommitConflictError, DataFile, Table

_log = structlog.get_logger(__name__)
_ATTEMPTS = 10


def replace(
    table: Table,
    lease: Lease,
    *,
    old: Sequence[DataFile],
    new: Sequence[DataFile],
    why: str,
    data_change: bool,
    still: Callable[[set[str]], bool] = lambda _: True,
) -> bool:
    """Commit ``new`` in the place of ``old`` if all of ``old`` is still there.

    Files that arrived meanwhile stay. When somebody else rewrote one of ``old`` first, or
    ``still`` denies that ``new`` suits the paths that the table holds now, ``new`` is removed and
    False is returned.
    """
    removed = {file.path for file in old}
    with lease.held():
        for _ in range(_ATTEMPTS):
            table.refresh()
            paths = table.paths()
            if not (removed <= paths and still(paths)):
                break
            try:
                table.commit(new, remove=old, why=why, data_change=data_change)
            except CommitConflictError:
                continue
            return True
    discard(table, new)
    _log.info("rewrite_given_up", why=why, files=len(old))
    return False


def discard(table: Table, files: Sequence[DataFile]) -> None:
    """Remove files that were prepared and not committed."""
    for file in files:
        (table.path / file.path).unlink(missing_ok=True)
