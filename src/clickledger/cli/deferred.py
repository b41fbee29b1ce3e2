"""Commands whose modules are imported when they are asked for, and not before.

Some need libraries, such as the lake's, that take longer to load than most commands to run.
"""

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group


class Commands(MutableMapping[str, Any]):
    """The commands of a group by name, each loaded by the first look at it.

    ``places``: name → ``module:attribute``, a function or a group of commands.
    """

    __slots__ = ("_loaded", "_places")

    def __init__(self, loaded: Mapping[str, Any], places: Mapping[str, str]) -> None:
        self._loaded = dict(loaded)
        self._places = dict.fromkeys(loaded, "") | dict(places)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - Typer does not publish the type
        place = self._places[name]
        if name not in self._loaded:
            module, _, attribute = place.partition(":")
            self._loaded[name] = _command(name, getattr(importlib.import_module(module), attribute))
        return self._loaded[name]

    def __setitem__(self, name: str, command: object) -> None:
        self._places.setdefault(name, "")
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._places[name]
        self._loaded.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def group(places: Mapping[str, str]) -> type[TyperGroup]:
    """Make the class of a group that has the commands at ``places`` besides its own."""

    class Deferring(TyperGroup):
        def __init__(self, **arguments: Any) -> None:  # noqa: ANN401 - Typer's own
            super().__init__(**arguments)
            self.commands = Commands(self.commands, places)

    return Deferring


def _command(name: str, found: Any) -> Any:  # noqa: ANN401 - Typer does not publish the type
    if isinstance(found, typer.Typer):
        command = get_group(found)
        command.name = name
        return command
    single = typer.Typer(add_completion=False)
    single.command(name)(found)
    return get_command(single)
