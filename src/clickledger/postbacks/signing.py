"""Signatures by Standard Webhooks 1.0.0, for POST and for GET. Pure but for new secrets."""

import base64
import binascii
import dataclasses
import secrets as random
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

from clickledger.postbacks.model import Method, Prepared

PREFIX = "whsec_"
_NEW_BYTES = 32
_LEAST_BYTES, _MOST_BYTES = 24, 64


def new_secret() -> str:
    """Make a secret: ``whsec_`` and the base64 of 32 random bytes."""
    return PREFIX + base64.b64encode(random.token_bytes(_NEW_BYTES)).decode("ascii")


def check_secret(text: str) -> str:
    """Say in a sentence what is wrong with a secret; nothing: it may be used."""
    if not text.startswith(PREFIX):
        return f"must start with {PREFIX}"
    try:
        size = len(base64.b64decode(text.removeprefix(PREFIX).encode(), validate=True))
    except (binascii.Error, ValueError):
        return f"must be {PREFIX} and base64, with its padding"
    if not _LEAST_BYTES <= size <= _MOST_BYTES:
        return f"holds {size} bytes; must hold {_LEAST_BYTES} to {_MOST_BYTES}"
    return ""


def sign(prepared: Prepared, secrets: Sequence[str], message_id: str, at: datetime) -> Prepared:
    """Return the request with its three signature headers.

    A POST is signed over the exact bytes of its body, a GET over its target (path and query
    exactly as sent) in the body's place: one signature for each secret, in their order.

    ``at`` is aware; the second it lies in is the timestamp.
    """
    moment = at.astimezone(UTC)
    content = prepared.body.decode() if prepared.method is Method.POST else prepared.target
    signatures = (Webhook(secret).sign(message_id, moment, content) for secret in secrets)
    return dataclasses.replace(
        prepared,
        headers=(
            *prepared.headers,
            ("webhook-id", message_id),
            ("webhook-timestamp", str(int(moment.timestamp()))),
            ("webhook-signature", " ".join(signatures)),
        ),
    )
