"""From an event to the request: what goes out, by method and format."""

import dataclasses
import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from clickledger import __version__
from clickledger.postbacks.macros import DIGEST
from clickledger.postbacks.model import CLICK_DIGEST, BodyFormat, Draft, Kind, Method, Prepared
from clickledger.postbacks.rendering import Renderer
from clickledger.postbacks.templates import TemplateError

DRAFT = Draft(
    name="Clicks", kind=Kind.CLICK, url="https://a.example:8443/p?c={ClickId}&e={EventType}"
)
DIGESTED = {"Clicks": "4200", "From": "2026-03-01T12:00:07Z", "To": "t2", "Limit": "50"}
SAYS = "More than 50 clicks in one second: this digest takes the place of 4200 single calls."


def prepared(name: str, values: dict[str, str], **changes: Any) -> Prepared:  # noqa: ANN401 - any field of a draft
    return Renderer(dataclasses.replace(DRAFT, **changes)).prepare(name, "msg_1", values)


def test_a_get_carries_everything_in_its_query_and_no_body() -> None:
    request = prepared("CLICK", {"ClickId": "a/b"}, headers={"X-Key": "k", "Accept": "*/*"})
    assert request == Prepared(
        method=Method.GET,
        scheme="https",
        host="a.example",
        port=8443,
        target="/p?c=a%2Fb&e=CLICK",
        headers=(
            ("User-Agent", f"clickledger/{__version__}"),
            ("X-Key", "k"),
            ("Accept", "*/*"),
        ),
        body=b"",
    )
    assert request.url == "https://a.example:8443/p?c=a%2Fb&e=CLICK"


@pytest.mark.parametrize(
    ("body_format", "template", "content_type", "body"),
    [
        (
            BodyFormat.JSON,
            '{"id":{ClickId},"m":"{MessageId}","p":{CampaignId}}',
            "application/json",
            b'{"id":"a&b","m":"msg_1","p":7}',
        ),
        (
            BodyFormat.XML,
            "<c id='{ClickId}'>{EventType}</c>",
            "application/xml; charset=utf-8",
            b"<c id='a&amp;b'>CLICK</c>",
        ),
        (
            BodyFormat.FORM,
            "id={ClickId}&p={CampaignId}",
            "application/x-www-form-urlencoded",
            b"id=a%26b&p=7",
        ),
    ],
)
def test_a_post_carries_its_body(
    body_format: BodyFormat, template: str, content_type: str, body: bytes
) -> None:
    request = prepared(
        "CLICK",
        {"ClickId": "a&b", "CampaignId": "7"},
        method=Method.POST,
        body_format=body_format,
        body=template,
    )
    assert request.method is Method.POST
    assert request.target == "/p?c=a%26b&e=CLICK"
    assert request.headers == (
        ("User-Agent", f"clickledger/{__version__}"),
        ("Content-Type", content_type),
    )
    assert request.body == body


def test_a_post_without_template_carries_every_macro() -> None:
    body = json.loads(prepared("CLICK", {"CampaignId": "7"}, method=Method.POST).body)
    assert body["CampaignId"] == 7
    assert body["EventType"] == "CLICK"
    assert body["MessageId"] == "msg_1"
    assert body["SubId1"] is None


def test_name_and_message_are_ours_whatever_the_values_say() -> None:
    values = {"EventType": "other", "MessageId": "other"}
    body = json.loads(prepared("CLICK", values, method=Method.POST).body)
    assert (body["EventType"], body["MessageId"]) == ("CLICK", "msg_1")


@pytest.mark.parametrize(
    ("url", "start"),
    [
        ("https://a.example/p?c={ClickId}&e={EventType}", "/p?c=&e=CLICK_DIGEST&"),
        ("https://a.example/p", "/p?"),
    ],
)
def test_a_digest_by_get_stands_behind_the_query_whose_macros_are_empty(
    url: str, start: str
) -> None:
    request = prepared(CLICK_DIGEST, DIGESTED, url=url)
    assert request.target.startswith(start)
    pairs = dict(parse_qsl(request.target.removeprefix(start), strict_parsing=True))
    assert pairs == {
        "EventType": CLICK_DIGEST,
        "MessageId": "msg_1",
        **DIGESTED,
        "Message": SAYS,
    }
    assert request.body == b""


def test_a_digest_by_post_is_a_flat_document_in_the_format_of_the_body() -> None:
    template = '{"c":{ClickId}}'
    request = prepared(CLICK_DIGEST, DIGESTED, method=Method.POST, body=template)
    assert request.target == "/p?c=&e=CLICK_DIGEST"
    assert json.loads(request.body) == {
        "EventType": CLICK_DIGEST,
        "MessageId": "msg_1",
        "Clicks": 4200,
        "From": "2026-03-01T12:00:07Z",
        "To": "t2",
        "Limit": 50,
        "Message": SAYS,
    }


@pytest.mark.parametrize(
    ("body_format", "holds"),
    [
        (BodyFormat.XML, f"<Limit>50</Limit><Message>{SAYS}</Message></Postback>"),
        (BodyFormat.FORM, "EventType=CLICK_DIGEST&MessageId=msg_1&Clicks=4200&From=2026-03-01T12"),
    ],
)
def test_a_digest_comes_in_xml_and_as_a_form_too(body_format: BodyFormat, holds: str) -> None:
    request = prepared(CLICK_DIGEST, DIGESTED, method=Method.POST, body_format=body_format)
    assert holds in request.body.decode()
    assert all(name in request.body.decode() for name in DIGEST)


@pytest.mark.parametrize(
    "changes",
    [{"url": "https://a.example/?{Nothing}"}, {"method": Method.POST, "body": "{"}],
)
def test_what_cannot_be_compiled_raises(changes: dict[str, Any]) -> None:
    with pytest.raises(TemplateError):
        Renderer(dataclasses.replace(DRAFT, **changes))


def test_the_body_of_a_get_is_not_looked_at() -> None:
    assert prepared("CLICK", {}, body="{").body == b""
