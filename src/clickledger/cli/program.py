"""``clickledger program``: a brand's programs."""

from typing import Annotated

import typer

from clickledger.cli import output
from clickledger.cli.control import open_control
from clickledger.cli.options import Account, AsJson, Data
from clickledger.programs.model import Program

app = typer.Typer(no_args_is_help=True, help="Programs: where links lead and whose day counts.")


@app.command()
def add(
    *,
    data: Data,
    name: Annotated[str, typer.Option("--name", help="Name of the program.")],
    time_zone: Annotated[
        str,
        typer.Option(
            "--time-zone",
            help="IANA time zone whose days the program's reports use. It is fixed from now on: "
            "no command changes it.",
        ),
    ],
    landing_page: Annotated[
        str, typer.Option("--landing-page", help="Where links lead by default: http(s) URL.")
    ],
    deep_link_domain: Annotated[
        list[str] | None,
        typer.Option(
            "--deep-link-domain",
            help="Host that deep links may lead to, or *.host for any below it; may be "
            "repeated. Default: the landing page's host.",
        ),
    ] = None,
    click_id_param: Annotated[
        str, typer.Option("--click-id-param", help="Query parameter that carries the click id.")
    ] = "irclickid",
    partner_template: Annotated[
        str,
        typer.Option(
            "--partner-template",
            help="Added to the landing URL of partner links: name={token}&…, with the tokens "
            "{clickid} {iradid} {ircid} {irpid}.",
        ),
    ] = "",
    program_template: Annotated[
        str, typer.Option("--program-template", help="Added to the landing URL of every link.")
    ] = "",
    hide_sub_ids: Annotated[
        bool,
        typer.Option("--hide-sub-ids", help="Leave SubId1 to SubId3 out of the brand's exports."),
    ] = False,
    account: Account = None,
    as_json: AsJson = False,
) -> None:
    """Add a program. Its time zone is fixed from then on."""
    with open_control(data) as control:
        program = control.programs.create_program(
            advertiser_sid=control.brand(account),
            name=name,
            time_zone=time_zone,
            landing_page=landing_page,
            deep_link_domains=deep_link_domain or None,
            click_id_param=click_id_param,
            partner_template=partner_template,
            program_template=program_template,
            hide_sub_ids=hide_sub_ids,
        )
        control.changed()
    _print(program, as_json=as_json)


@app.command("list")
def list_(data: Data, account: Account = None, as_json: AsJson = False) -> None:
    """List the programs of a brand."""
    with open_control(data) as control:
        programs = control.programs.list_programs(control.brand(account))
    if as_json:
        output.print_json(programs)
        return
    output.print_table(
        ("Id", "Name", "Time zone", "Landing page", "Deep-link domains"),
        (
            (one.id, one.name, one.time_zone, one.landing_page, one.deep_link_domains)
            for one in programs
        ),
    )


@app.command()
def show(
    data: Data,
    program_id: Annotated[int, typer.Argument(metavar="ID")],
    account: Account = None,
    as_json: AsJson = False,
) -> None:
    """Show one program."""
    with open_control(data) as control:
        program = control.programs.get_program(control.brand(account), program_id)
    _print(program, as_json=as_json)


def _print(program: Program, *, as_json: bool) -> None:
    if as_json:
        output.print_json(program)
        return
    output.print_fields(
        (
            ("Id", program.id),
            ("Name", program.name),
            ("Account", program.advertiser_sid),
            ("Time zone", f"{program.time_zone} (fixed)"),
            ("Landing page", program.landing_page),
            ("Deep-link domains", program.deep_link_domains),
            ("Click id parameter", program.click_id_param),
            ("Partner template", program.partner_template),
            ("Program template", program.program_template),
            ("Hide sub ids", program.hide_sub_ids),
        )
    )
