"""Names of the files of a result: a head, one part per slice, a foot."""

from pathlib import Path

#: Written last: a folder that has one holds a whole result.
MANIFEST = "manifest.json"


def part_name(number: int) -> str:
    """Name a part: 0 is the head, slice ``i`` is ``i + 1``, the foot follows the last slice."""
    return f"part-{number:05}"


def unfinished_name(number: int, process: int) -> str:
    """Name a part that a process is still writing."""
    return f".{part_name(number)}.{process}.tmp"


def remove_unfinished(folder: Path) -> None:
    """Remove what ended processes did not finish."""
    for path in folder.glob(".part-*.tmp"):
        path.unlink(missing_ok=True)
