"""Deep links lead only where the program allows; every known bypass is refused."""

from urllib.parse import quote

import pytest

from clickledger.collector.deep_links import DeepLinkRules, ascii_host

RULES = DeepLinkRules.of(("shop.example", "*.good.example"), "https://shop.example/")

ACCEPTED = [
    ("plain", "https://shop.example/p/1", "https://shop.example/p/1"),
    ("host only", "https://shop.example", "https://shop.example"),
    ("query and fragment", "https://shop.example/p?a=1&a=2#top", None),
    ("below a wildcard", "https://www.good.example/x", None),
    ("two labels below a wildcard", "https://a.b.good.example/x", None),
    ("mixed-case scheme and host", "HTTPS://Shop.Example/P", "https://shop.example/P"),
    ("default port", "https://shop.example:443/x", "https://shop.example/x"),
    ("encoded delimiters stay", "https://shop.example/a%2Fb?q=%26%3D", None),
    ("plus stays plus", "https://shop.example/?q=a+b", None),
    ("a space is encoded", "https://shop.example/a b", "https://shop.example/a%20b"),
    ("text is encoded", "https://shop.example/é", "https://shop.example/%C3%A9"),
    ("macros survive", "https://shop.example/?id={clickid}", None),
    ("an address as a value", "https://shop.example/?to=https://evil.example", None),
]

REFUSED = [
    ("another host", "https://evil.example/"),
    ("the bare domain of a wildcard", "https://good.example/"),
    ("scheme-relative", "//evil.example"),
    ("scheme-relative to a good host", "//shop.example/x"),
    ("relative", "/x"),
    ("empty", ""),
    ("one slash", "https:/shop.example"),
    ("slash and backslash", "https:/\\evil.example"),
    ("backslashes", "https:\\\\evil.example"),
    ("backslash before at", "https://shop.example\\@evil.example"),
    ("backslash in the path", "https://shop.example/\\evil.example"),
    ("userinfo", "https://shop.example@evil.example/"),
    ("userinfo with password", "https://shop.example:x@evil.example/"),
    ("userinfo before a good host", "https://evil.example@shop.example/"),
    ("good host as a prefix", "https://shop.example.evil.example/"),
    ("good host as a suffix", "https://evilshop.example/"),
    ("wildcard without the dot", "https://evilgood.example/"),
    ("trailing dot", "https://shop.example./"),
    ("empty label", "https://a..good.example/"),
    ("leading dot", "https://.good.example/"),
    ("other port", "https://shop.example:8443/"),
    ("port of the other scheme", "https://shop.example:80/"),
    ("empty port", "https://shop.example:/"),
    ("two ports", "https://shop.example:443:443/"),
    ("plain http where the program uses https", "http://shop.example/"),
    ("javascript", "javascript:alert(1)"),
    ("javascript with a comment", "javascript://shop.example/%0aalert(1)"),
    ("data", "data:text/html,x"),
    ("app scheme", "myapp://shop.example/"),
    ("IPv6 literal", "https://[::1]/"),
    ("IPv4 literal", "https://127.0.0.1/"),
    ("decimal address", "https://2130706433/"),
    ("encoded dot in the host", "https://shop%2Eexample/"),
    ("encoded slash in the host", "https://evil.example%2F.good.example/"),
    ("question mark ends the host", "https://evil.example?.good.example/"),
    ("hash ends the host", "https://evil.example#.good.example/"),
    ("macro in the host", "https://{clickid}.good.example/"),
    ("double encoding", "https%3A%2F%2Fshop.example%2F"),
    ("tab in the scheme", "ht\ttps://shop.example/"),
    ("line feed", "https://shop.example/\nx"),
    ("carriage return", "https://shop.example/\r\nSet-Cookie:x"),
    ("null byte", "https://evil.example\0.good.example/"),
    ("delete", "https://shop.example/\x7f"),
    ("line separator", "https://shop.example/\u2028"),
    ("leading space", " https://shop.example/"),
    ("full-width dot look-alike", "https://evil。example/"),
    ("Cyrillic look-alike", "https://shоp.example/"),
    ("punycode look-alike", "https://xn--shp-1ed.example/"),
    ("full-width slash", "https://evil.example／.good.example/"),
]


@pytest.mark.parametrize(
    ("link", "sent"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED]
)
def test_accepts(link: str, sent: str | None) -> None:
    assert RULES.accept(quote(link, safe="").encode()) == (link if sent is None else sent)


@pytest.mark.parametrize("link", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refuses(link: str) -> None:
    assert RULES.accept(quote(link, safe="").encode()) is None


def test_refuses_bytes_that_are_not_text() -> None:
    assert RULES.accept(b"https://shop.example/%ff") is None


def test_an_empty_list_allows_nothing() -> None:
    assert DeepLinkRules.of((), "https://shop.example/").accept(b"https://shop.example/") is None


def test_plain_http_is_allowed_where_the_program_uses_it() -> None:
    rules = DeepLinkRules.of(("shop.example",), "http://shop.example/")
    assert rules.accept(b"http://shop.example:80/x") == "http://shop.example/x"
    assert rules.accept(b"https://shop.example/x") == "https://shop.example/x"


def test_an_international_host_is_compared_in_its_ascii_form() -> None:
    rules = DeepLinkRules.of(("xn--bcher-kva.example",), "https://x.example/")
    link = quote("https://bücher.example/x", safe="").encode()
    assert rules.accept(link) == "https://xn--bcher-kva.example/x"


@pytest.mark.parametrize("host", ["", "a..b", "a_b", "ＡＢ..", "a" * 70 + "é.example"])
def test_what_is_not_a_host_name_is_refused(host: str) -> None:
    assert ascii_host(host) is None
