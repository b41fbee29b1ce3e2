"""A group of commands knows their names at once and imports a module at the first look."""

import sys

import pytest
import typer
from typer.testing import CliRunner

from clickledger.cli.deferred import Commands, group

#: A look at one of them fails, so that a name that is only listed or asked for gives it away.
PLACES = {
    "spell": "no_such_module:what",
    "fold": "no_such_module:app",
    "wrap": "no_such_module:wrap",
}


def test_names_are_known_without_an_import() -> None:
    commands = Commands({"own": "loaded"}, PLACES)
    assert list(commands) == ["own", "spell", "fold", "wrap"]
    assert len(commands) == 4
    assert "spell" in commands
    assert commands["own"] == "loaded"
    assert commands.get("nosuch") is None


def test_a_module_is_imported_at_the_first_look() -> None:
    sys.modules.pop("colorsys", None)
    commands = Commands({}, {"hue": "colorsys:rgb_to_hls"})
    assert "hue" in list(commands)
    assert "colorsys" not in sys.modules
    first = commands["hue"]
    assert "colorsys" in sys.modules
    assert first.name == "hue"
    assert commands["hue"] is first


def test_a_module_that_is_missing_is_found_out_by_the_call() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        Commands({}, PLACES)["spell"]


def test_commands_may_be_added_and_removed() -> None:
    commands = Commands({}, PLACES)
    commands["new"] = "command"
    assert commands["new"] == "command"
    del commands["new"]
    del commands["wrap"]
    assert list(commands) == ["spell", "fold"]


def test_a_group_has_its_own_commands_and_those_elsewhere() -> None:
    app = typer.Typer(cls=group({"there": "clickledger.cli.keys:app"}), no_args_is_help=True)

    @app.command()
    def here() -> None:
        """Say where."""
        typer.echo("here")

    @app.callback()
    def everything() -> None:
        """All of it."""

    told = CliRunner().invoke(app, ["--help"]).stdout
    assert "here" in told
    assert "there" in told
    assert CliRunner().invoke(app, ["here"]).stdout == "here\n"
    assert "rotate" in CliRunner().invoke(app, ["there", "--help"]).stdout
    assert CliRunner().invoke(app, ["nowhere"]).exit_code == 2
