"""``clickledger account``: who may call the API, and their tokens."""

from typing import Annotated

import msgspec
import typer

from clickledger.accounts.model import Account
from clickledger.cli import output
from clickledger.cli.control import open_control
from clickledger.cli.options import AsJson, Data

app = typer.Typer(no_args_is_help=True, help="Accounts: who may call the API.")

_Sid = Annotated[str, typer.Argument(metavar="SID")]


@app.command()
def add(
    data: Data,
    name: Annotated[str, typer.Option("--name", help="Name of the brand.")],
    time_zone: Annotated[
        str, typer.Option("--time-zone", help="IANA zone that the dates of its jobs are shown in.")
    ] = "UTC",
    as_json: AsJson = False,
) -> None:
    """Add the account of another brand; its token is shown this once."""
    with open_control(data) as control, control.engine.begin() as connection:
        account, token = control.accounts.create(connection, "advertiser", name, time_zone)
    _print(account, token, as_json=as_json)


@app.command("list")
def list_(data: Data, as_json: AsJson = False) -> None:
    """List the accounts of brands and partners."""
    with open_control(data) as control:
        accounts = control.accounts.list()
    if as_json:
        output.print_json(accounts)
        return
    output.print_table(
        ("SID", "Kind", "Name", "Time zone"),
        ((one.sid, one.kind, one.name, one.time_zone) for one in accounts),
    )


@app.command()
def show(data: Data, sid: _Sid, as_json: AsJson = False) -> None:
    """Show one account."""
    with open_control(data) as control:
        account = control.accounts.get(sid)
    _print(account, None, as_json=as_json)


@app.command("rotate-token")
def rotate_token(data: Data, sid: _Sid, as_json: AsJson = False) -> None:
    """Give an account a new token, shown this once; the old one stops working at once."""
    with open_control(data) as control:
        account, token = control.accounts.rotate_token(sid)
    _print(account, token, as_json=as_json)


def _print(account: Account, token: str | None, *, as_json: bool) -> None:
    if as_json:
        shown = msgspec.to_builtins(account)
        output.print_json(shown if token is None else {**shown, "token": token})
        return
    output.print_fields(
        (
            ("SID", account.sid),
            ("Kind", account.kind),
            ("Name", account.name),
            ("Time zone", account.time_zone),
            *(() if token is None else (("Token (shown this once)", token),)),
        )
    )
