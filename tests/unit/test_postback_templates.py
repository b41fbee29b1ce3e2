"""Templates of URLs and bodies: what is taken, what is refused, and what comes out."""

import json
from collections.abc import Callable, Mapping

import pytest

from clickledger.postbacks.macros import MACROS, Macro, samples
from clickledger.postbacks.model import BodyFormat, Kind
from clickledger.postbacks.templates import (
    BODY_CHARS,
    URL_CHARS,
    TemplateError,
    compile_body,
    compile_url,
    default_body,
)

MACROS_HERE: Mapping[str, Macro] = {
    macro.name: macro
    for macro in (
        Macro(name="Text", sample='a "b" & c'),
        Macro(name="Word", sample="word"),
        Macro(name="Amount", sample="1.50", numeric=True),
        Macro(name="Items", sample='[{"sku":"A"}]', structured=True),
    )
}


def refusal(compile_: Callable[[], object]) -> str:
    with pytest.raises(TemplateError) as caught:
        compile_()
    return str(caught.value)


def target(url: str, **values: str) -> str:
    return compile_url(url, MACROS_HERE).render(values)


def body(template: str, body_format: BodyFormat, **values: str) -> str:
    return compile_body(template, body_format, MACROS_HERE).render(values).decode()


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "sent"),
    [
        ("https://a.example/p", "https", "a.example", 443, "/p"),
        ("HTTP://A.Example", "http", "a.example", 80, "/"),
        ("https://a.example?x=1", "https", "a.example", 443, "/?x=1"),
        ("https://a.example/p?", "https", "a.example", 443, "/p?"),
        ("https://a.example:8443/", "https", "a.example", 8443, "/"),
        ("http://a.example:0443/", "http", "a.example", 443, "/"),
        ("https://bücher.example/", "https", "xn--bcher-kva.example", 443, "/"),
        ("https://192.0.2.7/", "https", "192.0.2.7", 443, "/"),
        ("https://[2001:DB8::7]/", "https", "2001:db8::7", 443, "/"),
        ("https://[::ffff:192.0.2.7]:81/x", "https", "::ffff:c000:207", 81, "/x"),
        ("https://a.example/p%2Fq/../;v=1?a[]=%20&b=+?/", "https", "a.example", 443, None),
    ],
)
def test_an_address_is_taken_apart_and_its_target_sent_as_it_stands(
    url: str, scheme: str, host: str, port: int, sent: str | None
) -> None:
    template = compile_url(url, MACROS_HERE)
    assert (template.scheme, template.host, template.port) == (scheme, host, port)
    assert template.render({}) == (sent or url.removeprefix("https://a.example"))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "must be absolute"),
        ("/p", "must be absolute"),
        ("ftp://a.example/", "must be absolute"),
        (" https://a.example/", "must be absolute"),
        ("https://a.example/" + "x" * URL_CHARS, f"at most {URL_CHARS}"),
        ("https://", "the host is missing"),
        ("https:///p", "the host is missing"),
        ("https://me:pw@a.example/", "user name or password"),
        ("https://a.example/#top", "fragment"),
        ("https://a.example/p?x=1#", "fragment"),
        ("https://a_b.example/", "is not a host name"),
        ("https://a.example\\@b.example/", "user name or password"),
        ("https://a.example\\.b.example/", "is not a host alone"),
        ("https://2130706433/", "neither a host name nor an IPv4 address"),
        ("https://0x7f.1/", "neither a host name nor an IPv4 address"),
        ("https://[::1/", "is not an IPv6 address in brackets"),
        ("https://[1:2]/", "is not an IPv6 address"),
        ("https://[fe80::1%25eth0]/", "is not an IPv6 address in brackets"),
        ("https://a.example:/", "does not end in a port"),
        ("https://a.example:0/", "does not end in a port"),
        ("https://a.example:65536/", "does not end in a port"),
        ("https://a.example:8o/", "does not end in a port"),
        ("https://[::1]:x/", "does not end in a port"),
        ("https://a.example:80:81/", "does not end in a port"),
        ("https://{Word}.example/", "only in the query"),
        ("https://a.example/{Word}", "only in the query"),
        ("https://a.example/a b", "write %20"),
        ("https://a.example/ü", "write %C3%BC"),
        ("https://a.example/\r\nX:1", "write %0D"),
        ("https://a.example/?a=%4", "write %25"),
        ("https://a.example/?a=%{Word}", "write %25"),
        ("https://a.example/?a=\ud800", "write %EF%BF%BD"),
        ("https://a.example/?a={Sub Id}", "'{Sub Id}' is not a macro"),
        ("https://a.example/?a=b}", "write %7D"),
        ("https://a.example/?a={word}", "unknown macro {word}; did you mean {Word}?"),
        ("https://a.example/?a={Ammount}", "unknown macro {Ammount}; did you mean {Amount}?"),
    ],
)
def test_an_address_that_cannot_be_called_is_refused(url: str, says: str) -> None:
    assert says in refusal(lambda: compile_url(url, MACROS_HERE))


def test_values_are_percent_encoded_wherever_they_stand_in_a_query() -> None:
    url = "https://a.example/?{Word}&t={Text}&u=x{Text}y&n={Amount}"
    assert (
        target(url, Word="a=b", Text="ü &\x00/?#+%\ud800", Amount="-1.5")
        == "/?a%3Db&t=%C3%BC%20%26%00%2F%3F%23%2B%25%EF%BF%BD"
        "&u=x%C3%BC%20%26%00%2F%3F%23%2B%25%EF%BF%BDy&n=-1.5"
    )
    assert target(url) == "/?&t=&u=xy&n="


@pytest.mark.parametrize(
    ("template", "values", "sent"),
    [
        ('{"a":{Text}}', {"Text": 'x"\\\n\x00ü'}, '{"a":"x\\"\\\\\\n\\u0000ü"}'),
        ('{"a":{Text}}', {}, '{"a":null}'),
        ('{"a":"{Text}"}', {}, '{"a":""}'),
        ('{"a":"<{Text}>"}', {"Text": '"\t'}, '{"a":"<\\"\\t>"}'),
        ('{"{Word}":1}', {"Word": '"'}, '{"\\"":1}'),
        ('{"a":{Text}}', {"Text": "x\ud83d"}, '{"a":"x\ufffd"}'),
        ("{Text}", {"Text": "x"}, '"x"'),
        ("[{Text},{Amount}]", {"Text": "1", "Amount": "1"}, '["1",1]'),
        ("{Amount}", {"Amount": "-0.50"}, "-0.50"),
        ("{Amount}", {"Amount": "0"}, "0"),
        ("{Amount}", {"Amount": "123456789012345"}, "123456789012345"),
        ("{Amount}", {"Amount": "1234567890123456"}, '"1234567890123456"'),
        ("{Amount}", {"Amount": "12345678901234.5"}, "12345678901234.5"),
        ("{Amount}", {"Amount": "12345678901234.56"}, '"12345678901234.56"'),
        ("{Amount}", {"Amount": "007"}, '"007"'),
        ("{Amount}", {"Amount": "1."}, '"1."'),
        ("{Amount}", {"Amount": ".5"}, '".5"'),
        ("{Amount}", {"Amount": "+1"}, '"+1"'),
        ("{Amount}", {"Amount": "1e5"}, '"1e5"'),
        ("{Amount}", {"Amount": "1\n"}, '"1\\n"'),
        ("{Amount}", {"Amount": "١"}, '"١"'),
        ("{Amount}", {"Amount": "n/a"}, '"n/a"'),
        ("{Amount}", {}, "null"),
        ('"{Amount}"', {"Amount": "1.5"}, '"1.5"'),
        ("{Items}", {"Items": '[{"sku":"Ä"}]'}, '[{"sku":"Ä"}]'),
        ("{Items}", {"Items": "true"}, "true"),
        ("{Items}", {"Items": "[1"}, '"[1"'),
        ("{Items}", {"Items": "NaN"}, '"NaN"'),
        ("{Items}", {"Items": '["\ud800"]'}, '["\ufffd"]'),
        ("{Items}", {"Items": "[" * 100_000}, json.dumps("[" * 100_000)),
        ("{Items}", {}, "null"),
        ('"{Items}"', {"Items": '["x"]'}, '"[\\"x\\"]"'),
        ('{"\\"{":"}{Word}\\\\","b":{Word}}', {"Word": "w"}, '{"\\"{":"}w\\\\","b":"w"}'),
        ('"\\u00e9{Word}"', {"Word": "w"}, '"\\u00e9w"'),
        (" [ {Word} ]\n", {"Word": "w"}, ' [ "w" ]\n'),
        ('{"none":1}', {}, '{"none":1}'),
    ],
)
def test_json_gets_each_value_as_its_place_asks(
    template: str, values: dict[str, str], sent: str
) -> None:
    rendered = body(template, BodyFormat.JSON, **values)
    assert rendered == sent
    json.loads(rendered)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("", "is not JSON once its macros are filled in: Expecting value in line 1"),
        ("{", "Expecting property name"),
        ('{"a":{Word}', "in line 1, near "),
        ('{"a":1,\n"b":{Word}x}', "in line 2, near "),
        ("{ {Word}:1}", "near"),
        ("{ {Amount}:1}", "near"),
        ("{Word}{Text}", "Extra data"),
        ("1{Amount}", "Extra data"),
        ("-{Amount}", "not JSON"),
        ("{Amount}e5", "Extra data"),
        ('"{Word}', "Unterminated string"),
        ('"\\{Word}"', "behind a backslash"),
        ('"\\u00{Word}"', "behind a backslash"),
        ('"\\u{Amount}0041"', "behind a backslash"),
        ('"\\x{Word}"', "Invalid \\escape"),
        ('"a\nb"', "Invalid control character"),
        ('"x\\', "Unterminated string"),
        ('{"a":NaN}', "NaN is not JSON"),
        ("[" * 10_000, "not JSON"),
        ('"\\ud83d{Word}\\ude00"', "not JSON"),
        ("9" * 5000, "not JSON"),
        ('"\ud800"', "lone surrogate"),
        ('"' + "x" * BODY_CHARS, f"at most {BODY_CHARS}"),
        ("{word}", "did you mean {Word}?"),
    ],
)
def test_what_is_not_json_for_every_value_is_refused(template: str, says: str) -> None:
    assert says in refusal(lambda: compile_body(template, BodyFormat.JSON, MACROS_HERE))


@pytest.mark.parametrize(
    ("template", "values", "sent"),
    [
        ("<a>{Text}</a>", {"Text": "x<&>\"'"}, "<a>x&lt;&amp;&gt;&quot;&apos;</a>"),
        ("<a>{Text}</a>", {}, "<a></a>"),
        ("<a b='{Text}'/>", {"Text": "\t\n\r'"}, "<a b='&#9;&#10;&#13;&apos;'/>"),
        ("<a>]]{Text}x</a>", {"Text": "]]>"}, "<a>]]&#93;&#93;&gt;x</a>"),
        ("<a>]{Word}{Text}</a>", {"Word": "]", "Text": ">"}, "<a>]&#93;&gt;</a>"),
        ("<a>{Text}</a>", {"Text": "\x00\x0b\ufffe\ud800ü"}, "<a>\ufffd\ufffd\ufffd\ufffdü</a>"),
        ("<a>{Items}</a>", {"Items": '["x"]'}, "<a>[&quot;x&quot;&#93;</a>"),
        ('<!-- x --><a><b c="d">{Word}</b></a>', {"Word": "w"}, None),
        ("<a>{Word}<![CDATA[<raw>]]>{Word}</a>", {}, "<a><![CDATA[<raw>]]></a>"),
        ('<n:a xmlns:n="urn:x" n:b="{Word}"/>', {"Word": "w"}, '<n:a xmlns:n="urn:x" n:b="w"/>'),
        ('<?xml version="1.0"?><a>{Word}</a>', {}, '<?xml version="1.0"?><a></a>'),
        ('<?xml version="1.0" encoding="utf-8"?><a/>', {}, None),
        ("<a/>\n", {}, "<a/>\n"),
    ],
)
def test_xml_gets_each_value_escaped(
    template: str, values: dict[str, str], sent: str | None
) -> None:
    rendered = body(template, BodyFormat.XML, **values)
    assert rendered == (template.replace("{Word}", "w") if sent is None else sent)


PLACES = "may stand in text or in the value of an attribute"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("", "no element found in line 1"),
        ("<a>\n<b></a>", "mismatched tag in line 2"),
        ("{Word}<a/>", "is not well-formed XML"),
        ("<a>&{Word};</a>", "undefined entity"),
        ("<a>&#{Amount};</a>", "is not well-formed XML"),
        ("<a>&#x{Amount};</a>", "is not well-formed XML"),
        ("<a>&nbsp;</a>", "undefined entity"),
        ("<a b={Word}/>", "is not well-formed XML"),
        ("<a {Word}/>", "is not well-formed XML"),
        ("<{Word}/>", PLACES),
        ("<a{Word}/>", PLACES),
        ("<a{Word}></a{Word}>", "mismatched tag"),
        ("<a b{Word}='1'/>", PLACES),
        ("<a xmlns='{Word}'/>", PLACES),
        ("<a xmlns:b='{Word}'/>", PLACES),
        ("<a><!-- {Word} --></a>", f"{{Word}} {PLACES}"),
        ("<a><![CDATA[{Word}]]></a>", PLACES),
        ("<a><?do {Word}?></a>", PLACES),
        ('<?xml version="{Word}"?><a/>', "declare that, or nothing"),
        ('<?xml version="1.0" encoding="{Word}"?><a/>', "declare that, or nothing"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?><a/>', "declare that, or nothing"),
        ('<?xml version="1.1"?><a/>', "declare that, or nothing"),
        ("<!DOCTYPE a><a/>", "must not have a DOCTYPE"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;{Word}</a>', "must not have a DOCTYPE"),
        ("<n:a/>", "unbound prefix"),
        ("<a>]]{Word}></a>", "is not well-formed XML"),
        ("<a>\x01</a>", "is not well-formed XML"),
        ("<a>{Wort}</a>", "did you mean {Word}?"),
    ],
)
def test_what_is_not_xml_for_every_value_is_refused(template: str, says: str) -> None:
    assert says in refusal(lambda: compile_body(template, BodyFormat.XML, MACROS_HERE))


def test_a_long_text_around_a_macro_does_not_hide_it() -> None:
    template = "<a>" + "x" * 8180 + "{Word}" + "y" * 100 + "</a>"
    assert "xxwordyy" in body(template, BodyFormat.XML, Word="word")


@pytest.mark.parametrize(
    ("template", "values", "sent"),
    [
        ("a={Text}&b=x{Word}", {"Text": "ü &=+", "Word": "w"}, "a=%C3%BC%20%26%3D%2B&b=xw"),
        ("a={Text}", {}, "a="),
        ("a=1&b[]=%20+{Word}=\n", {"Word": "="}, "a=1&b[]=%20+%3D="),
        ("a={Items}", {"Items": "[]"}, "a=%5B%5D"),
    ],
)
def test_a_form_gets_each_value_percent_encoded(
    template: str, values: dict[str, str], sent: str
) -> None:
    assert body(template, BodyFormat.FORM, **values) == sent


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("", "'' is not a pair"),
        ("a", "'a' is not a pair"),
        ("=1", "'=1' is not a pair"),
        ("a=1&&b=2", "'' is not a pair"),
        ("{Word}=1", "the name of a field cannot be a macro"),
        ("{Word}", "is not a pair"),
        ("a=b c", "write %20"),
        ("a=1\nb=2", "write %0A"),
        ('{"a":1}', "is not a macro"),
        ("a={wrd}", "did you mean {Word}?"),
    ],
)
def test_what_is_not_a_form_is_refused(template: str, says: str) -> None:
    assert says in refusal(lambda: compile_body(template, BodyFormat.FORM, MACROS_HERE))


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("body_format", "content_type"),
    [
        (BodyFormat.JSON, "application/json"),
        (BodyFormat.XML, "application/xml; charset=utf-8"),
        (BodyFormat.FORM, "application/x-www-form-urlencoded"),
    ],
)
def test_the_body_nobody_wrote_names_every_macro_of_the_kind(
    kind: Kind, body_format: BodyFormat, content_type: str
) -> None:
    macros = MACROS[kind]
    template = compile_body(default_body(body_format, macros), body_format, macros)
    assert template.content_type == content_type
    rendered = template.render(samples(macros.values())).decode()
    assert all(name in rendered for name in macros)
    if body_format is BodyFormat.JSON:
        assert list(json.loads(rendered)) == list(macros)
