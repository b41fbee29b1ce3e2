"""``clickledger link``."""

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _link() -> None:
    """Placeholder until its commands land."""
