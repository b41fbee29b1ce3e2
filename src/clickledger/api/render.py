"""The one renderer: a record becomes XML or JSON here, and nowhere else.

XML has the root ``ImpactRadiusResponse``. JSON is its mechanical image (impact-api 1.4): the root
and the element of a single resource disappear, attributes of a list become ``@`` keys beside the
list, and an absent value, an empty element in XML, is ``""``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

_ROOT = "ImpactRadiusResponse"

#: What XML 1.0 cannot carry, not even escaped; both formats show U+FFFD instead.
_UNSAYABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

#: A parser turns a bare CR into LF, and in attributes TAB and LF into spaces.
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }
)


class Format(StrEnum):
    """Formats of an answer; XML is the default of the wire."""

    XML = "xml"
    JSON = "json"

    @property
    def content_type(self) -> str:
        """Media type as the wire spells it."""
        return "text/xml; charset=UTF-8" if self is Format.XML else "application/json"


@dataclass(frozen=True, slots=True)
class Members:
    """A list inside a record; in XML each member is an element called ``item``."""

    item: str
    values: "Sequence[Value]"


Value = str | int | float | bool | Mapping[str, "Value"] | Members | None
Fields = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command or an error says: fields directly below the root."""

    fields: Fields


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource; ``name`` is its element in XML."""

    name: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of resources: ``name`` holds elements called ``item``."""

    name: str
    item: str
    members: Sequence[Fields]
    #: Attributes of the list, without ``@``.
    paging: Mapping[str, str]


Document = Answer | Resource | Listing


def render(document: Document, form: Format) -> bytes:
    """Write a document in UTF-8."""
    return _to_xml(document) if form is Format.XML else _to_json(document)


def sayable(text: str) -> str:
    """Replace the characters that XML cannot carry by U+FFFD."""
    return _UNSAYABLE.sub("\ufffd", text)


def _to_json(document: Document) -> bytes:
    match document:
        case Answer(fields) | Resource(_, fields):
            return msgspec.json.encode(_json_object(fields))
        case Listing(name, _, members, paging):
            attributes = {f"@{key}": sayable(value) for key, value in paging.items()}
            return msgspec.json.encode({**attributes, name: [_json_object(one) for one in members]})


def _json_object(fields: Fields) -> dict[str, object]:
    return {name: _json_value(value) for name, value in fields.items()}


def _json_value(value: Value) -> object:
    match value:
        case None:
            return ""
        case str():
            return sayable(value)
        case Members(_, values):
            return [_json_value(one) for one in values]
        case Mapping():
            return _json_object(value)
        case _:
            return value


def _to_xml(document: Document) -> bytes:
    root = _xml_element(_ROOT, _xml_body(document))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{root}'.encode()


def _xml_body(document: Document) -> str:
    match document:
        case Answer(fields):
            return "".join(_xml_fields(fields))
        case Resource(name, fields):
            return _xml_element(name, "".join(_xml_fields(fields)))
        case Listing(name, item, members, paging):
            attributes = "".join(
                f' {key}="{sayable(value).translate(_ATTRIBUTE)}"' for key, value in paging.items()
            )
            rows = "".join(_xml_element(item, "".join(_xml_fields(one))) for one in members)
            return _xml_element(name, rows, attributes)


def _xml_fields(fields: Fields) -> Iterator[str]:
    for name, value in fields.items():
        yield _xml_element(name, _xml_value(value))


def _xml_value(value: Value) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return sayable(value).translate(_TEXT)
        case Members(item, values):
            return "".join(_xml_element(item, _xml_value(one)) for one in values)
        case Mapping():
            return "".join(_xml_fields(value))
        case _:
            return str(value)


def _xml_element(name: str, content: str, attributes: str = "") -> str:
    return f"<{name}{attributes}>{content}</{name}>" if content or attributes else f"<{name}/>"
