"""Bodies in JSON, XML and as a form: where a macro stands, and how its value is written there.

A template is split at its macros. Each kind of place has one way to write any value; what is left
to prove is that the places are what they seem. So a template is checked with its samples, and
with every macro empty: literal text that is only well formed around certain values fails one of
the two.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn
from xml.parsers import expat

import msgspec

from clickledger.postbacks.macros import Macro, samples
from clickledger.postbacks.pieces import (
    TOKEN,
    Pieces,
    Slot,
    TemplateError,
    check_fit,
    fill,
    percent,
    split,
    whole,
)

#: A number that every reader of JSON takes as it is: no more digits than a double always holds.
_NUMBER = re.compile(r"-?(?=(?:\.?[0-9]){1,15}\Z)(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
#: Text of a JSON string up to its end, or up to where the template goes on.
_IN_STRING = re.compile(r'(?:[^"\\]|\\u[0-9A-Fa-f]{4}|\\[^u])*')

#: What XML 1.0 cannot carry, not even escaped.
_UNSAYABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
#: For text and attribute values alike. A parser turns a bare CR into LF, and TAB and LF of an
#: attribute into spaces; ``]`` is there because ``]]>`` may not arise across a literal.
_XML_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "'": "&apos;",
        "]": "&#93;",
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }
)


# JSON


def compile_json(text: str, macros: Mapping[str, Macro]) -> Pieces:
    """Compile a JSON document: in strings a macro is text, elsewhere a value of its own."""
    parts = split(text, macros)
    pieces: list[str | Slot] = []
    inside = False
    for place, part in enumerate(parts):
        if isinstance(part, Macro):
            pieces.append(Slot(part.name, _json_inside if inside else _json_outside(part)))
            continue
        inside, in_escape = _scan_json(part, inside)
        if in_escape and place < len(parts) - 1:
            raise TemplateError("a macro cannot stand behind a backslash, within an escape")
        pieces.append(part)
    for values in (samples(macros.values()), {}):
        _check_json(fill(tuple(pieces), values))
    return tuple(pieces)


def _scan_json(text: str, inside: bool) -> tuple[bool, bool]:
    """Follow JSON text; tell whether it ends inside a string, and there within an escape."""
    at = 0
    while True:
        if inside:
            at = next(_IN_STRING.finditer(text, at)).end()
            if at == len(text):
                return True, False
            if text[at] == "\\":
                return True, True
        else:
            at = text.find('"', at)
            if at < 0:
                return False, False
        inside = not inside
        at += 1


def _check_json(text: str) -> None:
    try:
        json.loads(text, parse_constant=_no_constant)
        msgspec.json.decode(text)
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 20) : error.pos + 20]
        raise TemplateError(
            f"is not JSON once its macros are filled in: {error.msg} in line {error.lineno}, "
            f"near {near!r}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise TemplateError(f"is not JSON once its macros are filled in: {error}") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _json_outside(macro: Macro) -> Callable[[str], str]:
    if macro.numeric:
        return _json_number
    return _json_structure if macro.structured else _json_text


def _json_inside(value: str) -> str:
    return json.dumps(whole(value), ensure_ascii=False)[1:-1]


def _json_text(value: str) -> str:
    return json.dumps(whole(value), ensure_ascii=False) if value else "null"


def _json_number(value: str) -> str:
    return value if _NUMBER.fullmatch(value) else _json_text(value)


def _json_structure(value: str) -> str:
    text = whole(value)
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return _json_text(value)
    return text


# XML


def compile_xml(text: str, macros: Mapping[str, Macro]) -> Pieces:
    """Compile an XML document: macros stand in text and in values of attributes."""
    parts = split(text, macros)
    _check_places(parts)
    pieces = tuple(
        Slot(part.name, _xml_text) if isinstance(part, Macro) else part for part in parts
    )
    for values in (samples(macros.values()), {}):
        _parse_xml(fill(pieces, values))
    return pieces


def _check_places(parts: Sequence[str | Macro]) -> None:
    """Refuse a macro that is neither in text nor in the value of an attribute."""
    # No text can hold its own hash, so that a mark is found only where a macro stands.
    digest = hashlib.sha256("".join(map(str, parts)).encode()).hexdigest()
    marked = [
        (f"m{digest}-{place}-", part.name) if isinstance(part, Macro) else (part, "")
        for place, part in enumerate(parts)
    ]
    seen = _parse_xml("".join(text for text, _ in marked))
    for mark, name in marked:
        if name and mark not in seen:
            raise TemplateError(
                f"{{{name}}} may stand in text or in the value of an attribute, not in a name, "
                "a namespace, a comment, a CDATA section or an instruction"
            )


def _parse_xml(text: str) -> str:
    """Parse a document; return all its text outside CDATA and all its attributes' values."""
    seen: list[str] = []
    in_cdata = False

    def doctype(*_parts: object) -> None:
        raise TemplateError("must not have a DOCTYPE")

    def declaration(version: str, encoding: str | None, _standalone: int) -> None:
        if version != "1.0" or (encoding or "UTF-8").upper() != "UTF-8":
            raise TemplateError("is sent as XML 1.0 in UTF-8: declare that, or nothing")

    def cdata(entered: bool) -> None:
        nonlocal in_cdata
        in_cdata = entered

    def characters(data: str) -> None:
        if not in_cdata:
            seen.append(data)

    def start(_name: str, attributes: dict[str, str]) -> None:
        seen.extend(attributes.values())

    parser = expat.ParserCreate("UTF-8", namespace_separator=" ")
    parser.buffer_text = True
    parser.buffer_size = max(len(text), 1)  # a mark comes in one piece
    parser.StartDoctypeDeclHandler = doctype
    parser.XmlDeclHandler = declaration
    parser.StartCdataSectionHandler = lambda: cdata(True)
    parser.EndCdataSectionHandler = lambda: cdata(False)
    parser.CharacterDataHandler = characters
    parser.StartElementHandler = start
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise TemplateError(
            f"is not well-formed XML: {expat.ErrorString(error.code)} in line {error.lineno}"
        ) from error
    return "".join(seen)


def _xml_text(value: str) -> str:
    return _UNSAYABLE.sub("\ufffd", value).translate(_XML_ESCAPES)


# Form


def compile_form(text: str, macros: Mapping[str, Macro]) -> Pieces:
    """Compile ``name=value`` pairs: macros stand in values."""
    text = text.strip()  # a file ends its texts with a new line
    parts = split(text, macros)
    for part in parts:
        if isinstance(part, str):
            check_fit(part)
    for pair in text.split("&"):
        name, equals, _ = pair.partition("=")
        if not name or not equals:
            raise TemplateError(f"{pair!r} is not a pair: write name=value&name=value")
        if TOKEN.search(name):
            raise TemplateError(f"{name!r}: the name of a field cannot be a macro")
    return tuple(Slot(part.name, percent) if isinstance(part, Macro) else part for part in parts)
