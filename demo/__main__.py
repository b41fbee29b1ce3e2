"""The whole main job against a real server: clicks, a job, its file, a crash, nothing lost."""

import asyncio
import csv
import io
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from clickledger.testing.installation import Brand, Installation
from demo.traffic import Sent, send

CLICKS = 3000
CLICKS_UNDER_FIRE = 2000
AT_ONCE = 32
_JOB_WITHIN_S = 60


def main() -> int:
    """Run the demonstration; 0 when everything held."""
    console = Console()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="clickledger-demo-") as folder:
        server = Installation(
            Path(folder) / "data", settings={"TRUSTED_PROXIES": '["127.0.0.0/8"]'}
        )
        try:
            held = tell(console, server)
        finally:
            server.kill()
    console.print(f"\nThat took {time.monotonic() - started:.0f} s.")
    return 0 if held else 1


def tell(console: Console, server: Installation) -> bool:
    """Tell the story step by step; return whether every promise held."""
    step(console, "A new installation with a brand, two partners and two ads")
    brand = server.make()
    console.print(f"account {brand.sid[:8]}…, program {brand.program_id}, links:")
    for link in brand.links:
        console.print(f"  {server.url}{link}")
    server.start()

    step(console, f"{CLICKS} visitors follow the partners' links")
    sent = visit(console, server, brand, CLICKS, seed=1)
    console.print(f"{len(sent.click_ids)} were sent on with a click id")

    step(console, "The brand asks for today's clicks: a job, at once")
    api = httpx.Client(
        base_url=server.url, auth=(brand.sid, brand.token), headers={"Accept": "application/json"}
    )
    export = f"/Advertisers/{brand.sid}/Programs/{brand.program_id}/ClickExport"
    job = api.get(export).json()
    console.print_json(data=job)
    rows = download(console, api, job)
    show(console, rows)
    complete = compare(console, sent.click_ids, rows)

    step(console, "The same request again is the same job")
    again = api.get(export).json()
    same = again["QueuedUri"] == job["QueuedUri"]
    console.print(f"{'the same job' if same else 'ANOTHER JOB'}, now {again['Status']}")

    step(console, "The machine fails in the middle of more traffic: SIGKILL to every process")
    under_fire = crash(console, server, brand)
    acknowledged = (*sent.click_ids, *under_fire.click_ids)
    console.print(
        f"{len(under_fire.click_ids)} more were sent on with a click id, "
        f"{under_fire.unanswered} got no answer"
    )

    step(console, "Served again, and the job replayed: is an acknowledged click missing?")
    restarted = time.monotonic()
    server.start()
    console.print(f"ready after {time.monotonic() - restarted:.1f} s")
    api.put(job["ReplayUri"])
    kept = compare(console, acknowledged, download(console, api, job))
    status = server.stop()
    return complete and same and kept and status == 0


def step(console: Console, what: str) -> None:
    """Announce a step."""
    console.print()
    console.rule(f"[bold]{what}", align="left")


def progress(console: Console) -> Progress:
    """Make a progress bar with a count and the time."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def visit(console: Console, server: Installation, brand: Brand, count: int, *, seed: int) -> Sent:
    """Send visitors, with a progress bar."""
    with progress(console) as bar:
        task = bar.add_task("visitors", total=count)
        return asyncio.run(
            send(
                server.url,
                brand.links,
                count,
                at_once=AT_ONCE,
                seed=seed,
                on_answer=lambda done: bar.update(task, completed=done),
            )
        )


def crash(console: Console, server: Installation, brand: Brand) -> Sent:
    """Send visitors and kill the server when a third of them have been answered."""
    reached = threading.Event()
    sent: list[Sent] = []

    def on_answer(done: int) -> None:
        if done >= CLICKS_UNDER_FIRE // 3:
            reached.set()

    def run() -> None:
        sent.append(
            asyncio.run(
                send(
                    server.url,
                    brand.links,
                    CLICKS_UNDER_FIRE,
                    at_once=AT_ONCE,
                    seed=2,
                    on_answer=on_answer,
                )
            )
        )

    traffic = threading.Thread(target=run)
    traffic.start()
    reached.wait(30)
    server.kill()
    console.print("killed")
    traffic.join()
    return sent[0]


def download(console: Console, api: httpx.Client, job: dict[str, str]) -> list[dict[str, str]]:
    """Poll a job until its file is ready, with its progress; return the rows."""
    deadline = time.monotonic() + _JOB_WITHIN_S
    with progress(console) as bar:
        task = bar.add_task("job", total=100)
        while True:
            state = api.get(job["QueuedUri"]).json()
            bar.update(task, completed=int(state["PercentageComplete"]))
            if state["Status"] == "COMPLETED":
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"the job is still {state['Status']}: {state['StatusMessage']}")
            time.sleep(0.2)
    console.print(state["StatusMessage"])
    answer = api.get(job["ResultUri"], follow_redirects=True)
    answer.raise_for_status()
    return list(csv.DictReader(io.StringIO(answer.text)))


def show(console: Console, rows: list[dict[str, str]]) -> None:
    """Show the first rows of a file."""
    columns = ("EventDate", "MediaName", "SubId1", "ReferringDomain")
    table = Table(title=f"the first of {len(rows)} rows, {len(columns)} of {len(rows[0])} columns")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows[:8]:
        table.add_row(*(row[column] for column in columns))
    console.print(table)


def compare(console: Console, promised: tuple[str, ...], rows: list[dict[str, str]]) -> bool:
    """Compare the click ids that visitors carry with those in the file."""
    stored = [row["Id"] for row in rows]
    missing = set(promised) - set(stored)
    twice = len(stored) - len(set(stored))
    table = Table("promised", "in the file", "missing", "twice")
    table.add_row(str(len(promised)), str(len(stored)), str(len(missing)), str(twice))
    console.print(table)
    return not missing and not twice


if __name__ == "__main__":
    sys.exit(main())
