"""What a benchmark reports: figures, each beside its bar and its baseline from the same run."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

_LIBRARIES = ("granian", "deltalake", "duckdb", "pyarrow", "dbos", "litestar", "msgspec", "uvloop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number and what it is held against."""

    name: str
    value: float
    unit: str
    #: The bar in words, e.g. ``>= 0.20 x baseline``; empty: reported only.
    bar: str = ""
    #: Whether the bar is met; None: no bar.
    met: bool | None = None
    #: What was measured beside it in the same run; None: none, or not on this machine.
    baseline: float | None = None
    #: What the baseline is.
    baseline_name: str = ""
    #: Settings and details.
    notes: dict[str, object] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Value over baseline."""
        return self.value / self.baseline if self.baseline else None


def machine() -> dict[str, object]:
    """Describe where the figures come from."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": commit,
        **{name: version(name) for name in _LIBRARIES},
    }


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print figures as a table."""
    table = Table("figure", "value", "baseline", "ratio", "bar", "met", title=title)
    for figure in figures:
        ratio = figure.ratio
        table.add_row(
            figure.name,
            f"{figure.value:,.3g} {figure.unit}" if figure.value < 100 else _large(figure),
            "" if figure.baseline is None else f"{figure.baseline:,.6g} {figure.baseline_name}",
            "" if ratio is None else f"{ratio:.2f}",
            figure.bar,
            {None: "", True: "yes", False: "NO"}[figure.met],
        )
    Console(width=170).print(table)


def as_json(figures: Sequence[Figure]) -> str:
    """Return figures and machine as JSON."""
    rows = [{**asdict(figure), "ratio": figure.ratio} for figure in figures]
    return json.dumps({"machine": machine(), "figures": rows}, indent=2)


def _large(figure: Figure) -> str:
    return f"{figure.value:,.0f} {figure.unit}"
