"""``clickledger partner``: a brand's media partners."""

from typing import Annotated

import msgspec
import typer

from clickledger.cli import output
from clickledger.cli.control import open_control
from clickledger.cli.options import Account, AsJson, Data
from clickledger.programs.model import Partner

app = typer.Typer(no_args_is_help=True, help="Media partners: who brings the visitors.")


@app.command()
def add(
    data: Data,
    name: Annotated[str, typer.Option("--name", help="Name of the partner.")],
    account: Account = None,
    as_json: AsJson = False,
) -> None:
    """Add a partner with an account of its own; its token is shown this once."""
    with open_control(data) as control:
        partner, token = control.programs.create_partner(
            advertiser_sid=control.brand(account), name=name
        )
        control.changed()
    if as_json:
        output.print_json({**msgspec.to_builtins(partner), "token": token})
        return
    _print_fields(partner, ("Token (shown this once)", token))


@app.command("list")
def list_(data: Data, account: Account = None, as_json: AsJson = False) -> None:
    """List the partners of a brand."""
    with open_control(data) as control:
        partners = control.programs.list_partners(control.brand(account))
    if as_json:
        output.print_json(partners)
        return
    output.print_table(("Id", "Name", "SID"), ((one.id, one.name, one.sid) for one in partners))


@app.command()
def show(
    data: Data,
    partner_id: Annotated[int, typer.Argument(metavar="ID")],
    account: Account = None,
    as_json: AsJson = False,
) -> None:
    """Show one partner."""
    with open_control(data) as control:
        partner = control.programs.get_partner(control.brand(account), partner_id)
    if as_json:
        output.print_json(partner)
        return
    _print_fields(partner)


def _print_fields(partner: Partner, *more: tuple[str, object]) -> None:
    output.print_fields(
        (
            ("Id (MediaId in links)", partner.id),
            ("Name", partner.name),
            ("Account", partner.advertiser_sid),
            ("SID", partner.sid),
            *more,
        )
    )
