"""Signatures: what the reference library verifies, for POST and for GET."""

import base64
import dataclasses
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from clickledger.postbacks import signing
from clickledger.postbacks.model import Method, Prepared

ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the examples only

POST = Prepared(
    method=Method.POST,
    scheme="https",
    host="a.example",
    port=443,
    target="/p?x=1",
    headers=(("User-Agent", "u"),),
    body='{"test": 2432232314, "ü": null}'.encode(),
)
GET = dataclasses.replace(POST, method=Method.GET, target="/p?a=%C3%BC&b=+", body=b"")


def headers(prepared: Prepared) -> dict[str, str]:
    return dict(prepared.headers)


def test_the_published_example_gets_the_published_signature() -> None:
    """The vector that the reference implementations of Standard Webhooks test themselves with."""
    example = dataclasses.replace(POST, body=b'{"test": 2432232314}')
    at = datetime.fromtimestamp(1614265330, tz=UTC)
    signed = signing.sign(example, (SECRET,), "msg_p5jXN8AQM9LWM0D4loKWxJek", at)
    assert headers(signed) == {
        "User-Agent": "u",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(("prepared", "content"), [(POST, POST.body), (GET, GET.target)])
def test_the_reference_library_verifies_what_was_sent(
    prepared: Prepared, content: str | bytes
) -> None:
    secret = signing.new_secret()
    signed = signing.sign(prepared, (secret,), ID, datetime.now(UTC))
    Webhook(secret).verify(content, headers(signed), json_parse=False)
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(secret).verify(content[:-1], headers(signed), json_parse=False)


def test_only_headers_are_added() -> None:
    signed = signing.sign(POST, (SECRET,), ID, datetime.now(UTC))
    assert signed.headers[:1] == POST.headers
    assert dataclasses.replace(signed, headers=POST.headers) == POST


def test_a_get_is_signed_over_its_target_and_a_post_over_its_body() -> None:
    now = datetime.now(UTC)
    for prepared, moves in ((POST, False), (GET, True)):
        first = signing.sign(prepared, (SECRET,), ID, now)
        second = signing.sign(dataclasses.replace(prepared, target="/other"), (SECRET,), ID, now)
        changed = headers(first)["webhook-signature"] != headers(second)["webhook-signature"]
        assert changed is moves


def test_during_a_rotation_either_secret_verifies() -> None:
    secrets = (signing.new_secret(), signing.new_secret())
    signed = headers(signing.sign(POST, secrets, ID, datetime.now(UTC)))
    assert len(signed["webhook-signature"].split(" ")) == 2
    for secret in secrets:
        Webhook(secret).verify(POST.body, signed, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(POST.body, signed, json_parse=False)


@pytest.mark.parametrize(
    ("at", "timestamp"),
    [
        (datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC), "1772366400"),
        (datetime(2026, 3, 1, 13, 0, tzinfo=timezone(timedelta(hours=1))), "1772366400"),
    ],
)
def test_the_timestamp_is_the_second_in_utc_and_is_what_is_signed(
    at: datetime, timestamp: str
) -> None:
    signed = headers(signing.sign(POST, (SECRET,), ID, at))
    second = datetime.fromtimestamp(int(timestamp), tz=UTC)
    assert signed["webhook-timestamp"] == timestamp
    assert signed["webhook-signature"] == Webhook(SECRET).sign(ID, second, POST.body.decode())


def test_a_new_secret_is_32_random_bytes_and_may_be_used() -> None:
    first, second = signing.new_secret(), signing.new_secret()
    assert first != second
    assert len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == 32
    assert signing.check_secret(first) == ""


@pytest.mark.parametrize("size", [24, 25, 26, 64])
def test_a_secret_of_24_to_64_bytes_may_be_used(size: int) -> None:
    assert signing.check_secret("whsec_" + base64.b64encode(bytes(size)).decode()) == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must start with whsec_"),
        ("WHSEC_" + base64.b64encode(bytes(32)).decode(), "must start with whsec_"),
        (base64.b64encode(bytes(32)).decode(), "must start with whsec_"),
        ("whsec_", "holds 0 bytes"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "holds 23 bytes; must hold 24 to 64"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "holds 65 bytes"),
        ("whsec_" + base64.b64encode(bytes(32)).decode().rstrip("="), "with its padding"),
        ("whsec_" + base64.urlsafe_b64encode(b"\xff" * 32).decode(), "base64"),
        ("whsec_ü" + base64.b64encode(bytes(32)).decode(), "base64"),
        ("whsec_" + base64.b64encode(bytes(32)).decode() + "\n", "base64"),
    ],
)
def test_another_secret_is_refused_with_a_sentence(text: str, says: str) -> None:
    assert says in signing.check_secret(text)
