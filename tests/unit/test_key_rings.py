"""Which keys verify, and for how long; no file is touched."""

from datetime import UTC, datetime, timedelta

import pytest

from clickledger.accounts.keys import Key, Keys, Ring, rotated
from clickledger.clock import to_micros

START = datetime(2026, 3, 1, tzinfo=UTC)
LITTLE = timedelta(microseconds=1)


def key(name: str, created: datetime, retired: datetime | None = None) -> Key:
    return Key(id=name, secret=name.encode() * 8, created=created, retired=retired)


def verifying(ring: Ring, keys: list[Key], now: datetime) -> list[bytes]:
    rings = {one: [key("else", START)] for one in Ring} | {ring: keys}
    return [secret[:4] for secret in Keys(rings, clock=lambda: to_micros(now)).ring(ring)]


@pytest.mark.parametrize(
    ("ring", "overlap"),
    [
        (Ring.CLICK_ID, timedelta(days=400)),
        (Ring.VISITOR, timedelta(days=1)),
        (Ring.DOWNLOAD, timedelta(days=1)),
    ],
)
def test_a_followed_key_verifies_until_its_overlap_is_over(ring: Ring, overlap: timedelta) -> None:
    later = START + timedelta(days=30)
    keys = rotated(ring, [key("old1", START)], key("new1", later))
    assert verifying(ring, keys, later) == [b"new1", b"old1"]
    assert verifying(ring, keys, later + overlap - LITTLE) == [b"new1", b"old1"]
    assert verifying(ring, keys, later + overlap) == [b"new1"]


def test_token_keys_verify_for_ever() -> None:
    keys = [key("key1", START)]
    for number in range(2, 5):
        keys = rotated(Ring.TOKEN, keys, key(f"key{number}", START + timedelta(days=number)))
    century = START + timedelta(days=36_500)
    assert verifying(Ring.TOKEN, keys, century) == [b"key4", b"key3", b"key2", b"key1"]


def test_a_rotation_drops_the_keys_whose_overlap_is_over() -> None:
    keys = [key("key1", START)]
    keys = rotated(Ring.DOWNLOAD, keys, key("key2", START + timedelta(hours=1)))
    keys = rotated(Ring.DOWNLOAD, keys, key("key3", START + timedelta(hours=2)))
    assert [one.id for one in keys] == ["key3", "key2", "key1"]
    keys = rotated(Ring.DOWNLOAD, keys, key("key4", START + timedelta(hours=26)))
    assert [one.id for one in keys] == ["key4", "key3"]


def test_a_rotation_keeps_the_instant_at_which_an_older_key_was_followed() -> None:
    keys = rotated(Ring.CLICK_ID, [key("key1", START)], key("key2", START + LITTLE))
    keys = rotated(Ring.CLICK_ID, keys, key("key3", START + 2 * LITTLE))
    assert [one.retired for one in keys] == [None, START + 2 * LITTLE, START + LITTLE]


def test_a_ring_is_named_by_its_word() -> None:
    rings = {ring: [key("key1", START)] for ring in Ring}
    keys = Keys(rings, clock=lambda: to_micros(START))
    assert keys.ring("click_id") == keys.ring(Ring.CLICK_ID) == (b"key1" * 8,)
    with pytest.raises(ValueError, match="nosuch"):
        keys.ring("nosuch")


def test_a_listing_shows_no_secret() -> None:
    rings = {ring: [key("key2", START), key("key1", START, START)] for ring in Ring}
    listing = Keys(rings, clock=lambda: to_micros(START)).listing()
    assert len(listing) == 8
    assert all(
        not isinstance(getattr(one, name), bytes) for one in listing for name in one.__slots__
    )
    assert listing[0].verifies_until is None
    assert listing[1].verifies_until == START + timedelta(days=400)
