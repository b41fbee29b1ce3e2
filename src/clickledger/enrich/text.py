"""Text from bytes that came over the wire: valid, printable in CSV, JSON and XML alike."""

import re
from urllib.parse import unquote_to_bytes

#: Longest parameter value that the wire shows, in characters (impact-api 5.3).
VALUE_CAP = 255
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

#: What XML 1.0 cannot carry: C0 controls except TAB, LF and CR; surrogates; U+FFFE and U+FFFF.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """Put U+FFFD in place of each character that not every format can carry."""
    if text.isascii() and text.isprintable():
        return text
    return _FORBIDDEN.sub(REPLACEMENT, text)


def from_utf8(raw: bytes) -> str:
    """Read UTF-8; invalid bytes and forbidden characters become U+FFFD."""
    return clean(raw.decode("utf-8", "replace"))


def from_form(raw: bytes) -> str:
    """Read a query value as WHATWG form decoding does: ``+`` is a space, ``%`` decoded once."""
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    return from_utf8(raw)
