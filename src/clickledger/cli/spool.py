"""``clickledger spool``: what lies between the collector and the lake."""

import sys
from dataclasses import asdict
from typing import Annotated

import msgspec
import typer

from clickledger.cli import output
from clickledger.cli.options import AsJson, Data, data_folder
from clickledger.clock import Micros, to_datetime
from clickledger.errors import CorruptedError
from clickledger.spool import format as spool_format
from clickledger.spool import verify as looking
from clickledger.spool.model import Batch, Click, SetAside

app = typer.Typer(
    no_args_is_help=True,
    help="The spool, read-only and safe while the server runs: clicks on their way to the lake.",
)


@app.command()
def stats(data: Data, as_json: AsJson = False) -> None:
    """Count what the spools hold."""
    spools = looking.stats(data_folder(data).spool)
    clicks = sum(spool.clicks for spool in spools)
    if as_json:
        output.print_json({"spools": [asdict(spool) for spool in spools], "clicks": clicks})
        return
    output.print_table(
        ["Spool", "Owner alive", "Last batch", "Clicks", "Bytes", "Complete through"],
        [
            [
                spool.id,
                spool.owner_alive,
                spool.last_sequence,
                spool.clicks,
                spool.bytes,
                _text(spool.low_water),
            ]
            for spool in spools
        ],
    )
    output.print_note(f"{clicks} clicks in {len(spools)} spools")


@app.command()
def dump(
    *,
    data: Data,
    spool: Annotated[
        str | None, typer.Option("--spool", help="Id of one spool; default: all of them.")
    ] = None,
    after: Annotated[
        int, typer.Option("--after", min=0, help="Begin behind this batch of each spool.")
    ] = 0,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Most batches; default: all of them.")
    ] = None,
    clicks: Annotated[bool, typer.Option("--clicks", help="Show each click as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the batches in order, one a line (with --json: one JSON object a line)."""
    found = looking.entries(data_folder(data).spool, spool_id=spool, after=after)
    for count, entry in enumerate(found, start=1):
        facts = _facts(entry)
        if clicks and isinstance(entry, Batch):
            facts["content"] = _content(entry)
        if as_json:
            sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
        else:
            _print_lines(facts)
        if count == limit:
            break


@app.command()
def verify(data: Data, as_json: AsJson = False) -> None:
    """Read every batch and check it; exit code 1 when something is wrong."""
    root = data_folder(data).spool
    findings = looking.verify(root)
    if as_json:
        output.print_json(asdict(findings))
    else:
        for problem in findings.problems:
            line = f"{problem.spool_id} batch {problem.sequence}: {problem.reason}"
            sys.stdout.write(f"{line}: {problem.detail}\n")
        for name in findings.set_aside:
            sys.stdout.write(f"kept in set-aside/{name}: {looking.reason(root, name)}\n")
        verdict = f"{len(findings.problems)} problems" if findings.problems else "all sound"
        output.print_note(
            f"{findings.clicks} clicks in {findings.batches} batches of {findings.spools} spools: "
            f"{verdict}"
        )
    if findings.problems:
        raise typer.Exit(1)


def _facts(entry: Batch | SetAside) -> dict[str, object]:
    facts: dict[str, object] = {
        "spool_id": entry.spool_id,
        "sequence": entry.sequence,
        "clicks": entry.clicks,
    }
    if isinstance(entry, SetAside):
        return facts | {"problem": entry.reason, "detail": entry.detail, "bytes": len(entry.raw)}
    return facts | {
        "first_received": _text(entry.first_received),
        "last_received": _text(entry.last_received),
        "low_water": _text(entry.low_water),
        "checksum": entry.checksum.hex(),
        "bytes": spool_format.HEADER_BYTES + len(entry.payload),
    }


def _content(batch: Batch) -> list[object]:
    r"""Show the clicks of a batch; bytes that are not UTF-8 as ``\xNN``."""
    shown: list[object] = []
    for raw in spool_format.split(batch.payload):
        try:
            click: Click = spool_format.decode_click(raw)
        except CorruptedError as error:
            shown.append({"problem": str(error)})
        else:
            fields = msgspec.structs.asdict(click)
            shown.append({name: _shown(value) for name, value in fields.items()})
    return shown


def _shown(value: object) -> object:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _print_lines(facts: dict[str, object]) -> None:
    content = facts.pop("content", [])
    sys.stdout.write(" ".join(f"{name}={value}" for name, value in facts.items()) + "\n")
    assert isinstance(content, list)  # noqa: S101 - made by _content
    for click in content:
        sys.stdout.write(f"  {msgspec.json.encode(click).decode()}\n")


def _text(instant: Micros | None) -> str:
    return "" if instant is None else to_datetime(instant).isoformat(timespec="microseconds")
