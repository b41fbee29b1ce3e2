"""Signatures verify, secrets stay hidden, private addresses stay shut, pauses are long enough."""

import dataclasses
import re
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from clickledger.postbacks import addresses, masking, rules, schedule, signing
from clickledger.postbacks.model import (
    BodyFormat,
    Draft,
    Fate,
    Kind,
    Method,
    Outcome,
)
from clickledger.postbacks.rendering import Renderer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

#: Each example compiles and reads several documents; no deadline: the machine may be busy.
FEWER = settings(max_examples=40, deadline=None)

anything = st.text(st.characters(exclude_categories=()), max_size=20)
seconds = st.integers(0, 2**33)
carriers = st.sampled_from(
    [
        (0xFFFF << 32, 0),
        (0xFFFF << 48, 0),
        (0x0064_FF9B << 96, 0),
        (0x2002 << 112, 80),
        (0x2001_0000 << 96, 64),
        (0x2606_4700 << 96 | 0x5EFE << 32, 0),
        (0, 0),
    ]
)


@FEWER
@given(st.sampled_from(Method), st.sampled_from(BodyFormat), anything, seconds, st.integers(1, 3))
def test_whatever_is_sent_the_reference_library_makes_the_same_signatures(
    method: Method, body_format: BodyFormat, text: str, at: int, count: int
) -> None:
    draft = Draft(
        name="d",
        kind=Kind.CLICK,
        url="https://a.example/?s={SubId1}",
        method=method,
        body_format=body_format,
    )
    secrets = [signing.new_secret() for _ in range(count)]
    moment = datetime.fromtimestamp(at, tz=UTC)
    prepared = Renderer(draft).prepare("CLICK", "msg_1", {"SubId1": text})
    signed = signing.sign(prepared, secrets, "msg_1", moment)
    sent = dict(signed.headers)
    content = prepared.body.decode() if method is Method.POST else prepared.target
    assert sent["webhook-timestamp"] == str(at)
    assert sent["webhook-signature"].split(" ") == [
        Webhook(secret).sign("msg_1", moment, content) for secret in secrets
    ]


ROUTED = IPv6Network("2000::/3")
#: Judged by the IPv4 address in them.
STAND_INS = [
    IPv6Network(text)
    for text in (
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "2002::/16",
        "2001::/32",
    )
]

names = st.sampled_from(["token", "api_key", "sig", "Password"])
secret_texts = st.text(st.sampled_from("GHJKQWXZ7"), min_size=6, max_size=12)


@FEWER
@given(
    names,
    st.tuples(secret_texts, secret_texts, secret_texts),
    st.sampled_from(BodyFormat),
    anything,
)
def test_no_literal_secret_is_left_in_what_is_shown(
    name: str, secrets: tuple[str, str, str], body_format: BodyFormat, text: str
) -> None:
    first, second, third = secrets
    body = {
        BodyFormat.JSON: f'{{"x":{{SubId1}},"{name}":"{second}"}}',
        BodyFormat.XML: f"<a x='{{SubId1}}'><{name}>{second}</{name}></a>",
        BodyFormat.FORM: f"x={{SubId1}}&{name}={second}",
    }[body_format]
    draft = Draft(
        name="d",
        kind=Kind.CLICK,
        url=f"https://a.example/?x={{SubId1}}&{name}={first}&y=1",
        method=Method.POST,
        body_format=body_format,
        body=body,
        headers={"X-Key": third},
    )
    assert rules.check(draft) == []
    request = Renderer(draft).prepare("CLICK", "msg_1", {"SubId1": text})
    request = signing.sign(request, (signing.new_secret(),), "msg_1", NOW)
    shown = [
        masking.url(request.url, draft.url),
        repr(masking.request_headers(request.headers)),
        masking.text(request.body.decode(), draft),
        masking.text(f"echo: {second} {third}", draft),
        repr(masking.masked(draft)),
    ]
    # what the event itself brought may look the same, and is not the notification's secret
    assume(not any(secret in text for secret in secrets))
    for one in shown:
        assert not any(secret in one for secret in secrets)


@given(st.text(max_size=60))
def test_masking_twice_shows_the_same(text: str) -> None:
    once = masking.url(text)
    assert masking.url(once) == once


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_ipv4_address_that_may_be_called_is_public(address: IPv4Address) -> None:
    if not addresses.refused(str(address), ()):
        assert address.is_global
        assert not address.is_multicast


@given(
    st.integers(0, 2**128 - 1).map(IPv6Address)
    | st.integers(0, 2**125 - 1).map(lambda low: IPv6Address(0x2 << 124 | low))
)
def test_an_ipv6_address_that_may_be_called_is_public(address: IPv6Address) -> None:
    if not addresses.refused(str(address), ()):
        stands_for_ipv4 = any(address in network for network in STAND_INS)
        assert stands_for_ipv4 or (address in ROUTED and address.is_global)


@given(st.integers(0, 2**32 - 1), carriers, st.integers(0, 2**16 - 1))
def test_a_disguise_changes_nothing(bits: int, carrier: tuple[int, int], rest: int) -> None:
    prefix, shift = carrier
    inner = IPv4Address(bits)
    low = {0: 0, 80: rest, 64: 0xF7F7_F7F7}[shift]
    outer = IPv6Address(prefix | bits << shift | low)
    assume(int(outer) > 1)
    assert bool(addresses.refused(str(outer), ())) is bool(addresses.refused(str(inner), ()))


@given(anything | st.sampled_from(["Retry-After", "retry-after"]), anything, st.integers(100, 599))
def test_any_answer_is_judged(name: str, value: str, status: int) -> None:
    outcome = Outcome(started_at=NOW, duration_ms=1, status=status, headers=((name, value),))
    verdict = schedule.after(outcome, tries=1, now=NOW, jitter=0.0)
    assert verdict.fate in {Fate.WAITING, Fate.DELIVERED, Fate.FAILED}
    assert (verdict.next_at is None) == (verdict.fate is not Fate.WAITING)


@given(
    st.integers(0, 200_000),
    st.booleans(),
    st.sampled_from([429, 503]),
    st.integers(1, 9),
    st.floats(0, 1),
)
def test_the_next_attempt_is_never_before_what_was_asked_for_nor_much_later(
    asked: int, as_date: bool, status: int, tries: int, jitter: float
) -> None:
    value = f"{NOW + timedelta(seconds=asked):%a, %d %b %Y %H:%M:%S GMT}" if as_date else str(asked)
    outcome = Outcome(
        started_at=NOW, duration_ms=1, status=status, headers=(("Retry-After", value),)
    )
    verdict = schedule.after(outcome, tries=tries, now=NOW, jitter=jitter)
    assert verdict.next_at is not None
    pause = (verdict.next_at - NOW).total_seconds()
    scheduled = schedule.SCHEDULE_S[tries]
    wish = min(asked, 86_400)
    assert pause >= wish
    assert pause >= scheduled * 0.8 - 1e-6
    assert pause <= max(scheduled, wish) * 1.2 + 1e-6


@FEWER
@given(
    st.builds(
        Draft,
        name=anything,
        kind=st.sampled_from(Kind),
        url=anything,
        method=st.sampled_from(Method),
        body=anything,
        body_format=st.sampled_from(BodyFormat),
        events=st.lists(anything, max_size=3).map(tuple),
        program_ids=st.lists(st.integers(), max_size=3).map(tuple),
        partner_ids=st.lists(st.integers(), max_size=3).map(tuple),
        action_tracker_ids=st.lists(st.integers(), max_size=3).map(tuple),
        minimum_delay_s=st.integers(),
        headers=st.dictionaries(anything, anything, max_size=3),
        click_limit=st.integers(),
    )
)
def test_any_draft_is_judged_and_what_is_not_refused_can_be_sent(draft: Draft) -> None:
    errors = rules.check(draft)
    assert all(error.field and error.message for error in errors)
    fixed = dataclasses.replace(draft, url="https://a.example/")
    if not rules.check(fixed):
        request = Renderer(fixed).prepare("X", "msg_1", {})
        for name, value in request.headers:
            assert re.fullmatch(r"[!-~]+", name)
            assert re.fullmatch(r"[\t -~]+", value)
