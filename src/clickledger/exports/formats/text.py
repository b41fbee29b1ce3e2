"""SQL text for formats whose row is one piece of text, built from literals and values."""

from collections.abc import Iterable

#: COPY options that write a single text column as it is, one row a line.
ROW_AS_TEXT = "format csv, header false, quote '', escape '', delimiter E'\\n'"


class Literal(str):
    """A string literal of SQL."""

    __slots__ = ()


def literal(text: str) -> Literal:
    """Write a string literal."""
    return Literal("'" + text.replace("'", "''") + "'")


def concat(parts: Iterable[str]) -> str:
    """Join expressions into one; literals beside each other become one literal."""
    joined: list[str] = []
    for part in parts:
        if joined and isinstance(part, Literal) and isinstance(joined[-1], Literal):
            joined[-1] = Literal(joined[-1][:-1] + part[1:])
        else:
            joined.append(part)
    return f"concat({', '.join(joined)})"
