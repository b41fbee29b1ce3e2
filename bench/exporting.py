"""Redirect latency while an export of five million clicks runs, beside the same without it."""

import asyncio
import tempfile
import threading
import time
from pathlib import Path

import httpx

from bench import export
from bench.load import Paced, paced
from bench.report import Figure, as_json, show
from clickledger.testing.installation import Brand, Installation

PER_SECOND = 1_000
_ALONE_S = 15.0
_EXPORT_WITHIN_S = 120.0


def run() -> list[Figure]:
    """Measure without an export, then for as long as one runs."""
    with tempfile.TemporaryDirectory(prefix="clickledger-bench-") as folder:
        root = Path(folder)
        export.build(root, "five")
        server = Installation(root / "data", {"LAKE_URL": str(root / "five")})
        brand = server.make()
        server.start()
        try:
            alone = _clicks(server, brand, _ALONE_S)
            with httpx.Client(base_url=server.url, auth=(brand.sid, brand.token)) as api:
                api.headers["Accept"] = "application/json"
                under_way = threading.Event()
                under_way.set()
                exported: dict[str, float] = {}
                exporting = threading.Thread(
                    target=lambda: exported.update(_export(api, brand, under_way))
                )
                exporting.start()
                busy = _clicks(server, brand, _EXPORT_WITHIN_S, under_way)
                exporting.join()
        finally:
            server.kill()
    p99 = busy.percentile_ms(0.99)
    return [
        Figure(
            name=f"redirect p99 at {PER_SECOND:,}/s while a 5 M-click export runs",
            value=p99,
            unit="ms",
            bar="<= 25 ms",
            met=p99 <= 25 and not busy.errors and exported["rows"] >= 5 * export.MILLION,
            baseline=alone.percentile_ms(0.99),
            baseline_name="ms without the export",
            notes={**exported, "clicks_meanwhile": len(busy.clicks), "errors": busy.errors},
        )
    ]


def _clicks(
    server: Installation, brand: Brand, seconds: float, going: threading.Event | None = None
) -> Paced:
    return asyncio.run(
        paced(
            server.port,
            brand.links,
            per_second=PER_SECOND,
            seconds=seconds,
            going=going.is_set if going else lambda: True,
        )
    )


def _export(api: httpx.Client, brand: Brand, under_way: threading.Event) -> dict[str, float]:
    """Export the day and clear ``under_way`` at its end."""
    started = time.perf_counter()
    path = f"/Advertisers/{brand.sid}/Programs/{brand.program_id}/ClickExport"
    try:
        job = api.get(path, params={"Date": export.FIVE.day.isoformat()}).json()
        while True:
            state = api.get(job["QueuedUri"]).json()
            if state["Status"] == "COMPLETED":
                break
            assert state["Status"] in {"QUEUED", "RUNNING"}, state["StatusMessage"]
            assert time.perf_counter() - started < _EXPORT_WITHIN_S, "the export takes too long"
            time.sleep(0.05)
    finally:
        under_way.clear()
    seconds = round(time.perf_counter() - started, 1)
    return {"export_seconds": seconds, "rows": float(state["RecordsProcessed"])}


if __name__ == "__main__":
    found = run()
    show("redirects beside an export", found)
    print(as_json(found))
