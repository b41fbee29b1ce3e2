"""Click ids are recognised without a look-up; forged and foreign ones are not."""

import re
from uuid import UUID

import pytest

from clickledger.ids import (
    CLICK_ID_CHARS,
    ClickIds,
    click_time_ms,
    new_account_sid,
    new_profile_id,
    new_spool_id,
    new_token,
)

IDS = ClickIds([b"new" * 10, b"old" * 10])


def test_a_minted_id_is_genuine_for_its_program_only() -> None:
    click_id = IDS.minter(7).mint(1_700_000_000_123_456)
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", click_id)
    assert len(click_id) == CLICK_ID_CHARS
    assert click_time_ms(click_id) == 1_700_000_000_123
    assert IDS.genuine(click_id, 7)
    assert not IDS.genuine(click_id, 8)


def test_an_id_of_a_former_key_stays_genuine() -> None:
    former = ClickIds([b"old" * 10])
    assert IDS.genuine(former.minter(7).mint(1), 7)
    assert not former.genuine(IDS.minter(7).mint(1), 7)


def test_every_changed_character_is_noticed() -> None:
    click_id = IDS.minter(7).mint(1_700_000_000_000_000)
    for place, letter in enumerate(click_id):
        other = "A" if letter != "A" else "B"
        assert not IDS.genuine(click_id[:place] + other + click_id[place + 1 :], 7)


@pytest.mark.parametrize("text", ["", "x", "a" * 31, "a" * 33, "a" * 31 + "=", "é" * 32])
def test_malformed_ids_are_not_genuine(text: str) -> None:
    assert not IDS.genuine(text, 7)


def test_ids_differ_and_have_their_shapes() -> None:
    assert len({IDS.minter(1).mint(1) for _ in range(1000)}) == 1000
    assert UUID(new_profile_id()).version == 4
    assert re.fullmatch(r"IR[A-Za-z0-9]{32}", new_account_sid())
    assert len(new_token()) == 43
    assert new_spool_id() != new_spool_id()
