"""Whatever stands on a landing page or in a link, what we add is added once and nothing is lost."""

import re
from urllib.parse import quote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from clickledger.collector.deep_links import DeepLinkRules
from clickledger.collector.landing import Landing, parameter_name, reserved_names
from clickledger.collector.query import ParameterNames, split_query
from clickledger.ids import ClickIds

NAMES = reserved_names("irclickid")
VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F))

names = st.text(st.sampled_from("abAB1_%2E"), max_size=6) | st.sampled_from(
    ["irclickid", "IRCLICKID", "%69rclickid", "irgwc", "u", "subId1"]
)
values = st.text(st.sampled_from("xyz019%2F+=:/?"), max_size=8)
parameters = st.lists(st.tuples(names, values).map("=".join) | names, max_size=6)
fragments = st.text(st.sampled_from("abc/?=&{}"), max_size=8)


def kept(query: str) -> str:
    return "&".join(
        part
        for part in query.split("&")
        if parameter_name(part.partition("=")[0].encode()) not in NAMES
    )


@given(parameters, parameters, fragments, st.booleans())
def test_a_landing_url_keeps_what_is_there_and_carries_the_click_once(
    on_page: list[str], passed_on: list[str], fragment: str, recorded: bool
) -> None:
    page = "https://s.example/p?" + "&".join(on_page) + (f"#{fragment}" if fragment else "")
    landing = Landing(page, click_id_param="irclickid", templates=(), tokens={})
    _, more = split_query("&".join(passed_on).encode(), ParameterNames(NAMES))
    url = landing.url("ID" if recorded else "", more)
    parts = urlsplit(url)
    ours = "irclickid=ID&irgwc=1" if recorded else "irgwc=1"
    assert parts.query == "&".join(filter(None, (kept("&".join(on_page)), more, ours)))
    assert parts.fragment == fragment
    assert url.startswith("https://s.example/p?")


@given(st.binary(max_size=200))
def test_any_query_can_be_passed_on_in_a_header(query: bytes) -> None:
    _, passed_on = split_query(query, ParameterNames(NAMES))
    assert re.fullmatch(r"[!-~]*", passed_on)
    assert "#" not in passed_on


@given(st.binary(max_size=200))
def test_any_bytes_are_a_deep_link_to_an_allowed_host_or_none(raw: bytes) -> None:
    accepted = DeepLinkRules.of(("a.example", "*.b.example"), "https://a.example/").accept(raw)
    assert accepted is None or accepted.isascii()


hosts = st.sampled_from(["a.example", "x.b.example", "evil.example", "b.example", "a.example.evil"])
junk = st.text(max_size=4)


@given(junk, hosts, junk, st.text(max_size=20))
def test_an_accepted_deep_link_leads_where_a_strict_parser_says(
    before: str, host: str, after: str, rest: str
) -> None:
    rules = DeepLinkRules.of(("a.example", "*.b.example"), "https://a.example/")
    link = f"https://{before}{host}{after}/{rest}"
    accepted = rules.accept(quote(link, safe="").encode())
    if accepted is not None:
        parts = urlsplit(accepted)
        assert parts.scheme == "https"
        assert parts.netloc == parts.hostname
        assert parts.hostname == "a.example" or str(parts.hostname).endswith(".b.example")


@given(
    st.integers(min_value=0, max_value=2**48 - 1),
    st.integers(min_value=1, max_value=2**31),
    st.binary(min_size=32, max_size=32),
)
def test_a_click_id_is_genuine_where_it_was_made(ms: int, program_id: int, key: bytes) -> None:
    made = ClickIds([key])
    click_id = made.minter(program_id).mint(ms * 1000)
    assert made.genuine(click_id, program_id)
    assert not made.genuine(click_id, program_id + 1)
    assert not ClickIds([bytes(32) if key != bytes(32) else b"x" * 32]).genuine(
        click_id, program_id
    )


@given(st.text(max_size=64))
def test_no_text_breaks_the_check_of_a_click_id(text: str) -> None:
    assert not ClickIds([b"k" * 32]).genuine(text, 1)
