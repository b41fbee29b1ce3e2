"""Templates: a text with ``{Macro}`` tokens, compiled once, filled for each call. Pure rules.

Whatever the values are, the result is well formed: each is written for the place it stands in.
A template that could not promise that is refused when it is compiled, with a sentence.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote
from xml.parsers import expat

import msgspec

from clickledger.errors import InvalidInputError
from clickledger.postbacks.macros import Macro, nearest, samples
from clickledger.postbacks.model import BodyFormat
from clickledger.programs import rules as program_rules

#: Longest template of a URL, and of a body, in characters.
URL_CHARS = 2048
BODY_CHARS = 16_384

TOKEN = re.compile(r"\{([A-Za-z][A-Za-z0-9]*)\}")

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)"
    r"(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?",
    re.DOTALL,
)
_STANDARD_PORTS = {"http": 80, "https": 443}
#: What cannot stand in a request line as it is: RFC 3986, and brackets, which receivers know
#: from ``ids[]=``.
_UNFIT = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9._~!$&'()*+,;=:@/?%\[\]-]")

#: A number that every reader of JSON takes in whole: no more digits than a double holds.
_NUMBER = re.compile(r"-?(?=[0-9.]{1,16}\Z)(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
#: Text of a JSON string up to its end, or up to where the template goes on.
_IN_STRING = re.compile(r'(?:[^"\\]|\\u[0-9A-Fa-f]{4}|\\[^u])*')

_SURROGATE = re.compile("[\ud800-\udfff]")
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

_CONTENT_TYPES: Mapping[BodyFormat, str] = {
    BodyFormat.JSON: "application/json",
    BodyFormat.XML: "application/xml; charset=utf-8",
    BodyFormat.FORM: "application/x-www-form-urlencoded",
}


class TemplateError(ValueError):
    """A template cannot be used; the message is a sentence about why."""


@dataclass(frozen=True, slots=True)
class _Slot:
    """A macro in its place."""

    name: str
    #: Writes a value for this place.
    write: Callable[[str], str]


_Pieces = tuple[str | _Slot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlTemplate:
    """An address whose query may ask for macros."""

    #: ``http`` or ``https``.
    scheme: str
    #: Lower-case ASCII name, or an IP address without brackets.
    host: str
    port: int
    _pieces: _Pieces

    def render(self, values: Mapping[str, str]) -> str:
        """Return path and query, exactly as they are sent."""
        return _fill(self._pieces, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyTemplate:
    """The body of a POST."""

    content_type: str
    _pieces: _Pieces

    def render(self, values: Mapping[str, str]) -> bytes:
        """Return the body, in UTF-8."""
        return _fill(self._pieces, values).encode()


def compile_url(text: str, macros: Mapping[str, Macro]) -> UrlTemplate:
    """Compile an absolute http or https URL; its literal text is sent as it stands.

    Raises:
        TemplateError: it cannot be called, or asks for what there is not.
    """
    if len(text) > URL_CHARS:
        raise TemplateError(f"has {len(text)} characters; at most {URL_CHARS}")
    parts = _URL.fullmatch(text)
    if parts is None or parts["scheme"].lower() not in _STANDARD_PORTS:
        raise TemplateError("must be absolute and start with https:// or http://")
    scheme, authority = parts["scheme"].lower(), parts["authority"]
    if TOKEN.search(authority + parts["path"]):
        raise TemplateError("macros may stand only in the query, after the question mark")
    if "@" in authority:
        raise TemplateError("must not carry a user name or password")
    if parts["fragment"] is not None:
        raise TemplateError("must not have a fragment: what follows # is never sent; write %23")
    host, port = _where(authority, _STANDARD_PORTS[scheme])
    path = parts["path"] or "/"
    _check_fit(path)
    query = _split(parts["query"] or "", macros)
    for piece in query:
        if isinstance(piece, str):
            _check_fit(piece)
    start = path if parts["query"] is None else f"{path}?"
    pieces = tuple(
        piece if isinstance(piece, str) else _Slot(piece.name, _percent) for piece in query
    )
    return UrlTemplate(scheme=scheme, host=host, port=port, _pieces=(start, *pieces))


def compile_body(text: str, body_format: BodyFormat, macros: Mapping[str, Macro]) -> BodyTemplate:
    """Compile the template of a body.

    Raises:
        TemplateError: it is not well formed in its format for every value that may come, or asks
            for what there is not.
    """
    if len(text) > BODY_CHARS:
        raise TemplateError(f"has {len(text)} characters; at most {BODY_CHARS}")
    if _SURROGATE.search(text):
        raise TemplateError("holds half a character (a lone surrogate)")
    compiler = {
        BodyFormat.JSON: _compile_json,
        BodyFormat.XML: _compile_xml,
        BodyFormat.FORM: _compile_form,
    }[body_format]
    pieces = compiler(text, macros)
    return BodyTemplate(content_type=_CONTENT_TYPES[body_format], _pieces=pieces)


def default_body(body_format: BodyFormat, macros: Mapping[str, Macro]) -> str:
    """Return the template of a flat document that gives every macro by its name."""
    match body_format:
        case BodyFormat.JSON:
            return "{" + ",".join(f'"{name}":{{{name}}}' for name in macros) + "}"
        case BodyFormat.XML:
            inner = "".join(f"<{name}>{{{name}}}</{name}>" for name in macros)
            return f'<?xml version="1.0" encoding="UTF-8"?><Postback>{inner}</Postback>'
        case BodyFormat.FORM:
            return "&".join(f"{name}={{{name}}}" for name in macros)


def _fill(pieces: _Pieces, values: Mapping[str, str]) -> str:
    return "".join(
        piece if isinstance(piece, str) else piece.write(values.get(piece.name, ""))
        for piece in pieces
    )


def _split(text: str, macros: Mapping[str, Macro]) -> list[str | Macro]:
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


def _where(authority: str, standard_port: int) -> tuple[str, int]:
    """Read host and port."""
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(.*))?", authority, re.DOTALL)
    if bracketed is not None:
        address, port = bracketed[1], bracketed[2]
        try:
            host = str(ipaddress.IPv6Address(address))
        except ValueError as error:
            raise TemplateError(f"[{address}] is not an IPv6 address") from error
    else:
        address, colon, rest = authority.partition(":")
        port = rest if colon else None
        try:
            host = program_rules.host("Url", address)
        except InvalidInputError as error:
            raise TemplateError(error.fields[0].message) from error
    if port is None:
        return host, standard_port
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 1 << 16:
        raise TemplateError(f"{authority!r} does not end in a port")
    return host, int(port)


def _check_fit(text: str) -> None:
    """Refuse literal text that a URL cannot carry."""
    wrong = _UNFIT.search(text)
    if wrong is not None:
        escaped = quote(_whole(wrong[0]), safe="")
        raise TemplateError(f"{wrong[0]!r} cannot stand in a URL or form; write {escaped}")


def _whole(value: str) -> str:
    """Return what can be encoded: half of a character becomes U+FFFD."""
    return value if value.isascii() else _SURROGATE.sub("\ufffd", value)


def _percent(value: str) -> str:
    return quote(_whole(value), safe="")


# JSON


def _compile_json(text: str, macros: Mapping[str, Macro]) -> _Pieces:
    pieces: list[str | _Slot] = []
    inside = False
    split = _split(text, macros)
    for place, piece in enumerate(split):
        if not isinstance(piece, str):
            pieces.append(_Slot(piece.name, _json_inside if inside else _json_outside(piece)))
            continue
        inside, dangling = _scan_json(piece, inside)
        if dangling and place < len(split) - 1:
            raise TemplateError("a macro cannot stand behind a backslash, within an escape")
        pieces.append(piece)
    whole = tuple(pieces)
    for values in (samples(macros.values()), {}):
        _check_json(_fill(whole, values))
    return whole


def _scan_json(text: str, inside: bool) -> tuple[bool, bool]:
    """Follow JSON text; tell whether it ends inside a string, and there within an escape."""
    at = 0
    while True:
        if inside:
            found = _IN_STRING.match(text, at)
            at = found.end() if found else at
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
    return json.dumps(_whole(value), ensure_ascii=False)[1:-1]


def _json_text(value: str) -> str:
    return json.dumps(_whole(value), ensure_ascii=False) if value else "null"


def _json_number(value: str) -> str:
    return value if _NUMBER.fullmatch(value) else _json_text(value)


def _json_structure(value: str) -> str:
    text = _whole(value)
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return _json_text(value)
    return text


# XML


def _compile_xml(text: str, macros: Mapping[str, Macro]) -> _Pieces:
    split = _split(text, macros)
    pieces = tuple(
        piece if isinstance(piece, str) else _Slot(piece.name, _xml_text) for piece in split
    )
    _check_places(split)
    for values in (samples(macros.values()), {}):
        _parse_xml(_fill(pieces, values))
    return pieces


def _check_places(split: Sequence[str | Macro]) -> None:
    """Refuse a macro that is neither in text nor in the value of an attribute."""
    literal = "".join(piece for piece in split if isinstance(piece, str))
    mark = "m"
    while mark in literal:
        mark += "q"
    marked = "".join(
        piece if isinstance(piece, str) else f"{mark}{place}z" for place, piece in enumerate(split)
    )
    seen = _parse_xml(marked)
    for place, piece in enumerate(split):
        if not isinstance(piece, str) and f"{mark}{place}z" not in seen:
            raise TemplateError(
                f"{{{piece.name}}} may stand in text or in the value of an attribute, not in "
                "a name, a namespace, a comment, a CDATA section or an instruction"
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
        # the space keeps a mark from arising out of two values
        seen.append(" " + " ".join(attributes.values()) + " ")

    parser = expat.ParserCreate("UTF-8", namespace_separator=" ")
    parser.buffer_text = True
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


def _compile_form(text: str, macros: Mapping[str, Macro]) -> _Pieces:
    text = text.strip()  # a file ends its texts with a new line
    split = _split(text, macros)
    for piece in split:
        if isinstance(piece, str):
            _check_fit(piece)
    for pair in text.split("&"):
        name, equals, _ = pair.partition("=")
        if not name or not equals:
            raise TemplateError(f"{pair!r} is not a pair: write name=value&name=value")
        if TOKEN.search(name):
            raise TemplateError(f"{name!r}: the name of a field cannot be a macro")
    return tuple(
        piece if isinstance(piece, str) else _Slot(piece.name, _percent) for piece in split
    )
