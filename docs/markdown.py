"""The little Markdown that generated pages are made of."""

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table; a cell's bars and line ends are made harmless."""
    lines = [_row(columns), _row(["---"] * len(columns)), *(_row(cells) for cells in rows)]
    return "\n".join(lines) + "\n"


def code(text: object) -> str:
    """Set a text as code; nothing for an empty one."""
    return f"`{text}`" if str(text) else ""


def paragraphs(text: str) -> str:
    """Join the lines of each paragraph: help texts are wrapped where code is."""
    parts = (" ".join(part.split()) for part in text.replace("\b", "").split("\n\n"))
    return "\n\n".join(part for part in parts if part)


def _row(cells: Sequence[str]) -> str:
    safe = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(safe) + " |"
