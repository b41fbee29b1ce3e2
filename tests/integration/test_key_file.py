"""The file of secrets: made once, replaced as a whole, never half."""

import json
import threading
from pathlib import Path

import pytest

from clickledger.accounts.keys import Keys, Ring, rotate
from clickledger.clock import DAY, wall_clock
from clickledger.errors import ConflictError, CorruptedError, InvalidInputError, NotFoundError


def test_a_new_file_has_a_key_of_its_own_on_every_ring(tmp_path: Path) -> None:
    made = Keys.create(tmp_path / "keys.json")
    read = Keys.load(tmp_path / "keys.json")
    secrets = [read.ring(ring) for ring in Ring]
    assert [made.ring(ring) for ring in Ring] == secrets
    assert all(len(ring) == 1 and len(ring[0]) == 32 for ring in secrets)
    assert len(set(secrets)) == 4
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_an_existing_file_is_never_replaced_by_new_keys(tmp_path: Path) -> None:
    Keys.create(tmp_path / "keys.json")
    before = (tmp_path / "keys.json").read_bytes()
    with pytest.raises(ConflictError):
        Keys.create(tmp_path / "keys.json")
    assert (tmp_path / "keys.json").read_bytes() == before


@pytest.mark.parametrize(
    ("ring", "days"), [("click_id", 400), ("visitor", 1), ("download", 1), ("token", None)]
)
def test_a_rotation_overlaps(tmp_path: Path, ring: str, days: int | None) -> None:
    path = tmp_path / "keys.json"
    old = Keys.create(path).ring(ring)
    now = wall_clock()
    listing = rotate(path, ring, now)
    (new,) = set(Keys.load(path).ring(ring)) - set(old)
    assert Keys.load(path).ring(ring) == (new, *old)
    assert (listing.ring, listing.retired) == (ring, None)
    assert path.stat().st_mode & 0o777 == 0o600
    last = now + (days or 100_000) * DAY
    assert Keys.load(path, clock=lambda: last - 1).ring(ring) == (new, *old)
    assert Keys.load(path, clock=lambda: last).ring(ring) == ((new,) if days else (new, *old))
    others = [one for one in Ring if one != ring]
    assert all(len(Keys.load(path).ring(one)) == 1 for one in others)


def test_a_key_leaves_the_file_when_its_overlap_is_over(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    Keys.create(path)
    now = wall_clock()
    first = rotate(path, "download", now)
    rotate(path, "download", now + 2 * DAY)
    listed = [one.id for one in Keys.load(path).listing() if one.ring == "download"]
    assert len(listed) == 2
    assert listed[1] == first.id


def test_rotations_at_once_all_count(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    Keys.create(path)
    threads = [
        threading.Thread(target=rotate, args=(path, "token", wall_clock())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Keys.load(path).ring("token")) == 9


def test_an_unknown_ring_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    Keys.create(path)
    before = path.read_bytes()
    with pytest.raises(InvalidInputError, match="none of click_id, token, visitor, download"):
        rotate(path, "nosuch", wall_clock())
    assert path.read_bytes() == before


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="missing"):
        Keys.load(tmp_path / "keys.json")
    with pytest.raises(NotFoundError, match="missing"):
        rotate(tmp_path / "keys.json", "token", wall_clock())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"rings": {}}',
        b'{"version": 2, "rings": {}}',
        b'{"rings": {"click_id": [], "token": [], "visitor": [], "download": []}}',
    ],
)
def test_other_bytes_are_no_keys(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys.json").write_bytes(content)
    with pytest.raises(CorruptedError, match=r"keys\.json"):
        Keys.load(tmp_path / "keys.json")


@pytest.mark.parametrize(
    ("field", "value"), [("secret", "AAAA"), ("created", "2026-03-01T00:00:00"), ("secret", "?")]
)
def test_a_key_that_cannot_be_used_is_told(tmp_path: Path, field: str, value: str) -> None:
    path = tmp_path / "keys.json"
    Keys.create(path)
    content = json.loads(path.read_bytes())
    content["rings"]["visitor"][0][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(CorruptedError):
        Keys.load(path)
