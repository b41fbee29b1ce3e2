"""What the log and the API show: names and macros stay, secrets do not."""

import dataclasses
from typing import Any

import pytest

from clickledger.postbacks import masking
from clickledger.postbacks.model import BodyFormat, Draft, Kind, Method
from clickledger.postbacks.rendering import Renderer

DRAFT = Draft(name="d", kind=Kind.CLICK, url="https://a.example/", method=Method.POST)


def drafted(**changes: Any) -> Draft:  # noqa: ANN401 - any field of a draft
    return dataclasses.replace(DRAFT, **changes)


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "Token",
        "access_token",
        "accessToken",
        "AUTHTOKEN",
        "key",
        "apikey",
        "api-key",
        "X-API-Key",
        "hash_key",
        "secret",
        "clientSecret",
        "sig",
        "sig2",
        "Signature",
        "auth",
        "Authorization",
        "pass",
        "password",
        "passwd",
        "user_pwd",
        "credential",
        "jwt",
        "hmac",
    ],
)
def test_a_name_that_looks_like_a_secrets_is_taken_for_one(name: str) -> None:
    assert masking.looks_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "keyword",
        "design",
        "compass",
        "author",
        "monkeys",
        "click_id",
        "subId1",
        "program",
        "signup_date",
        "",
        "42",
    ],
)
def test_an_ordinary_name_is_not(name: str) -> None:
    assert not masking.looks_secret(name)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example/p", "https://a.example/p"),
        ("https://a.example/p?", "https://a.example/p?"),
        ("https://a.example/?c={ClickId}&x=1", "https://a.example/?c={ClickId}&x=1"),
        ("https://a.example/?token=abc&c={ClickId}", "https://a.example/?token=***&c={ClickId}"),
        ("https://a.example/?token={ClickId}", "https://a.example/?token={ClickId}"),
        ("https://a.example/?token={ClickId}{AdId}", "https://a.example/?token={ClickId}{AdId}"),
        ("https://a.example/?token=a{ClickId}", "https://a.example/?token=***"),
        ("https://a.example/?token=&key", "https://a.example/?token=&key"),
        ("https://a.example/?api%5Fkey=abc", "https://a.example/?api%5Fkey=***"),
        ("https://a.example/?key=a=b&key=c", "https://a.example/?key=***&key=***"),
        ("https://a.example/?sig=a?b&x=1", "https://a.example/?sig=***&x=1"),
    ],
)
def test_a_template_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert masking.url(url) == shown


@pytest.mark.parametrize(
    ("template", "sent", "shown"),
    [
        ("https://a.example/p", "https://a.example/p", "https://a.example/p"),
        (
            "https://a.example/?key=abc&token={ClickId}&c={ClickId}",
            "https://a.example/?key=abc&token=7&c=7",
            "https://a.example/?key=***&token=7&c=7",
        ),
        (
            "https://a.example/?{AdName}=1&key=abc{ClickId}",
            "https://a.example/?key=1&key=abc7",
            "https://a.example/?key=1&key=***",
        ),
        (
            "https://a.example/?key=abc",
            "https://a.example/?key=abc&EventType=CLICK_DIGEST&Limit=50",
            "https://a.example/?key=***&EventType=CLICK_DIGEST&Limit=50",
        ),
        (
            "https://a.example/",
            "https://a.example/?EventType=CLICK_DIGEST",
            "https://a.example/?EventType=CLICK_DIGEST",
        ),
    ],
)
def test_what_was_sent_is_shown_without_the_templates_secrets(
    template: str, sent: str, shown: str
) -> None:
    assert masking.url(sent, template) == shown


def test_headers_of_a_request_keep_their_names() -> None:
    sent = (
        ("User-Agent", "clickledger/1"),
        ("Content-Type", "application/json"),
        ("X-Tenant", "acme"),
        ("Authorization", "Bearer abc"),
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "1"),
        ("webhook-signature", "v1,abc= v1,def="),
    )
    assert masking.request_headers(sent) == (
        ("User-Agent", "clickledger/1"),
        ("Content-Type", "application/json"),
        ("X-Tenant", "***"),
        ("Authorization", "***"),
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "1"),
        ("webhook-signature", "v1,*** v1,***"),
    )


def test_headers_of_an_answer_are_shown_but_for_cookies_and_credentials() -> None:
    answered = (("Server", "x"), ("Set-Cookie", "sid=1"), ("AUTHORIZATION", "abc"))
    assert masking.response_headers(answered, DRAFT) == (
        ("Server", "x"),
        ("Set-Cookie", "***"),
        ("AUTHORIZATION", "***"),
    )


def test_an_answer_that_repeats_the_url_shows_no_secret() -> None:
    draft = drafted(url="http://a.example/p?token=s3cr%2Ft&c={ClickId}")
    answered = (("Location", "https://a.example/p?token=s3cr%2Ft&c=7"), ("X-Got", "s3cr/t"))
    assert masking.response_headers(answered, draft) == (
        ("Location", "https://a.example/p?token=***&c=7"),
        ("X-Got", "***"),
    )


@pytest.mark.parametrize(
    ("changes", "sent", "shown"),
    [
        ({}, "anything", "anything"),
        ({"headers": {"X-Api-Key": "k3y-of-ours"}}, "you sent k3y-of-ours", "you sent ***"),
        ({"headers": {"Authorization": "Bearer abcdef"}}, "bad abcdef!", "bad ***!"),
        ({"headers": {"X-Tenant": "acme"}}, "hello acme", "hello acme"),
        ({"headers": {"X-Key": "abc"}}, "abc is too short to look for", None),
        ({"url": "https://a.example/?token=a%2Fbcd"}, "a%2Fbcd a/bcd", "*** ***"),
        ({"url": "https://a.example/?c=shown&token={ClickId}"}, "shown {ClickId}", None),
        ({"url": "https://a.example/?token=abcd{ClickId}wxyz"}, "abcd7wxyz", "***7***"),
        ({"body": '{"Token" : "s\\"cr"}'}, '{"Token" : "s\\"cr"}', '{"Token" : "***"}'),
        ({"body": '{"id":"shown","n":{AdId}}'}, '{"id":"shown","n":7}', None),
        ({"body": '{"a":{"pass":"abcdef{AdId}"}}'}, '{"a":{"pass":"abcdef7"}}', None),
        (
            {"body": "<a><key x='1'>abcdef</key></a>", "body_format": BodyFormat.XML},
            "<a><key x='1'>abcdef</key></a>",
            "<a><key x='1'>***</key></a>",
        ),
        (
            {"body": '<a token="abcdef" id="shown"/>', "body_format": BodyFormat.XML},
            '<a token="abcdef" id="shown"/>',
            '<a token="***" id="shown"/>',
        ),
        (
            {"body": "id=shown&auth=ab%20cd", "body_format": BodyFormat.FORM},
            "id=shown&auth=ab%20cd",
            "id=shown&auth=***",
        ),
        (
            {"headers": {"X-Key": "abcd", "X-Token": "abcdefgh"}},
            "abcdefgh abcd",
            "*** ***",
        ),
    ],
)
def test_bodies_are_shown_without_the_notifications_secrets(
    changes: dict[str, Any], sent: str, shown: str | None
) -> None:
    if shown is None:
        shown = sent.replace("abcdef", "***")
    assert masking.text(sent, drafted(**changes)) == shown


def test_a_draft_is_shown_without_its_secrets() -> None:
    draft = drafted(
        url="https://a.example/?key=abcd&c={ClickId}",
        body='{"token":"efgh","c":{ClickId}}',
        headers={"X-Tenant": "acme"},
    )
    assert masking.masked(draft) == drafted(
        url="https://a.example/?key=***&c={ClickId}",
        body='{"token":"***","c":{ClickId}}',
        headers={"X-Tenant": "***"},
    )
    assert masking.draft_headers(draft.headers) == {"X-Tenant": "***"}


def test_nothing_secret_is_left_in_what_the_log_shows_of_a_call() -> None:
    draft = drafted(
        url="https://a.example/p?token=SECRET-1&c={ClickId}",
        body='{"password":"SECRET-2","c":{ClickId}}',
        headers={"Authorization": "Bearer SECRET-3"},
    )
    request = Renderer(draft).prepare("CLICK", "msg_1", {"ClickId": "click"})
    shown = "\n".join(
        (
            masking.url(request.url, draft.url),
            repr(masking.request_headers(request.headers)),
            masking.text(request.body.decode(), draft),
        )
    )
    assert "SECRET" not in shown
    assert shown.count("***") == 3
    assert shown.count("click") >= 2


def test_a_sample_shows_its_signature_and_none_of_the_notifications_own_headers() -> None:
    sent = [("webhook-signature", "v1,abc"), ("X-Shop", "7"), ("User-Agent", "us")]
    assert masking.sample_headers(sent, drafted(headers={"x-shop": "7"})) == (
        ("webhook-signature", "v1,abc"),
        ("X-Shop", "***"),
        ("User-Agent", "us"),
    )
