"""The bytes of batches and marks: what is read, and what is refused."""

import msgspec
import pytest

from clickledger.errors import CorruptedError
from clickledger.spool import format as spool_format
from clickledger.spool import model
from clickledger.spool.format import Codec, Mark
from clickledger.testing.spools import click

CODEC = Codec("0190a1b2c3d4-0123456789abcdef")


def sealed(payload: bytes, sequence: int = 7) -> bytes:
    return CODEC.seal(
        payload,
        sequence=sequence,
        previous=5,
        clicks=3,
        first_received=11,
        last_received=13,
        low_water=17,
    )


def test_a_header_says_what_was_sealed() -> None:
    header = CODEC.read_header(sealed(b"payload"))

    assert (header.sequence, header.previous, header.clicks) == (7, 5, 3)
    assert (header.first_received, header.last_received, header.low_water) == (11, 13, 17)
    assert header.payload_bytes == len(b"payload")
    batch = CODEC.open(header, sealed(b"payload"), b"payload")
    assert (batch.payload, batch.checksum) == (b"payload", header.checksum)
    assert batch.spool_id == CODEC.spool_id


def test_the_first_bytes_name_the_format_and_its_version() -> None:
    """What is on disks must stay readable: these bytes change only with the version."""
    assert sealed(b"payload").hex() == (
        "434c4b42" "01" "000000" "0000000000000007" "0000000000000005" "00000003" "00000007"
        "000000000000000b" "000000000000000d" "0000000000000011"
        "9d817513e3958aa849a92b524acd8614" "64da5118010147bb"
    )  # fmt: skip


def test_a_batch_is_believed_only_in_its_own_spool() -> None:
    with pytest.raises(CorruptedError, match="checksum does not match"):
        Codec("another").read_header(sealed(b"payload"))


def test_a_length_is_checked_before_anything_else() -> None:
    with pytest.raises(CorruptedError, match="header of 79 bytes"):
        CODEC.read_header(sealed(b"x")[:-1])
    header = CODEC.read_header(sealed(b"payload"))
    with pytest.raises(CorruptedError, match="payload of 8 bytes, not 7"):
        CODEC.open(header, sealed(b"payload"), b"payload!")


def test_a_mark_is_read_or_is_none() -> None:
    raw = CODEC.seal_mark(Mark(low_water=123, last_sequence=45))
    assert len(raw) == spool_format.MARK_BYTES
    assert CODEC.read_mark(raw) == Mark(low_water=123, last_sequence=45)
    newer = CODEC.seal_mark(Mark(low_water=124, last_sequence=46))
    assert CODEC.read_mark(raw[:16] + newer[16:]) is None
    assert CODEC.read_mark(b"") is None
    assert Codec("another").read_mark(raw) is None


def test_a_payload_can_be_taken_apart_click_by_click() -> None:
    clicks = [click(1), click(2)]
    payload = spool_format.encode_clicks(clicks)

    parts = spool_format.split(payload)

    assert [spool_format.decode_click(part) for part in parts] == clicks
    assert spool_format.decode_clicks(payload) == clicks


def test_one_bad_click_is_found_alone() -> None:
    good = msgspec.msgpack.encode(click(1))
    payload = b"\x92" + good + b"\x93\x01\x02\x03"

    with pytest.raises(CorruptedError, match="payload cannot be decoded"):
        spool_format.decode_clicks(payload)
    first, second = spool_format.split(payload)
    assert spool_format.decode_click(first) == click(1)
    with pytest.raises(CorruptedError, match="click cannot be decoded"):
        spool_format.decode_click(second)
    with pytest.raises(CorruptedError, match="cannot be split"):
        spool_format.split(b"\x92\x01")


def test_text_that_is_none_is_corrupted_and_not_a_crash() -> None:
    raw = msgspec.msgpack.encode(click(1)).replace(b"198.51.100.7", b"198.51.100.\xff")
    with pytest.raises(CorruptedError):
        spool_format.decode_click(raw)
    with pytest.raises(CorruptedError):
        spool_format.decode_clicks(b"\x91" + raw)


def test_an_older_click_without_the_newest_fields_still_decodes() -> None:
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(click(1)))
    required = len(model.Click.__struct_fields__) - len(model.Click.__struct_defaults__)

    assert spool_format.decode_click(msgspec.msgpack.encode(fields[:required])) == click(1)


def test_a_newer_click_with_a_field_more_still_decodes() -> None:
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(click(1)))
    assert spool_format.decode_click(msgspec.msgpack.encode([*fields, "new"])) == click(1)


def test_impossible_text_becomes_the_replacement_character() -> None:
    odd = click(1, landing_url="https://x/\ud800y", reasons=("bad\udfff",))
    (found,) = spool_format.decode_clicks(spool_format.encode_clicks([odd]))
    assert found.landing_url == "https://x/�y"
    assert found.reasons == ("bad�",)


def test_the_largest_click_fits_the_limit() -> None:
    largest = click(
        1,
        path=bytes(model.PATH_CAP),
        query=bytes(model.QUERY_CAP),
        user_agent=bytes(model.USER_AGENT_CAP),
        referrer=bytes(model.REFERRER_CAP),
        landing_url="x" * model.URL_CAP,
        sec_fetch_site=bytes(model.HEADER_CAP),
        sec_fetch_mode=bytes(model.HEADER_CAP),
        sec_fetch_dest=bytes(model.HEADER_CAP),
        sec_fetch_user=bytes(model.HEADER_CAP),
        gpc=bytes(model.HEADER_CAP),
        accept_language=bytes(model.HEADER_CAP),
    )
    assert len(spool_format.encode_clicks([largest])) < spool_format.MAX_CLICK_BYTES
