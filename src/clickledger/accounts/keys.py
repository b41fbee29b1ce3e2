"""The secrets of a data folder: one file, four rings of keys, each rotated with overlap."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from clickledger import durable
from clickledger.clock import Micros, to_datetime, wall_clock
from clickledger.errors import ConflictError, CorruptedError, InvalidInputError, NotFoundError

_KEY_BYTES = 32


class Ring(StrEnum):
    """What a key is for; each purpose has keys of its own."""

    #: The check inside click ids.
    CLICK_ID = "click_id"
    #: The keyed hash of account tokens.
    TOKEN = "token"  # noqa: S105 - the name of a ring, not a secret
    #: The keyed hash that recognises a visitor without a cookie, and of exported addresses.
    VISITOR = "visitor"
    #: Signatures of download URLs.
    DOWNLOAD = "download"


#: How long a key still verifies after its successor was made. None: for ever, because a token
#: hash can only be made anew from the token, which is not kept. Click ids come back with
#: conversions: 400 days cover a year and its returns. A signed URL lives for minutes, and a
#: visitor's unique window is shorter than a day.
OVERLAP: dict[Ring, timedelta | None] = {
    Ring.CLICK_ID: timedelta(days=400),
    Ring.TOKEN: None,
    Ring.VISITOR: timedelta(days=1),
    Ring.DOWNLOAD: timedelta(days=1),
}


#: An aware instant, also when it comes out of the file.
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One secret and when it was in use; instants are aware UTC."""

    #: Names the key in listings; says nothing about the secret.
    id: str
    secret: bytes
    created: _Instant
    #: When its successor was made; None: it is the newest.
    retired: _Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyListing:
    """What may be shown of a key."""

    ring: Ring
    id: str
    created: datetime
    retired: datetime | None
    #: When it stops verifying; None: not while it is the newest, or never.
    verifies_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    rings: dict[Ring, list[Key]]
    version: Literal[1] = 1


class Keys:
    """The keys as the file had them when it was read.

    A running process keeps what it read: after a rotation, `serve` is to be restarted.
    """

    __slots__ = ("_clock", "_rings")

    def __init__(self, rings: dict[Ring, list[Key]], clock: Callable[[], Micros]) -> None:
        self._rings = rings
        self._clock = clock

    @classmethod
    def create(cls, path: Path, clock: Callable[[], Micros] = wall_clock) -> "Keys":
        """Make the file, mode 0600, with one new key on each ring.

        Raises:
            ConflictError: there is a file already; it is left as it is.
        """
        with durable.turn(path):
            if path.exists():
                raise ConflictError(f"{path} exists already")
            now = to_datetime(clock())
            rings = {ring: [_new_key(now)] for ring in Ring}
            _write(path, rings)
        return cls(rings, clock)

    @classmethod
    def load(cls, path: Path, clock: Callable[[], Micros] = wall_clock) -> "Keys":
        """Read the file.

        Raises:
            NotFoundError: there is none.
            CorruptedError: it is not a file of keys, or a ring has none.
        """
        return cls(_read(path), clock)

    def ring(self, name: str) -> tuple[bytes, ...]:
        """Return the secrets of a ring that verify now, newest first; the first one signs."""
        now = to_datetime(self._clock())
        ring = Ring(name)
        return tuple(key.secret for key in self._rings[ring] if _verifies(ring, key, now))

    def listing(self) -> list[KeyListing]:
        """Describe every key in the file, without its secret; newest first on each ring."""
        return [_describe(ring, key) for ring in Ring for key in self._rings[ring]]


def rotate(path: Path, ring: str, now: Micros) -> KeyListing:
    """Put a new key on a ring; keys whose overlap is over leave the file.

    The file is replaced as a whole, and two rotations at once both count.

    Raises:
        InvalidInputError: there is no such ring.
        NotFoundError, CorruptedError: as ``Keys.load``.
    """
    if ring not in set(Ring):
        raise InvalidInputError.of("ring", f"{ring!r} is none of {', '.join(Ring)}")
    chosen = Ring(ring)
    with durable.turn(path):
        rings = _read(path)
        rings[chosen] = rotated(chosen, rings[chosen], _new_key(to_datetime(now)))
        _write(path, rings)
    return _describe(chosen, rings[chosen][0])


def rotated(ring: Ring, keys: list[Key], new: Key) -> list[Key]:
    """Put ``new`` first, retire the key it follows, and leave out what no longer verifies."""
    newest, *older = keys
    kept = [replace(newest, retired=new.created), *older]
    return [new, *(key for key in kept if _verifies(ring, key, new.created))]


def _verifies(ring: Ring, key: Key, now: datetime) -> bool:
    until = _describe(ring, key).verifies_until
    return until is None or now < until


def _describe(ring: Ring, key: Key) -> KeyListing:
    overlap = OVERLAP[ring]
    until = None if key.retired is None or overlap is None else key.retired + overlap
    return KeyListing(
        ring=ring, id=key.id, created=key.created, retired=key.retired, verifies_until=until
    )


def _new_key(now: datetime) -> Key:
    return Key(id=secrets.token_hex(4), secret=secrets.token_bytes(_KEY_BYTES), created=now)


def _read(path: Path) -> dict[Ring, list[Key]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{path} is missing: the keys of this data folder") from None
    try:
        rings = msgspec.json.decode(content, type=_File).rings
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptedError(f"{path} is not a file of keys: {error}") from error
    for ring in Ring:
        keys = rings.get(ring, [])
        if not keys or any(len(key.secret) != _KEY_BYTES for key in keys):
            raise CorruptedError(f"{path} has no usable key on ring {ring}")
    return rings


def _write(path: Path, rings: dict[Ring, list[Key]]) -> None:
    content = msgspec.json.format(msgspec.json.encode(_File(rings=rings)), indent=2)
    durable.write(path, content + b"\n")
