"""The whole main job against a real server: clicks, a job, a postback, a crash, nothing lost."""

import asyncio
import csv
import io
import json
import shlex
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from standardwebhooks import Webhook, WebhookVerificationError

from clickledger.testing.installation import Brand, Installation
from clickledger.testing.receiver import Received, Receiver, receiver
from demo.traffic import Sent, send

CLICKS = 3000
CLICKS_UNDER_FIRE = 2000
AT_ONCE = 32
_JOB_WITHIN_S = 60
#: What the calls for the first run of the job, and for its replay, begin with.
_FIRST, _AGAIN = "/ok?replayed=false", "/ok?replayed=true"


def main() -> int:
    """Run the demonstration; 0 when everything held."""
    console = Console()
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="clickledger-demo-") as folder,
        receiver(Path(folder)) as endpoint,
    ):
        server = Installation(
            Path(folder) / "data",
            settings={"TRUSTED_PROXIES": '["127.0.0.0/8"]', **endpoint.allowed()},
        )
        try:
            held = tell(console, server, endpoint)
        finally:
            server.kill()
    console.print(f"\nThat took {time.monotonic() - started:.0f} s.")
    return 0 if held else 1


def tell(console: Console, server: Installation, endpoint: Receiver) -> bool:
    """Tell the story step by step; return whether every promise held."""
    step(console, "A new installation with a brand, two partners and two ads")
    brand = server.make()
    console.print(f"account {brand.sid[:8]}…, program {brand.program_id}, links:")
    for link in brand.links:
        console.print(f"  {server.url}{link}")
    server.start()

    step(console, "The brand says whom to call when a file is ready, and gets the signing secret")
    secret = ask_to_be_told(console, server, endpoint)

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
    watch(console, api, job)

    step(console, "The brand's endpoint is called; the signature says that it was us")
    call = endpoint.wait_for(1, _FIRST)[-1]
    genuine = verify(console, secret, call)

    step(console, "So it downloads the file that the call names")
    rows = download(api, httpx.URL(call.target).params["file"])
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
    watch(console, api, job)
    call = endpoint.wait_for(1, _AGAIN)[-1]
    genuine = verify(console, secret, call) and genuine
    kept = compare(console, acknowledged, download(api, httpx.URL(call.target).params["file"]))
    status = server.stop()
    return genuine and complete and same and kept and status == 0


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


def ask_to_be_told(console: Console, server: Installation, endpoint: Receiver) -> Webhook:
    """Add a notification of finished jobs; return what verifies its calls."""
    url = endpoint.url("/ok?replayed={Replayed}&rows={RecordsProcessed}&file={ResultUri}")
    wish = ("--name", "file ready", "--kind", "JOB_COMPLETION", "--url", url)
    command = shlex.join(("clickledger", "notification", "add", *wish))
    console.print(command, markup=False, soft_wrap=True)
    made = json.loads(server.command("notification", "add", *wish, "--json").stdout)
    console.print(f"secret {made['secret'][:14]}…, shown this once")
    return Webhook(made["secret"])


def verify(console: Console, secret: Webhook, call: Received) -> bool:
    """Show a call as it arrived, and verify its signature."""
    console.print(f"{call.method} {call.target}", markup=False, soft_wrap=True)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        console.print(f"{name}: {call.header(name)}", markup=False)
    try:
        secret.verify(call.target, dict(call.headers), json_parse=False)
    except WebhookVerificationError as error:
        console.print(f"NOT GENUINE: {error}")
        return False
    console.print("the signature is genuine")
    return True


def watch(console: Console, api: httpx.Client, job: dict[str, str]) -> None:
    """Show the progress of a job until its file is ready."""
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


def download(api: httpx.Client, result: str) -> list[dict[str, str]]:
    """Download a file; return its rows."""
    answer = api.get(result, follow_redirects=True)
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
