"""Pieces of a template: literal text and macros in their places. Pure rules."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from clickledger.postbacks.macros import Macro, nearest

TOKEN = re.compile(r"\{([A-Za-z][A-Za-z0-9]*)\}")

#: What cannot stand in a request line as it is: RFC 3986, and brackets, which receivers know
#: from ``ids[]=``.
_UNFIT = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9._~!$&'()*+,;=:@/?%\[\]-]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class TemplateError(ValueError):
    """A template cannot be used; the message is a sentence about why."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A macro in its place."""

    name: str
    #: Writes a value for this place.
    write: Callable[[str], str]


#: A compiled template.
Pieces = tuple[str | Slot, ...]


def fill(pieces: Pieces, values: Mapping[str, str]) -> str:
    """Write a template out; a macro without value is empty."""
    return "".join(
        piece if isinstance(piece, str) else piece.write(values.get(piece.name, ""))
        for piece in pieces
    )


def split(text: str, macros: Mapping[str, Macro]) -> list[str | Macro]:
    """Split a template into literal text and macros, in turns; it begins and ends with text."""
    found: list[str | Macro] = []
    for place, piece in enumerate(TOKEN.split(text)):
        if place % 2 == 0:
            found.append(piece)
        elif piece in macros:
            found.append(macros[piece])
        else:
            near = nearest(piece, macros)
            raise TemplateError(f"unknown macro {{{piece}}}; did you mean {{{near}}}?")
    return found


def check_fit(text: str) -> None:
    """Refuse literal text that a URL cannot carry."""
    wrong = _UNFIT.search(text)
    if wrong is None:
        return
    if wrong[0] == "{":
        near = text[wrong.start() : wrong.start() + 20]
        raise TemplateError(f"{near!r} is not a macro: write {{Name}}, or %7B for a brace")
    escaped = quote(whole(wrong[0]), safe="")
    raise TemplateError(f"{wrong[0]!r} cannot stand in a URL or form; write {escaped}")


def whole(value: str) -> str:
    """Return what can be encoded: half of a character becomes U+FFFD."""
    return value if value.isascii() else _SURROGATE.sub("\ufffd", value)


def percent(value: str) -> str:
    """Percent-encode all but the unreserved characters of RFC 3986."""
    return quote(whole(value), safe="")
