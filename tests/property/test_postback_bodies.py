"""Whatever the values are, a template that was taken renders something well formed.

Two ways: documents are built with macros in known places, and what a parser reads back is compared
with what went in; and texts of nothing but trouble are offered as templates, to be refused or to
be right for every value.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as ET

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clickledger.postbacks.macros import MACROS, Macro, samples
from clickledger.postbacks.model import BodyFormat, Kind
from clickledger.postbacks.templates import (
    TemplateError,
    compile_body,
    compile_url,
    default_body,
)

#: Each example compiles and reads several documents; no deadline: the machine may be busy.
FEWER = settings(max_examples=40, deadline=None)

MACROS_HERE: Mapping[str, Macro] = {
    macro.name: macro
    for macro in (
        Macro(name="A", sample="a"),
        Macro(name="B", sample='"<b>&'),
        Macro(name="N", sample="7", numeric=True),
        Macro(name="S", sample="[1]", structured=True),
    )
}
#: Half characters and controls too: what a click brings is not ours to choose.
anything = st.text(st.characters(exclude_categories=()), max_size=12)
trouble = st.sampled_from(
    [
        "",
        "]]>",
        "]",
        ">",
        "-->",
        "&amp;",
        "<a/>",
        '"',
        "\\",
        "\\u0041",
        "\x00",
        "\r\n",
        "\ud83d",
        "\ude00",
        "\ufffe",
        "{A}",
        "{N}",
        "null",
        "1",
        "-0.5",
        "007",
        "1e9",
        "[",
        '{"a":[1]}',
        '["\ud800"]',
        "=",
        "&",
        "#",
        "%41",
        "+",
        " ",
    ]
)
value = anything | trouble
values = st.fixed_dictionaries({}, optional=dict.fromkeys(MACROS_HERE, value))
name = st.sampled_from(list(MACROS_HERE))

_HALF = re.compile("[\ud800-\udfff]")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def whole(text: str) -> str:
    return _HALF.sub("\ufffd", text)


def as_xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def json_value(macro: Macro, text: str) -> object:
    """Say what a reader of JSON has to find where a macro stands alone."""
    if not text:
        return None
    if macro.numeric and re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", text):
        digits = sum(character.isdigit() for character in text)
        return Decimal(text) if digits <= 15 else text
    if macro.structured:
        try:
            return read_json(whole(text))
        except ValueError:
            return whole(text)
    return whole(text)


def no_constant(constant: str) -> object:
    raise ValueError(constant)


def read_json(text: str | bytes) -> object:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=no_constant)


# Documents with macros in known places. A piece of text is a literal, or ("name of a macro",).

literal = st.text(st.sampled_from("ab é\"\\&<>{}=]'\t"), max_size=4)
texts = st.lists(literal | st.tuples(name), max_size=4)


def filled(pieces: list[Any], given_values: Mapping[str, str]) -> str:
    return "".join(
        piece if isinstance(piece, str) else given_values.get(piece[0], "") for piece in pieces
    )


def json_text(pieces: list[Any]) -> str:
    return "".join(
        json.dumps(piece)[1:-1] if isinstance(piece, str) else f"{{{piece[0]}}}" for piece in pieces
    )


def no_accidental_macro(pieces: list[Any]) -> bool:
    """Tell whether literal text makes up no macro of its own, across its pieces."""
    parts = ("\x00" if isinstance(piece, tuple) else piece for piece in pieces)
    return not re.search(r"\{[A-Za-z]", "".join(parts)) and not re.search(
        r"\{\x00", "".join("\x00" if isinstance(piece, tuple) else piece for piece in pieces)
    )


safe_texts = texts.filter(no_accidental_macro)
documents: st.SearchStrategy[Any] = st.recursive(
    st.tuples(st.just("macro"), name) | st.tuples(st.just("text"), safe_texts),
    lambda inner: (
        st.tuples(st.just("list"), st.lists(inner, max_size=3))
        | st.tuples(st.just("object"), st.lists(st.tuples(safe_texts, inner), max_size=3))
    ),
    max_leaves=6,
)


def json_template(document: Any) -> str:  # noqa: ANN401 - a recursive tuple
    what, inner = document
    if what == "macro":
        return f"{{{inner}}}"
    if what == "text":
        return f'"{json_text(inner)}"'
    if what == "list":
        return "[ " + " , ".join(json_template(one) for one in inner) + " ]"
    pairs = (f'"{json_text(key)}":{json_template(one)}' for key, one in inner)
    return "{ " + " , ".join(pairs) + " }"


def json_expected(document: Any, given_values: Mapping[str, str]) -> object:  # noqa: ANN401 - a recursive tuple
    what, inner = document
    if what == "macro":
        return json_value(MACROS_HERE[inner], given_values.get(inner, ""))
    if what == "text":
        return whole_pieces(inner, given_values)
    if what == "list":
        return [json_expected(one, given_values) for one in inner]
    return {whole_pieces(key, given_values): json_expected(one, given_values) for key, one in inner}


def whole_pieces(pieces: list[Any], given_values: Mapping[str, str]) -> str:
    """Fill in; each value is made whole on its own: two halves from two values stay halves."""
    return filled(pieces, {key: whole(text) for key, text in given_values.items()})


@FEWER
@given(documents, values)
def test_json_reads_back_as_what_went_in(document: Any, given_values: dict[str, str]) -> None:  # noqa: ANN401 - a recursive tuple
    template = compile_body(json_template(document), BodyFormat.JSON, MACROS_HERE)
    assert read_json(template.render(given_values)) == json_expected(document, given_values)


@given(safe_texts, safe_texts, safe_texts, values)
def test_xml_reads_back_as_what_went_in(
    first: list[Any], second: list[Any], third: list[Any], given_values: dict[str, str]
) -> None:
    def written(pieces: list[Any]) -> str:
        return "".join(
            piece.replace("&", "&amp;")
            .replace("<", "&lt;")
            .replace(">", "&gt;")
            .replace('"', "&quot;")
            .replace("\t", "&#9;")
            if isinstance(piece, str)
            else f"{{{piece[0]}}}"
            for piece in pieces
        )

    source = f'<r a="{written(first)}">{written(second)}<c/>{written(third)}</r>'
    sent = compile_body(source, BodyFormat.XML, MACROS_HERE).render(given_values)
    root = ET.fromstring(sent)  # noqa: S314 - our own document
    clean = {key: as_xml(text) for key, text in given_values.items()}
    assert root.get("a") == filled(first, clean)
    assert (root.text or "") == filled(second, clean)
    assert (root[0].tail or "") == filled(third, clean)


form_literal = st.text(st.sampled_from("ab1-._~"), max_size=3)
form_texts = st.lists(form_literal | st.tuples(name), max_size=4)


@FEWER
@given(
    st.lists(st.tuples(st.text(st.sampled_from("abc"), min_size=1), form_texts), min_size=1),
    values,
)
def test_a_form_and_a_query_read_back_as_what_went_in(
    pairs: list[tuple[str, list[Any]]], given_values: dict[str, str]
) -> None:
    source = "&".join(
        f"{key}={''.join(p if isinstance(p, str) else f'{{{p[0]}}}' for p in pieces)}"
        for key, pieces in pairs
    )
    assume(len(source) < 2000)
    expected = [(key, whole_pieces(pieces, given_values)) for key, pieces in pairs]
    sent = compile_body(source, BodyFormat.FORM, MACROS_HERE).render(given_values).decode("ascii")
    assert parse_qsl(sent, keep_blank_values=True, strict_parsing=True) == expected
    target = compile_url(f"https://a.example/p?{source}", MACROS_HERE).render(given_values)
    assert target == f"/p?{sent}"
    assert urlsplit(target).query == sent


# Every kind, every macro, as a notification without a body of its own sends it.


@FEWER
@given(st.sampled_from(Kind), st.data())
def test_the_body_nobody_wrote_carries_any_values(kind: Kind, data: st.DataObject) -> None:
    macros = MACROS[kind]
    given_values = data.draw(st.dictionaries(st.sampled_from(list(macros)), value))
    sent = {
        body_format: compile_body(default_body(body_format, macros), body_format, macros).render(
            given_values
        )
        for body_format in BodyFormat
    }
    in_json = read_json(sent[BodyFormat.JSON])
    assert in_json == {
        key: json_value(macro, given_values.get(key, "")) for key, macro in macros.items()
    }
    in_form = parse_qsl(sent[BodyFormat.FORM].decode(), keep_blank_values=True)
    assert in_form == [(key, whole(given_values.get(key, ""))) for key in macros]
    in_xml = ET.fromstring(sent[BodyFormat.XML])  # noqa: S314 - our own document
    assert {child.tag: child.text or "" for child in in_xml} == {
        key: as_xml(given_values.get(key, "")) for key in macros
    }


# Texts of nothing but trouble.

JSON_PIECES = (
    *("{A}", "{B}", "{N}", "{S}", '"', "\\", "\\u", "\\u00", "0041", "d83d", "\\ude00"),
    *("-", "{", "}", "[", "]", ":", ",", "1", ".5", "e1", " ", "a", "null", "\n", "é"),
)
XML_PIECES = (
    *("{A}", "{B}", "{N}", "<a>", "</a>", "<a ", "b=", "'", '"', "/>", "<b/>", "]", ">", "]]"),
    *("<!--", "-->", "<![CDATA[", "]]>", "<?p ", "?>", "&", "&#", "x41", ";", "amp", "xmlns:b="),
    *("<b:a>", "</b:a>", "text", "\n"),
)
FORM_PIECES = ("{A}", "{B}", "a=", "b", "&c=", "&", "=", "%4", "%41", "1", "+", " ", "é", "{")
json_soup = st.lists(st.sampled_from(JSON_PIECES), max_size=9).map("".join)
xml_soup = st.lists(st.sampled_from(XML_PIECES), max_size=10).map("".join)
form_soup = st.lists(st.sampled_from(FORM_PIECES), max_size=6).map("".join)
wrapped = xml_soup | xml_soup.map(lambda soup: f"<a>{soup}</a>")


@given(json_soup | json_soup.map(lambda soup: f'["{soup}"]'), values)
def test_any_template_is_refused_or_is_json_for_every_value(
    source: str, given_values: dict[str, str]
) -> None:
    try:
        template = compile_body(source, BodyFormat.JSON, MACROS_HERE)
    except TemplateError:
        return
    read_json(template.render(given_values).decode())


@given(wrapped | wrapped.map(lambda soup: f"<r x='{{A}}'>{soup}</r>"), values)
def test_any_template_is_refused_or_is_xml_for_every_value(
    source: str, given_values: dict[str, str]
) -> None:
    try:
        template = compile_body(source, BodyFormat.XML, MACROS_HERE)
    except TemplateError:
        return
    ET.fromstring(template.render(given_values))  # noqa: S314 - our own document


@given(anything | form_soup | form_soup.map(lambda soup: f"a={soup}"), values)
def test_any_template_is_refused_or_is_a_form_for_every_value(
    source: str, given_values: dict[str, str]
) -> None:
    try:
        template = compile_body(source, BodyFormat.FORM, MACROS_HERE)
    except TemplateError:
        return
    sent = template.render(given_values).decode("ascii")
    assert re.fullmatch(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?\[\]-]|%[0-9A-Fa-f]{2})+", sent)
    pairs = parse_qsl(sent, keep_blank_values=True, strict_parsing=True)
    assert len(pairs) == source.strip().count("&") + 1


@given(anything | st.lists(trouble | st.sampled_from(["/", "?", "a=", "b"])).map("".join), values)
def test_any_address_is_refused_or_fits_a_request_line(
    rest: str, given_values: dict[str, str]
) -> None:
    try:
        template = compile_url(f"https://a.example/{rest}", MACROS_HERE)
    except TemplateError:
        return
    target = template.render(given_values)
    assert re.fullmatch(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?\[\]-]|%[0-9A-Fa-f]{2})*", target)
    assert target.partition("?")[0] == f"/{rest}".partition("?")[0]
    assert template.host == "a.example"


@given(st.text(max_size=40), st.sampled_from(BodyFormat))
def test_no_text_makes_the_compilers_fail_otherwise(text: str, body_format: BodyFormat) -> None:
    for compile_one in (
        lambda: compile_url(text, MACROS_HERE),
        lambda: compile_url(f"http://{text}", MACROS_HERE),
        lambda: compile_body(text, body_format, MACROS_HERE),
    ):
        try:
            compile_one()
        except TemplateError as error:
            said = str(error)
        else:
            said = "nothing is wrong"
        assert said


@given(st.lists(st.sampled_from(["{A}", "{N}", "x", "%20", "&", "="])).map("".join))
def test_samples_fill_every_place(source: str) -> None:
    template = compile_url(f"https://a.example/?{source}", MACROS_HERE)
    sent = unquote(template.render(samples(MACROS_HERE.values())))
    assert "{" not in sent
