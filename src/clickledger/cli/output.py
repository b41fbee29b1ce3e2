"""What commands print: tables for people, JSON for programs."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import msgspec
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

#: Columns of a table that goes to a file or a pipe: wide enough to keep an id on one line.
_PIPE_WIDTH = 200


def console() -> Console:
    """Make the console of this command's standard output."""
    return Console(
        file=sys.stdout, width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False
    )


def print_json(value: object) -> None:
    """Print one JSON document, indented, and nothing else."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as a table; a cell that does not fit is folded, never cut."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console().print(table, markup=False)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print one thing as a name and a value per line."""
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in fields:
        table.add_row(name, _cell(value))
    console().print(table, markup=False)


def print_note(text: str) -> None:
    """Print one sentence below what was printed."""
    console().print(text, style="dim", markup=False)


def print_message(first: str, headers: Iterable[tuple[str, str]], body: str) -> None:
    """Print a request or an answer as it went over the wire; control characters are shown."""
    lines = [first, *(f"{name}: {value}" for name, value in headers), "", *body.splitlines(), ""]
    for line in lines:
        sys.stdout.write("".join(_visible(character) for character in line) + "\n")


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr, for people only; yield what moves it: done, and of how many."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def instant(moment: datetime | None) -> str:
    """Write an instant for people, in UTC; nothing for none."""
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ", ".join(str(item) for item in value)
    return str(value)


def _visible(character: str) -> str:
    """Keep what an endpoint sends from steering the terminal."""
    return character if character.isprintable() or character == "\t" else ascii(character)[1:-1]
