"""``clickledger serve``: serve a data folder until told to stop."""

from typing import Annotated

import typer

from clickledger.cli.control import read_settings
from clickledger.cli.options import Data, data_folder
from clickledger.config import Role
from clickledger.serving.parent import serve as run
from clickledger.wiring.logs import configure_logging


def serve(
    data: Data,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")
    ] = 8080,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=64, help="HTTP processes to run.")
    ] = 1,
    role: Annotated[
        Role,
        typer.Option(
            "--role",
            help="collector: tracking links; web: API; worker: loader, maintenance and jobs.",
        ),
    ] = Role.ALL,
) -> None:
    """Serve until SIGTERM: requests are finished, what is spooled stays, exit 0 within 10 s.

    Serves plain HTTP; TLS belongs to a reverse proxy, whose network CLICKLEDGER_TRUSTED_PROXIES
    lists. Migrates the control database when it starts.
    """
    folder, settings = data_folder(data.resolve()), read_settings()
    configure_logging(settings.log_level)
    status = run(folder, settings, host=host, port=port, workers=workers, role=role)
    raise typer.Exit(status)
