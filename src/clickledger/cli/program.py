"""``clickledger program``."""

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _program() -> None:
    """Placeholder until its commands land."""
