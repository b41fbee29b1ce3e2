"""The command line: one module per command, registered here in one line each."""

import logging
import sys

import structlog
import typer

from clickledger.cli import account, ad, init, job, keys, lake, link, partner, program, serve, spool
from clickledger.errors import ClickledgerError

app = typer.Typer(
    name="clickledger",
    help="The self-hosted system of record for partner clicks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# A module with one command gives a function, a module with several gives `app`.
app.command("init")(init.init)
app.command("serve")(serve.serve)
app.add_typer(program.app, name="program")
app.add_typer(partner.app, name="partner")
app.add_typer(ad.app, name="ad")
app.add_typer(link.app, name="link")
app.add_typer(account.app, name="account")
app.add_typer(keys.app, name="keys")
app.add_typer(spool.app, name="spool")
app.add_typer(lake.app, name="lake")
app.add_typer(job.app, name="job")


def main() -> None:
    """Run the command line: exit code 0, 1 for an error told in one line, 2 for wrong usage."""
    # What a command prints is its answer; events belong to the logs of the server.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        app()
    except ClickledgerError as error:
        sys.stderr.write(f"clickledger: {' '.join(str(error).split())}\n")
        sys.exit(1)
