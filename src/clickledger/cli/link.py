"""``clickledger link``: vanity links, short paths that stand for a tracking link."""

from typing import Annotated

import msgspec
import typer

from clickledger.cli import output
from clickledger.cli.control import open_control
from clickledger.cli.options import Account, AsJson, Data
from clickledger.config import Settings
from clickledger.programs import rules
from clickledger.programs.model import VanityLink

app = typer.Typer(no_args_is_help=True, help="Vanity links: a path for a tracking link.")


@app.command()
def add(
    *,
    data: Data,
    path: Annotated[str, typer.Argument(metavar="PATH", help="Such as /summer.")],
    program: Annotated[int, typer.Option("--program", metavar="ID", help="Its program.")],
    partner: Annotated[int, typer.Option("--partner", metavar="ID", help="Its partner.")],
    ad: Annotated[int, typer.Option("--ad", metavar="ID", help="Its ad, of that program.")],
    deep_link: Annotated[
        str, typer.Option("--deep-link", help="Where it leads; default: where the ad does.")
    ] = "",
    account: Account = None,
    as_json: AsJson = False,
) -> None:
    """Give a path the meaning of a tracking link."""
    with open_control(data) as control:
        link = control.programs.create_link(
            advertiser_sid=control.brand(account),
            path=path,
            program_id=program,
            partner_id=partner,
            ad_id=ad,
            deep_link=deep_link,
        )
        control.changed()
    _print(link, control.settings, as_json=as_json)


@app.command("list")
def list_(
    data: Data,
    program: Annotated[
        int | None, typer.Option("--program", metavar="ID", help="Only this program's.")
    ] = None,
    account: Account = None,
    as_json: AsJson = False,
) -> None:
    """List the vanity links of a brand, or of one of its programs."""
    with open_control(data) as control:
        links = control.programs.list_links(control.brand(account), program)
    if as_json:
        output.print_json([_as_data(one, control.settings) for one in links])
        return
    output.print_table(
        ("Path", "Program", "Partner", "Ad", "Deep link"),
        ((one.path, one.program_id, one.partner_id, one.ad_id, one.deep_link) for one in links),
    )


@app.command()
def show(
    data: Data,
    path: Annotated[str, typer.Argument(metavar="PATH", help="Such as /summer.")],
    account: Account = None,
    as_json: AsJson = False,
) -> None:
    """Show one vanity link."""
    with open_control(data) as control:
        link = control.programs.get_link(control.brand(account), path)
    _print(link, control.settings, as_json=as_json)


def _print(link: VanityLink, settings: Settings, *, as_json: bool) -> None:
    if as_json:
        output.print_json(_as_data(link, settings))
        return
    output.print_fields(
        (
            ("URL", rules.vanity_url(settings.public_url, link.path)),
            ("Program", link.program_id),
            ("Partner", link.partner_id),
            ("Ad", link.ad_id),
            ("Deep link", link.deep_link or "where the ad leads"),
        )
    )


def _as_data(link: VanityLink, settings: Settings) -> dict[str, object]:
    return {**msgspec.to_builtins(link), "url": rules.vanity_url(settings.public_url, link.path)}
