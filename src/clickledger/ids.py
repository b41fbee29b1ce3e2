"""Identifiers: account SIDs, tokens, jobs, spools, and the click id with its keyed check."""

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import string
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

_ALPHANUMERIC = string.ascii_letters + string.digits
_SID_RANDOM_CHARS = 32  # "IR" + 32: the 34 characters seen in the wild (impact-api 0.2)
_MESSAGE_RANDOM_BYTES = 15  # 24 characters of base32, no padding

#: Bytes of a click id: 6 time (ms, big endian), 12 random (96 bits), 6 keyed check (48 bits).
_TIME, _RANDOM, _CHECK = 6, 12, 6
_SIGNED = _TIME + _RANDOM
#: Characters of a click id: 24 bytes in base64url, no padding.
CLICK_ID_CHARS = 32
_STOCK = 256
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_CLICK_ID = re.compile(r"[A-Za-z0-9_-]{32}")


def new_account_sid() -> str:
    """Make an account SID: ``IR`` and 32 letters and digits."""
    return "IR" + "".join(secrets.choice(_ALPHANUMERIC) for _ in range(_SID_RANDOM_CHARS))


def new_token() -> str:
    """Make an account token: 256 random bits in base64url, 43 characters."""
    return secrets.token_urlsafe(32)


def new_job_id() -> str:
    """Make a job id: a lower-case UUID, as the wire shows it."""
    return str(uuid.uuid4())


def new_notification_id() -> str:
    """Make an id of a notification: a lower-case UUID."""
    return str(uuid.uuid4())


def new_message_id() -> str:
    """Make a ``webhook-id``: ``msg_`` and 24 letters and digits, 120 random bits."""
    return "msg_" + base64.b32encode(os.urandom(_MESSAGE_RANDOM_BYTES)).decode("ascii").lower()


def new_spool_id() -> str:
    """Make a spool id: time first, so that a listing is in order of age; never used again."""
    return f"{time.time_ns() // 1_000_000:012x}-{secrets.token_hex(8)}"


def new_profile_id() -> str:
    """Make a visitor's profile id: a UUID."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True)
class ClickIds:
    """Mints click ids for one data folder and recognises genuine ones without a look-up.

    ``keys``: secrets, newest first. The first signs; all verify, so a rotation overlaps.
    A click id names a journey of one program: the check covers the program id as well.
    """

    keys: Sequence[bytes]

    def minter(self, program_id: int) -> "ClickIdMinter":
        """Prepare the minting of ids for one program (the keyed state is computed once)."""
        return ClickIdMinter(_keyed(self.keys[0], program_id))

    def genuine(self, click_id: str, program_id: int) -> bool:
        """Tell whether this folder minted ``click_id`` for ``program_id``; constant time."""
        if not _CLICK_ID.fullmatch(click_id):
            return False
        raw = base64.urlsafe_b64decode(click_id)
        found = False
        for key in self.keys:
            check = _keyed(key, program_id)
            check.update(raw[:_SIGNED])
            found |= hmac.compare_digest(check.digest(), raw[_SIGNED:])
        return found


class ClickIdMinter:
    """Mints click ids for one program; for use by one thread."""

    __slots__ = ("_state", "_stock")

    def __init__(self, state: "hashlib.blake2b") -> None:
        self._state = state
        self._stock: list[bytes] = []

    def mint(self, received_micros: int) -> str:
        """Make one click id: 32 characters of ``[A-Za-z0-9_-]``, time first."""
        if not self._stock:
            self._stock = _random_pieces()
        signed = (received_micros // 1000).to_bytes(_TIME, "big") + self._stock.pop()
        check = self._state.copy()
        check.update(signed)
        text = binascii.b2a_base64(signed + check.digest(), newline=False)
        return text.translate(_URL_SAFE).decode("ascii")


def _random_pieces() -> list[bytes]:
    """Draw randomness for many ids at once: the system call costs as much as the rest of one."""
    drawn = os.urandom(_RANDOM * _STOCK)
    return [drawn[at : at + _RANDOM] for at in range(0, len(drawn), _RANDOM)]


def click_time_ms(click_id: str) -> int:
    """Read the time part of a well-formed click id: UTC milliseconds."""
    return int.from_bytes(base64.urlsafe_b64decode(click_id)[:_TIME], "big")


def _keyed(key: bytes, program_id: int) -> "hashlib.blake2b":
    return hashlib.blake2b(
        program_id.to_bytes(8, "big"), key=key, digest_size=_CHECK, person=b"clickledger-id"
    )
