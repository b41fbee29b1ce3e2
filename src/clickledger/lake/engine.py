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
    folder = scratch / f"duckdb-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        with duckdb.connect(
            config={
                "temp_directory": str(folder),
                "memory_limit": f"{memory_mb}MB",
                "threads": threads,
                "preserve_insertion_order": False,
                # Nothing is ever fetched from outside.
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        ) as engine:
            engine.execute("SET TimeZone = 'UTC'")
            yield engine
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def files_sql(paths: Sequence[Path]) -> str:
    """Return a relation over Parquet files; the paths are our own, made of safe characters.

    The partition column is not among the columns: event_time says the same.
    """
    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    return f"read_parquet([{listed}], hive_partitioning = false)"
