"""What may be stored of programs, ads and links: tables of what is taken and what is refused."""

from collections.abc import Callable

import pytest

from clickledger.errors import InvalidInputError
from clickledger.programs import rules


def refusal(check: Callable[[], object]) -> str:
    """Run a check that must refuse; return its sentence."""
    with pytest.raises(InvalidInputError) as caught:
        check()
    assert [one.field for one in caught.value.fields] == ["field"]
    return caught.value.fields[0].message


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("shop.example.com", "shop.example.com"),
        ("Shop.EXAMPLE.com", "shop.example.com"),
        ("shop.example.com.", "shop.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("9gag.example", "9gag.example"),
    ],
)
def test_a_host_is_stored_as_lower_case_ascii(text: str, stored: str) -> None:
    assert rules.host("field", text) == stored


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "missing"),
        (".", "not a host name"),
        ("shop..example.com", "not a host name"),
        ("-shop.example.com", "not a host name"),
        ("shop_1.example.com", "not a host name"),
        ("a" * 64 + ".example.com", "not a host name"),
        ("a." * 130 + "example", "not a host name"),
        ("xn--a.example", "not a host name"),
        ("shop.example.com:443", "without port"),
        ("[::1]", "not as an IPv6"),
        ("https://shop.example.com/sale", "write shop.example.com"),
        ("shop.example.com/sale", "without scheme, path or user"),
        ("me@shop.example.com", "without scheme, path or user"),
        ("shop .example.com", "not a host alone"),
        ("shop\x00.example.com", "not a host alone"),
        ("shop\udcff.example.com", "not a host alone"),
        ("127.1", "neither a host name nor an IPv4"),
        ("2130706433", "neither a host name nor an IPv4"),
        ("0x7f.0x0.0x0.0x1", "neither a host name nor an IPv4"),
        ("shop.example.123", "neither a host name nor an IPv4"),
    ],
)
def test_what_is_not_a_host_alone_is_refused(text: str, says: str) -> None:
    assert says in refusal(lambda: rules.host("field", text))


@pytest.mark.parametrize(
    ("texts", "stored"),
    [
        ([], ()),
        (["example.com", "*.Example.com."], ("example.com", "*.example.com")),
        (["b.example", "a.example", "B.example"], ("b.example", "a.example")),
        (["*.bücher.example"], ("*.xn--bcher-kva.example",)),
    ],
)
def test_deep_link_domains_are_normalised_and_kept_once_in_order(
    texts: list[str], stored: tuple[str, ...]
) -> None:
    assert rules.deep_link_domains("field", texts) == stored


@pytest.mark.parametrize("text", ["*", "*example.com", "*.", "*.com", "*.127.0.0.1", "a.*.com"])
def test_a_wildcard_stands_for_what_is_below_one_domain(text: str) -> None:
    refusal(lambda: rules.deep_link_domain("field", text))


@pytest.mark.parametrize(
    ("host", "domains", "allowed"),
    [
        ("example.com", ("example.com",), True),
        ("shop.example.com", ("example.com",), False),
        ("shop.example.com", ("*.example.com",), True),
        ("a.b.example.com", ("*.example.com",), True),
        ("example.com", ("*.example.com",), False),
        ("evilexample.com", ("*.example.com", "example.com"), False),
        ("example.com.evil.net", ("*.example.com", "example.com"), False),
        ("example.com", (), False),
    ],
)
def test_a_host_is_allowed_by_its_own_entry_or_a_wildcard_above(
    host: str, domains: tuple[str, ...], allowed: bool
) -> None:
    assert rules.host_allowed(host, domains) is allowed


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("https://shop.example.com/", "https://shop.example.com/"),
        ("HTTPS://Shop.Example.com", "https://shop.example.com/"),
        ("http://shop.example.com:80/a", "http://shop.example.com/a"),
        ("https://shop.example.com:8443/a", "https://shop.example.com:8443/a"),
        ("https://shop.example.com?q=1#top", "https://shop.example.com/?q=1#top"),
        ("https://bücher.example/süß?q=ö", "https://xn--bcher-kva.example/s%C3%BC%C3%9F?q=%C3%B6"),
        ("https://shop.example.com/a%2Fb?x=%26&x=1", "https://shop.example.com/a%2Fb?x=%26&x=1"),
        ("https://shop.example.com/?ref={irpid}", "https://shop.example.com/?ref={irpid}"),
    ],
)
def test_a_landing_page_is_stored_as_a_serialised_url(text: str, stored: str) -> None:
    assert rules.landing_page("field", text) == stored


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "absolute http or https"),
        ("/sale", "absolute http or https"),
        ("//shop.example.com/", "absolute http or https"),
        ("shop.example.com", "absolute http or https"),
        ("ftp://shop.example.com/", "absolute http or https"),
        ("javascript:alert(1)", "absolute http or https"),
        ("https:/shop.example.com/", "absolute http or https"),
        ("https://shop.example.com/a b", "absolute http or https"),
        ("https://shop.example.com/\r\nSet-Cookie: a=b", "absolute http or https"),
        ("https://shop.example.com/\udcff", "absolute http or https"),
        ("https:///path", "host is missing"),
        ("https://me:pw@shop.example.com/", "user name"),
        ("https://shop.example.com\\@evil.example/", "user name"),
        ("https://shop.example.com\\evil.example/", "not a host"),
        ("https://shop.example.com/\\evil", "backslash"),
        ("https://[::1]/", "IPv6"),
        ("https://shop.example.com:/", "does not end in a port"),
        ("https://shop.example.com:0/", "does not end in a port"),
        ("https://shop.example.com:70000/", "does not end in a port"),
        ("https://shop.example.com:٣/", "does not end in a port"),
        ("https://shop.example.com/" + "a" * 2048, "at most 2048"),
        ("https://shop.example.com/" + "ü" * 400, "at most 2048"),
        ("https://shop.example.com/?a={irpids}", "did you mean {irpid}?"),
        ("https://shop.example.com/?a={irpid", "brace"),
    ],
)
def test_a_landing_page_that_could_mislead_is_refused(text: str, says: str) -> None:
    assert says in refusal(lambda: rules.landing_page("field", text))


@pytest.mark.parametrize(
    ("text", "program_page", "says"),
    [
        ("https://evil.example/", "https://shop.example/", "not a deep-link domain"),
        ("http://shop.example/", "https://shop.example/", "must be https"),
        ("https://shop.example:8443/", "https://shop.example/", "port"),
        ("/sale", "https://shop.example/", "absolute http or https"),
    ],
)
def test_a_vanity_deep_link_obeys_the_rules_of_the_program(
    text: str, program_page: str, says: str
) -> None:
    assert says in refusal(lambda: rules.deep_link("field", text, ("shop.example",), program_page))


def test_a_plain_http_program_may_have_plain_http_deep_links() -> None:
    link = rules.deep_link("field", "http://shop.example/a", ["shop.example"], "http://x.example/")
    assert link == "http://shop.example/a"


def test_a_program_without_domains_has_no_deep_links() -> None:
    assert "it has none" in refusal(
        lambda: rules.deep_link("field", "https://shop.example/", (), "https://shop.example/")
    )


@pytest.mark.parametrize("name", ["irclickid", "clickId", "im_ref", "a", "x" * 64, "a.b~c-d"])
def test_a_click_id_parameter_is_a_plain_name(name: str) -> None:
    assert rules.click_id_param("field", name) == name


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a&b", "ä", "x" * 65, "irgwc", "IRGWC", "a\n"])
def test_a_click_id_parameter_that_would_break_the_url_is_refused(name: str) -> None:
    refusal(lambda: rules.click_id_param("field", name))


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("", ""),
        ("?utm_source=impact&aff={irpid}", "utm_source=impact&aff={irpid}"),
        ("&c={clickid}_{iradid}_{ircid}&", "c={clickid}_{iradid}_{ircid}"),
        ("campaign=%C3%BC&empty=", "campaign=%C3%BC&empty="),
    ],
)
def test_a_template_is_stored_without_its_delimiters(text: str, stored: str) -> None:
    assert rules.template("field", text, "irclickid") == stored


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a={clickId}", "{clickId} is unknown; did you mean {clickid}?"),
        ("a={adid}", "did you mean {iradid}?"),
        ("a={partner}", "did you mean {irpid}?"),
        ("a={}", "{} is unknown"),
        ("a={clickid", "brace"),
        ("a=clickid}", "brace"),
        ("a={{clickid}}", "brace"),
        ("a=b c", "' ' cannot stand"),
        ("a=b#c", "'#' cannot stand"),
        ("a=ü", "'ü' cannot stand"),
        ("a=b\n", "cannot stand"),
        ("=x", "no parameter name"),
        ("a=1&=x", "no parameter name"),
        ("irclickid={clickid}", "added to every landing URL anyway"),
        ("IrClickId={clickid}", "added to every landing URL anyway"),
        ("irgwc=0", "added to every landing URL anyway"),
        ("a=" + "x" * 2048, "at most 2048"),
    ],
)
def test_a_template_that_would_not_do_what_it_says_is_refused(text: str, says: str) -> None:
    assert says in refusal(lambda: rules.template("field", text, "irclickid"))


def test_an_ad_type_is_one_of_the_wire() -> None:
    assert rules.ad_type("field", "BANNER") == "BANNER"
    assert "did you mean TEXT_LINK?" in refusal(lambda: rules.ad_type("field", "text-link"))


@pytest.mark.parametrize("path", ["/summer", "/summer/sale", "/c2", "/cool", "/a.b~c-d_e", "/a/"])
def test_a_vanity_path_may_be_any_plain_path(path: str) -> None:
    assert rules.vanity_path("field", path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "summer",
        "//summer",
        "/summer//sale",
        "/sum mer",
        "/sümmer",
        "/s%20x",
        "/s?x=1",
        "/s#x",
        "/.",
        "/a/../b",
        "/a\n",
        "/" + "a" * 255,
    ],
)
def test_a_vanity_path_that_a_browser_might_write_otherwise_is_refused(path: str) -> None:
    refusal(lambda: rules.vanity_path("field", path))


@pytest.mark.parametrize(
    "path",
    [
        "/c",
        "/c/",
        "/c/1/2/3",
        "/C/1/2/3",
        "/Advertisers",
        "/advertisers/IR1/Jobs",
        "/Mediapartners/x",
        "/Agencies/x",
        "/results/x",
        "/livez",
        "/readyz",
        "/metrics",
        "/METRICS",
    ],
)
def test_a_vanity_path_does_not_hide_what_is_served_already(path: str) -> None:
    assert "meaning of its own" in refusal(lambda: rules.vanity_path("field", path))


def test_addresses_of_links_start_with_the_public_url() -> None:
    assert rules.tracking_url("https://go.example/", 7, 8, 9) == "https://go.example/c/7/8/9"
    assert rules.vanity_url("https://go.example/", "/summer") == "https://go.example/summer"
