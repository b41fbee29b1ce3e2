"""Durable redirects per second, beside nginx answering 302 with an ordinary access log.

Each counted redirect must be in the lake afterwards.
"""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from bench.load import WrkResult, wrk
from bench.report import Figure, as_json, show
from clickledger.testing.installation import Installation, free_port

#: Debian packages without which these figures cannot be had.
PACKAGES = {"nginx": "nginx-light", "wrk": "wrk"}
SECONDS = 5
#: The median of them is reported.
ROUNDS = 3
#: A backlog that takes longer than this to drain is not drained.
_DRAIN_WITHIN_S = 240.0


def missing_packages() -> list[str]:
    """Name the Debian packages this benchmark lacks."""
    return [package for command, package in PACKAGES.items() if shutil.which(command) is None]


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """Run nginx: one worker, ``return 302``, combined access log; yield its URL."""
    port = free_port()
    (folder / "logs").mkdir(parents=True)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"""worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 4096; }}
        http {{
          access_log {folder}/access.log combined; keepalive_requests 1000000000;
          server {{
            listen 127.0.0.1:{port} backlog=4096;
            location / {{ return 302 https://shop.example/p?irclickid=x&irgwc=1; }}
          }}
        }}""",
        encoding="utf-8",
    )
    process = subprocess.Popen(["nginx", "-c", str(configuration), "-p", str(folder)])
    try:
        time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def measure(folder: Path, role: str, connections: tuple[int, ...]) -> list[Figure]:
    """Measure one role at each number of connections, beside nginx.

    Where nothing works on after a round, nginx and we take turns, so that what else the machine
    does falls on both. A loader would work on: then nginx has all its rounds before we start.
    """
    server = Installation(folder / role)
    brand = server.make()
    link = brand.links[0]
    figures = []
    with nginx(folder / f"nginx-{role}") as url:

        def baseline(number: int) -> WrkResult:
            return wrk(url, link, connections=number, seconds=SECONDS)

        by_turns = role == "collector"
        before = {
            number: [] if by_turns else [baseline(number) for _ in range(ROUNDS)]
            for number in connections
        }
        server.start(role=role)
        try:
            # Not measured: caches fill and code paths warm up.
            counted = wrk(f"{server.url}/", link, connections=64, seconds=2).requests
            for number in connections:
                baselines, ours = before[number], []
                for _ in range(ROUNDS):
                    if by_turns:
                        baselines.append(baseline(number))
                    ours.append(wrk(f"{server.url}/", link, connections=number, seconds=SECONDS))
                counted += sum(one.requests for one in ours)
                figures += [*_speed(role, number, ours, baselines)]
            stopped = server.stop()
            drained = time.perf_counter()
            stored = drain(server, counted)
            drained = time.perf_counter() - drained
        finally:
            server.kill()
    figures.append(
        Figure(
            name=f"redirects counted by wrk that are in the lake ({role})",
            value=float(min(stored, counted)),
            unit="clicks",
            bar="= all counted",
            met=stored >= counted and stopped == 0,
            baseline=float(counted),
            baseline_name="counted",
            notes={"stored": stored, "drain_seconds": round(drained, 1)},
        )
    )
    return figures


def _speed(
    role: str, connections: int, ours: Sequence[WrkResult], nginx: Sequence[WrkResult]
) -> Iterator[Figure]:
    """Report the medians of the rounds."""
    share, p99_ms = (0.20, 10.0) if role == "collector" else (0.12, 25.0)
    held = connections == 64
    speed, bare = (median(one.per_second for one in rounds) for rounds in (ours, nginx))
    yield Figure(
        name=f"durable redirects ({role}, {connections} connections)",
        value=speed,
        unit="/s",
        bar=f">= {share:.2f} x baseline" if held else "",
        met=speed >= share * bare if held else None,
        baseline=bare,
        baseline_name="/s nginx",
        notes={"rounds": [asdict(one) for one in ours], "nginx": [asdict(one) for one in nginx]},
    )
    slow, slow_bare = (median(one.p99_ms for one in rounds) for rounds in (ours, nginx))
    yield Figure(
        name=f"p99 ({role}, {connections} connections)",
        value=slow,
        unit="ms",
        bar=f"<= {p99_ms:.0f} ms" if held else "",
        met=slow <= p99_ms if held else None,
        baseline=slow_bare,
        baseline_name="ms nginx",
    )


def drain(server: Installation, expected: int) -> int:
    """Let a worker load what is spooled; return the clicks in the lake."""
    server.start(role="worker")
    deadline = time.monotonic() + _DRAIN_WITHIN_S
    stored = 0
    while stored < expected and time.monotonic() < deadline:
        time.sleep(0.5)
        stored = int(str(server.count()["raw"]))
    server.stop()
    return stored


def run() -> list[Figure]:
    """Measure both roles."""
    with tempfile.TemporaryDirectory(prefix="clickledger-bench-") as folder:
        alone = measure(Path(folder), "collector", (64, 512))
        everything = measure(Path(folder), "all", (64,))
    by_name = {figure.name: figure.value for figure in alone}
    few = by_name["durable redirects (collector, 64 connections)"]
    many = by_name["durable redirects (collector, 512 connections)"]
    no_lower = Figure(
        name="512 connections against 64 (collector)",
        value=many,
        unit="/s",
        bar=">= at 64 connections",
        met=many >= few,
        baseline=few,
        baseline_name="/s at 64",
    )
    return [*alone, no_lower, *everything]


if __name__ == "__main__":
    found = run()
    show("durable redirects", found)
    print(as_json(found))
