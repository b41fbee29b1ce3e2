"""Connections to DuckDB over the lake's files."""

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb


@contextmanager
def connection(
    scratch: Path, *, memory_mb: int = 512, threads: int = 1
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an engine of its own, with a folder of its own to spill into below ``scratch``.

    Two engines that spill into one folder overwrite each other's files.
    """
    with (
        scratch_folder(scratch, "duckdb") as folder,
        duckdb.connect(
            config={
                "temp_directory": str(folder),
                "memory_limit": f"{memory_mb}MB",
                "threads": threads,
                "preserve_insertion_order": False,
                # Nothing is ever fetched from outside.
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        ) as engine,
    ):
        engine.execute("SET TimeZone = 'UTC'")
        yield engine


@contextmanager
def scratch_folder(scratch: Path, name: str) -> Iterator[Path]:
    """Make a folder below ``scratch`` for the block; its name says whose it is."""
    folder = scratch / f"{name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(scratch: Path) -> None:
    """Remove the folders of processes that have ended without doing so themselves."""
    for folder in scratch.glob("*-*-*"):
        owner = folder.name.split("-")[1]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def files_sql(paths: Sequence[Path]) -> str:
    """Return a relation over Parquet files; the paths are our own, made of safe characters.

    The partition column is not among the columns: event_time says the same.
    """
    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    return f"read_parquet([{listed}], hive_partitioning = false)"
