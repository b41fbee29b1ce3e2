"""``clickledger keys``: the secrets of a data folder."""

from datetime import datetime
from typing import Annotated

import typer

from clickledger.accounts.keys import KeyListing, Keys, Ring, rotate
from clickledger.cli import output
from clickledger.cli.options import AsJson, Data, data_folder
from clickledger.clock import wall_clock

app = typer.Typer(no_args_is_help=True, help="Secret keys, by the ring they hang on.")


@app.command("list")
def list_(data: Data, as_json: AsJson = False) -> None:
    """List the keys and how long they verify; no secret is shown."""
    keys = Keys.load(data_folder(data).keys).listing()
    if as_json:
        output.print_json(keys)
        return
    output.print_table(
        ("Ring", "Key", "Made", "Followed by a newer one", "Verifies until"), map(_row, keys)
    )


@app.command("rotate")
def rotate_(
    data: Data, ring: Annotated[Ring, typer.Argument(help="Which keys.")], as_json: AsJson = False
) -> None:
    """Put a new key on a ring; the old one still verifies for a while.

    Click ids verify for 400 days more, download URLs and visitor hashes for one day, tokens
    until they are rotated themselves. `serve` takes the new key up when it is restarted.
    """
    made = rotate(data_folder(data).keys, ring, wall_clock())
    if as_json:
        output.print_json(made)
        return
    output.print_fields((("Ring", made.ring), ("New key", made.id)))
    output.print_note("Restart `serve` to take it up.")


def _row(key: KeyListing) -> tuple[str, ...]:
    retired = "" if key.retired is None else _minute(key.retired)
    until = "further notice" if key.verifies_until is None else _minute(key.verifies_until)
    return key.ring, key.id, _minute(key.created), retired, until


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
