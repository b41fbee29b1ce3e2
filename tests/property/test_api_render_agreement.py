"""Whatever a record says, XML and JSON are well formed and say the same."""

import json
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from clickledger.api.render import (
    Answer,
    Fields,
    Format,
    Listing,
    Members,
    Resource,
    Value,
    render,
    sayable,
)

texts = st.text(st.characters(exclude_categories=()), max_size=30)  # surrogates too
names = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True)
scalars = st.one_of(texts, st.none())
records = st.dictionaries(names, scalars, max_size=5)
values: st.SearchStrategy[Value] = st.one_of(
    scalars, records, st.builds(lambda rows: Members("Item", rows), st.lists(records, max_size=3))
)
fields: st.SearchStrategy[Fields] = st.dictionaries(names, values, max_size=6)


def image(element: ET.Element) -> dict[str, object]:
    """Read a record back from XML: the mechanical image that JSON must equal."""
    return {child.tag: value_of(child) for child in element}


def value_of(element: ET.Element) -> object:
    if len(element) == 0:
        return element.text or ""
    if all(child.tag == "Item" for child in element):
        return [image(child) for child in element]
    return image(element)


def empty_is_empty(value: object) -> object:
    """An empty list or record is an empty element in XML, as is empty text."""
    if isinstance(value, dict):
        return {key: empty_is_empty(one) for key, one in value.items()} or ""
    if isinstance(value, list):
        return [empty_is_empty(one) for one in value] or ""
    return value


@given(fields.filter(lambda one: "Item" not in one))
def test_a_resource_reads_back_the_same_from_both(record: Fields) -> None:
    document = Resource("Thing", record)
    root = ET.fromstring(render(document, Format.XML))  # noqa: S314 - our own text
    assert root.tag == "ImpactRadiusResponse"
    (thing,) = root
    from_json = json.loads(render(document, Format.JSON))
    assert empty_is_empty(from_json) == empty_is_empty(image(thing))


@given(st.lists(records, max_size=4), st.dictionaries(names.map(str.lower), texts, max_size=4))
def test_a_listing_reads_back_the_same_from_both(
    rows: list[Fields], attributes: dict[str, str]
) -> None:
    document = Listing("Things", "Thing", rows, attributes)
    (things,) = ET.fromstring(render(document, Format.XML))  # noqa: S314 - our own text
    from_json = json.loads(render(document, Format.JSON))
    assert from_json.pop("Things") == [image(child) for child in things]
    assert {f"@{name}": value for name, value in things.attrib.items()} == from_json


@given(texts)
def test_text_comes_back_exactly_but_for_what_xml_cannot_carry(text: str) -> None:
    document = Answer({"Message": text})
    (message,) = ET.fromstring(render(document, Format.XML))  # noqa: S314 - our own text
    assert (message.text or "") == sayable(text)
    assert json.loads(render(document, Format.JSON)) == {"Message": sayable(text)}


@given(st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")))
def test_ordinary_text_is_never_changed(text: str) -> None:
    assert sayable(text + "\t\r\n") == text + "\t\r\n"
