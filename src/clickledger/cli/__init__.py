"""The command line: one module per command, registered here in one line each."""

import logging
import sys

import structlog
import typer

from clickledger.cli import deferred
from clickledger.errors import ClickledgerError

#: A module with one command gives a function, a module with several gives `app`.
_COMMANDS = {
    "init": "clickledger.cli.init:init",
    "serve": "clickledger.cli.serve:serve",
    "program": "clickledger.cli.program:app",
    "partner": "clickledger.cli.partner:app",
    "ad": "clickledger.cli.ad:app",
    "link": "clickledger.cli.link:app",
    "account": "clickledger.cli.account:app",
    "keys": "clickledger.cli.keys:app",
    "spool": "clickledger.cli.spool:app",
    "lake": "clickledger.cli.lake:app",
    "job": "clickledger.cli.job:app",
    "notification": "clickledger.cli.notification:app",
    "postbacks": "clickledger.cli.postbacks:app",
}

app = typer.Typer(
    name="clickledger",
    cls=deferred.group(_COMMANDS),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def clickledger() -> None:
    """The self-hosted system of record for partner clicks."""


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
