"""What a power cut may leave in a table's log, and how it is taken away.

The library gives a log entry its name before its bytes are on disk; we sync it right after. A power
cut in between leaves an entry with holes, and a table that cannot be opened. Nothing was thrown
away on account of such an entry, and none follows it: moved aside, the table is as it was before.
While the machine runs, an entry that has its name is whole, so this can be done at any time.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from clickledger import durable
from clickledger.errors import CorruptedError

_log = structlog.get_logger(__name__)

#: Said in each of our commits: how many actions follow. A cut may fall between two lines.
ACTIONS = "clickledgerActions"
_TORN = ".torn"
#: Most entries that were not synced yet: one of ours, and those of the library's vacuum before it.
_UNSYNCED = 5
_LAST_CHECKPOINT = "_last_checkpoint"


def mend(log: Path) -> list[str]:
    """Move torn entries at the end of a log aside; return their names.

    Raises:
        CorruptedError: there are more than a power cut can leave on a disk that syncs; they stay.
    """
    if not log.is_dir():
        return []
    entries = _torn_entries(log)
    if len(entries) > _UNSYNCED:
        raise CorruptedError(
            f"{len(entries)} entries of {log} are damaged, {entries[-1].name} and later: "
            "that is not what a power cut leaves; put back a copy of the lake"
        )
    torn = entries + _torn_checkpoints(log)
    for path in torn:
        _log.error("torn_log_entry", entry=str(path))
        path.rename(path.with_name(path.name + _TORN))
    durable.sync_folder(log)
    return [path.name for path in torn]


def _torn_entries(log: Path) -> list[Path]:
    torn = []
    for path in sorted(log.glob("*.json"), reverse=True):
        if _is_whole(path):
            break
        torn.append(path)
    return torn


def _is_whole(entry: Path) -> bool:
    try:
        actions = [json.loads(line) for line in entry.read_bytes().splitlines()]
    except ValueError:
        return False
    if not actions:
        return False
    kinds = {kind for action in actions for kind in action}
    if entry.stem == "0" * 20 and not {"protocol", "metaData"} <= kinds:
        return False
    stated = actions[0].get("commitInfo", {}).get(ACTIONS)
    return stated is None or stated == len(actions) - 1


def _torn_checkpoints(log: Path) -> list[Path]:
    torn = []
    for path in sorted(log.glob("*.checkpoint.parquet"), reverse=True):
        try:
            pq.read_table(path, partitioning=None)
        except (pa.ArrowException, OSError):
            torn.append(path)
        else:
            break
    hint = log / _LAST_CHECKPOINT
    if hint.exists():
        try:
            version = int(json.loads(hint.read_bytes())["version"])
        except (ValueError, KeyError, TypeError):
            return [*torn, hint]
        target = log / f"{version:020d}.checkpoint.parquet"
        if target in torn or not target.exists():
            return [*torn, hint]
    return torn
