"""``clickledger ad``: the ads of a brand's programs."""

from typing import Annotated

import msgspec
import typer

from clickledger.cli import output
from clickledger.cli.control import Control, open_control
from clickledger.cli.options import Account, AsJson, Data
from clickledger.programs import rules
from clickledger.programs.model import Ad

app = typer.Typer(no_args_is_help=True, help="Ads: what a partner places, and where it leads.")

_Program = Annotated[int, typer.Option("--program", metavar="ID", help="Program of the ad.")]


@app.command()
def add(
    *,
    data: Data,
    program: _Program,
    name: Annotated[str, typer.Option("--name", help="Name of the ad.")],
    ad_type: Annotated[
        str, typer.Option("--type", help="Type of the wire: BANNER, TEXT_LINK, COUPON, …")
    ] = "ONLINE_TRACKING_LINK",
    landing_page: Annotated[
        str, typer.Option("--landing-page", help="Where it leads; default: where the program does.")
    ] = "",
    account: Account = None,
    as_json: AsJson = False,
) -> None:
    """Add an ad to a program."""
    with open_control(data) as control:
        ad = control.programs.create_ad(
            advertiser_sid=control.brand(account),
            program_id=program,
            name=name,
            type=ad_type,
            landing_page=landing_page,
        )
        control.changed()
        _print(control, ad, account, as_json=as_json)


@app.command("list")
def list_(
    data: Data,
    program: Annotated[
        int | None, typer.Option("--program", metavar="ID", help="Only this program's.")
    ] = None,
    account: Account = None,
    as_json: AsJson = False,
) -> None:
    """List the ads of a brand, or of one of its programs."""
    with open_control(data) as control:
        ads = control.programs.list_ads(control.brand(account), program)
    if as_json:
        output.print_json(ads)
        return
    output.print_table(
        ("Id", "Program", "Name", "Type", "Landing page"),
        ((one.id, one.program_id, one.name, one.type, one.landing_page) for one in ads),
    )


@app.command()
def show(
    data: Data,
    ad_id: Annotated[int, typer.Argument(metavar="ID")],
    account: Account = None,
    as_json: AsJson = False,
) -> None:
    """Show one ad and the tracking link of each partner for it."""
    with open_control(data) as control:
        ad = control.programs.get_ad(control.brand(account), ad_id)
        _print(control, ad, account, as_json=as_json)


def _print(control: Control, ad: Ad, account: str | None, *, as_json: bool) -> None:
    public_url = control.settings.public_url
    urls = [
        rules.tracking_url(public_url, partner.id, ad.id, ad.program_id)
        for partner in control.programs.list_partners(control.brand(account))
    ]
    if as_json:
        output.print_json({**msgspec.to_builtins(ad), "tracking_urls": urls})
        return
    output.print_fields(
        (
            ("Id", ad.id),
            ("Program", ad.program_id),
            ("Name", ad.name),
            ("Type", ad.type),
            ("Landing page", ad.landing_page or "the program's"),
            *(("Tracking link", url) for url in urls),
        )
    )
