"""Templates: a text with ``{Macro}`` tokens, compiled once, filled for each call. Pure rules.

Whatever the values are, the result is well formed: each is written for the place it stands in.
A template that could not promise that is refused when it is compiled, with a sentence.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from clickledger.errors import InvalidInputError
from clickledger.postbacks import bodies
from clickledger.postbacks.macros import Macro
from clickledger.postbacks.model import BodyFormat
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
from clickledger.programs import rules as program_rules

__all__ = [
    "BODY_CHARS",
    "TOKEN",
    "URL_CHARS",
    "BodyTemplate",
    "TemplateError",
    "UrlTemplate",
    "compile_body",
    "compile_url",
    "default_body",
]

#: Longest template of a URL, and of a body, in characters.
URL_CHARS = 2048
BODY_CHARS = 16_384

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)"
    r"(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?",
    re.DOTALL,
)
_STANDARD_PORTS = {"http": 80, "https": 443}
_CONTENT_TYPES: Mapping[BodyFormat, str] = {
    BodyFormat.JSON: "application/json",
    BodyFormat.XML: "application/xml; charset=utf-8",
    BodyFormat.FORM: "application/x-www-form-urlencoded",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlTemplate:
    """An address whose query may ask for macros."""

    #: ``http`` or ``https``.
    scheme: str
    #: Lower-case ASCII name, or an IP address without brackets.
    host: str
    port: int
    _pieces: Pieces

    def render(self, values: Mapping[str, str]) -> str:
        """Return path and query, exactly as they are sent."""
        return fill(self._pieces, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyTemplate:
    """The body of a POST."""

    content_type: str
    _pieces: Pieces

    def render(self, values: Mapping[str, str]) -> bytes:
        """Return the body, in UTF-8."""
        return fill(self._pieces, values).encode()


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
    check_fit(path)
    query = split(parts["query"] or "", macros)
    for piece in query:
        if isinstance(piece, str):
            check_fit(piece)
    start = path if parts["query"] is None else f"{path}?"
    pieces = tuple(
        piece if isinstance(piece, str) else Slot(piece.name, percent) for piece in query
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
    if whole(text) != text:
        raise TemplateError("holds half a character (a lone surrogate)")
    compiler = {
        BodyFormat.JSON: bodies.compile_json,
        BodyFormat.XML: bodies.compile_xml,
        BodyFormat.FORM: bodies.compile_form,
    }[body_format]
    pieces = compiler(text, macros)
    return BodyTemplate(content_type=_CONTENT_TYPES[body_format], _pieces=pieces)


def default_body(body_format: BodyFormat, macros: Mapping[str, Macro]) -> str:
    """Return the template of a flat document that gives every macro by its name."""
    if body_format is BodyFormat.JSON:
        return "{" + ",".join(f'"{name}":{{{name}}}' for name in macros) + "}"
    if body_format is BodyFormat.XML:
        inner = "".join(f"<{name}>{{{name}}}</{name}>" for name in macros)
        return f'<?xml version="1.0" encoding="UTF-8"?><Postback>{inner}</Postback>'
    return "&".join(f"{name}={{{name}}}" for name in macros)


def _where(authority: str, standard_port: int) -> tuple[str, int]:
    """Read host and port."""
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(.*))?", authority, re.DOTALL)
    if bracketed is not None:
        address, port = bracketed[1], bracketed[2]
        try:
            host = str(ipaddress.IPv6Address(address))
        except ValueError as error:
            raise TemplateError(f"[{address}] is not an IPv6 address") from error
    elif authority.startswith("["):
        raise TemplateError(f"{authority!r} is not an IPv6 address in brackets")
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
