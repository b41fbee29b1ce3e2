"""Text from bytes that came over the wire: valid, and fit for CSV, JSON and XML alike.

What XML 1.0 cannot carry becomes U+FFFD, the replacement character: C0 controls except TAB, LF
and CR, surrogates, U+FFFE and U+FFFF; and so do bytes that are not UTF-8.
"""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote_to_bytes

import pyarrow as pa

#: Longest parameter value that the wire shows, in characters (impact-api 5.3).
VALUE_CAP = 255
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_FORBIDDEN_BYTES = bytes({*range(0x20)} - set(b"\t\n\r"))
#: U+FFFE and U+FFFF in UTF-8.
_NONCHARACTERS = b"\xef\xbf\xbe", b"\xef\xbf\xbf"


def clean(text: str) -> str:
    """Put U+FFFD in place of each character that not every format can carry."""
    return _FORBIDDEN.sub(REPLACEMENT, text)


def from_utf8(raw: bytes) -> str:
    """Read UTF-8; invalid bytes and forbidden characters become U+FFFD."""
    return clean(raw.decode("utf-8", "replace"))


def form_bytes(raw: bytes) -> bytes:
    """Undo the encoding of a query value as WHATWG does: ``+`` is a space, ``%`` decoded once."""
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    return unquote_to_bytes(raw) if b"%" in raw else raw


def text_column(values: Sequence[bytes | None]) -> pa.Array:
    """Read a column of UTF-8, cleaned as ``from_utf8`` does.

    Nearly all columns need no cleaning, which is found out for the column as a whole.
    """
    column = pa.array(values, pa.binary())
    if _is_clean(column):
        try:
            return column.cast(pa.string())
        except pa.ArrowInvalid:  # some value is not UTF-8
            pass
    return pa.array([None if value is None else from_utf8(value) for value in values], pa.string())


def cleaned_column(values: Iterable[str]) -> pa.Array:
    """Clean a column of text; empty text, which says nothing, becomes null."""
    texts = [value or None for value in values]
    try:
        column = pa.array(texts, pa.string())
    except UnicodeEncodeError:  # a lone surrogate
        pass
    else:
        if _is_clean(column):
            return column
    return pa.array([text and clean(text) for text in texts], pa.string())


def _is_clean(column: pa.Array) -> bool:
    data = column.buffers()[2]
    content = data.to_pybytes() if data is not None else b""
    return len(content.translate(None, _FORBIDDEN_BYTES)) == len(content) and not any(
        encoded in content for encoded in _NONCHARACTERS
    )
