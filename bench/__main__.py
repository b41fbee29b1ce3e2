"""``python -m bench [NAME …]``: every figure this machine can run, as a table and as JSON."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench import (
    export,
    exporting,
    freshness,
    lake_size,
    loader,
    postbacks,
    redirects,
    spool_commit,
)
from bench.report import Figure, as_json, show

_RESULTS = Path(__file__).with_name("results")

#: In the order of the journey of a click.
BENCHMARKS: dict[str, Callable[[], Sequence[Figure]]] = {
    "redirects": redirects.run,
    "spool_commit": spool_commit.run,
    "loader": loader.run,
    "lake_size": lake_size.run,
    "freshness": freshness.run,
    "export": export.run,
    "exporting": exporting.run,
    "postbacks": postbacks.run,
}


def main(names: Sequence[str]) -> int:
    """Run the benchmarks named, or all; 1 when a bar is missed."""
    console = Console(stderr=True)
    taken: list[Figure] = []
    for name in names or BENCHMARKS:
        if name == "redirects" and (missing := redirects.missing_packages()):
            console.print(f"{name}: skipped; its baseline needs the Debian packages {missing}")
            continue
        started = time.monotonic()
        with console.status(f"{name} …"):
            found = BENCHMARKS[name]()
        console.print(f"{name}: {time.monotonic() - started:.0f} s")
        show(name, found)
        taken += found
    _RESULTS.mkdir(exist_ok=True)
    file = _RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.write_text(as_json(taken), encoding="utf-8")
    shutil.copy(file, _RESULTS / "latest.json")
    console.print(f"written to bench/results/{file.name}")
    return 1 if any(figure.met is False for figure in taken) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
