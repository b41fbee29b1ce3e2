"""Checking what was stored changes nothing, and the collector agrees with what was stored."""

from urllib.parse import quote

from hypothesis import assume, example, given
from hypothesis import strategies as st

from clickledger.collector.deep_links import DeepLinkRules
from clickledger.errors import InvalidInputError
from clickledger.programs import rules

LABELS = st.text(
    st.one_of(
        st.sampled_from("abcxyzABCXYZ0189-_"),
        st.characters(min_codepoint=0xA0, max_codepoint=0x2FFF),
    ),
    min_size=1,
    max_size=12,
)
HOSTS = st.one_of(
    st.text(max_size=20),
    st.lists(LABELS, min_size=1, max_size=4).map(".".join),
    st.lists(LABELS, min_size=1, max_size=4).map(lambda labels: ".".join(labels) + "."),
    st.lists(st.integers(0, 300).map(str), min_size=1, max_size=5).map(".".join),
)
#: Mostly host names that are taken, in many spellings.
GOOD_HOSTS = st.one_of(
    st.lists(st.from_regex(r"[a-zA-Z]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True), min_size=2)
    .map(lambda labels: ".".join(labels[:5]))
    .filter(lambda text: "xn--" not in text.lower()),
    st.sampled_from(["Bücher.example", "straße.example.", "例え。テスト", "XN--bcher-kva.example"]),
)
#: Mostly paths, queries and fragments that are taken.
TAILS = st.lists(
    st.one_of(
        st.sampled_from(["/", "?", "#", "&", "=", "%25", "%", "{clickid}", "{irpid}", "%7B"]),
        st.text(
            st.one_of(
                st.sampled_from("+.~-_:@!$'()*,;[]|^`\"<>"),
                st.characters(
                    min_codepoint=0xA1, max_codepoint=0x1FFFF, exclude_categories=["C", "Z"]
                ),
            ),
            max_size=3,
        ),
    ),
    max_size=8,
).map("".join)


@given(st.one_of(GOOD_HOSTS, HOSTS))
@example("\u212a.example")  # the Kelvin sign, whose lower case is ASCII
@example("İ.example")
@example("XN--BCHER-KVA.example")
@example("ａ.example")
def test_a_host_is_refused_or_normalised_for_good(text: str) -> None:
    try:
        host = rules.host("host", text)
    except InvalidInputError:
        return
    assert rules.host("host", host) == host
    assert host.isascii()
    assert host == host.lower().strip(".")
    assert 0 < len(host) <= 253


@given(GOOD_HOSTS)
def test_spelling_does_not_change_what_a_host_becomes(text: str) -> None:
    host = rules.host("host", text)
    shouted = "".join(mark.upper() if mark.isascii() else mark for mark in text)
    assert rules.host("host", shouted) == host
    assert rules.host("host", host + ".") == host
    assert rules.deep_link_domain("host", f"*.{text}") == f"*.{host}"


@given(GOOD_HOSTS, TAILS, st.sampled_from(["http", "https", "HTTPS"]))
def test_a_stored_landing_page_is_left_as_it_is(host: str, tail: str, scheme: str) -> None:
    try:
        page = rules.landing_page("page", f"{scheme}://{host}/{tail}")
    except InvalidInputError:
        assume(False)
        raise
    assert rules.landing_page("page", page) == page
    assert page.isascii()
    assert page.isprintable()
    assert " " not in page


@given(GOOD_HOSTS, TAILS)
def test_the_collector_takes_every_stored_deep_link(text: str, tail: str) -> None:
    """So a vanity link leads nowhere that the same ``u`` would not lead to."""
    host = rules.host("host", text)
    program_page = "https://shop.example/"
    try:
        link = rules.deep_link("link", f"https://{host}/{tail}", [host], program_page)
    except InvalidInputError:
        assume(False)
        raise
    collector = DeepLinkRules.of((host,), program_page)
    assert collector.accept(quote(link, safe="").encode()) == link


@given(st.text(max_size=30))
def test_a_stored_template_is_left_as_it_is(text: str) -> None:
    try:
        template = rules.template("template", text, "irclickid")
    except InvalidInputError:
        return
    assert rules.template("template", template, "irclickid") == template
