"""The format under arbitrary input: what goes in comes out, and no change goes unnoticed."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickledger.errors import CorruptedError
from clickledger.spool import format as spool_format
from clickledger.spool.format import Codec, Mark
from clickledger.spool.model import Batch, Click

INSTANTS = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.integers(0, 2**63 - 1)
CODEC = Codec("0190a1b2c3d4-0123456789abcdef")


@st.composite
def clicks(draw: st.DrawFn) -> Click:
    text = st.text(max_size=40)
    raw = st.binary(max_size=60)
    values: dict[str, Any] = {
        "received": draw(INSTANTS),
        "program_id": draw(NUMBERS),
        "media_id": draw(NUMBERS),
        "ad_id": draw(NUMBERS),
        "profile_carried": draw(st.booleans()),
        "reasons": tuple(draw(st.lists(text, max_size=3))),
    }
    values |= {name: draw(text) for name in ("click_id", "address", "profile_id", "landing_url")}
    values |= {name: draw(raw) for name in Click.__struct_fields__ if name not in values}
    return Click(**values)


@st.composite
def batches(draw: st.DrawFn) -> tuple[int, bytes, bytes, list[Click]]:
    content = draw(st.lists(clicks(), min_size=1, max_size=4))
    payload = spool_format.encode_clicks(content)
    sequence = draw(st.integers(1, 2**63 - 1))
    header = CODEC.seal(
        payload,
        sequence=sequence,
        previous=draw(st.integers(0, sequence - 1)),
        clicks=len(content),
        first_received=min(click.received for click in content),
        last_received=max(click.received for click in content),
        low_water=draw(INSTANTS),
    )
    return sequence, header, payload, content


def opened(header: bytes, payload: bytes) -> Batch:
    return CODEC.open(CODEC.read_header(header), header, payload)


@given(batches())
def test_what_goes_in_comes_out(stored: tuple[int, bytes, bytes, list[Click]]) -> None:
    sequence, header, payload, content = stored
    batch = opened(header, payload)

    assert batch.sequence == sequence
    assert batch.clicks == len(content)
    assert spool_format.decode_clicks(batch.payload) == content
    parts = spool_format.split(batch.payload)
    assert [spool_format.decode_click(part) for part in parts] == content


@given(batches(), st.data())
def test_every_flipped_bit_is_noticed(
    stored: tuple[int, bytes, bytes, list[Click]], data: st.DataObject
) -> None:
    _, header, payload, _ = stored
    raw = bytearray(header + payload)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(CorruptedError):
        opened(bytes(raw[: len(header)]), bytes(raw[len(header) :]))


def test_every_flipped_bit_and_every_cut_of_one_batch_is_noticed() -> None:
    payload = b"a small payload"
    header = CODEC.seal(
        payload,
        sequence=7,
        previous=6,
        clicks=1,
        first_received=1,
        last_received=2,
        low_water=3,
    )
    whole = header + payload
    changed = [
        whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :]
        for at in range(len(whole))
        for bit in range(8)
    ]
    cut = [whole[:size] for size in range(len(whole))]
    for raw in [*changed, *cut, whole + b"\0"]:
        with pytest.raises(CorruptedError):
            opened(raw[: len(header)], raw[len(header) :])


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_no_bytes_crash_the_reader(header: bytes, payload: bytes) -> None:
    with pytest.raises(CorruptedError):
        CODEC.read_header(header)
    assert CODEC.read_mark(header) is None
    for read in (spool_format.decode_clicks, spool_format.split, spool_format.decode_click):
        with suppress(CorruptedError):
            read(payload)


@given(INSTANTS, NUMBERS, st.data())
def test_a_mark_comes_back_and_half_of_another_does_not(
    low_water: int, last_sequence: int, data: st.DataObject
) -> None:
    mark = Mark(low_water=low_water, last_sequence=last_sequence)
    raw = CODEC.seal_mark(mark)
    assert CODEC.read_mark(raw) == mark
    other = CODEC.seal_mark(Mark(low_water=data.draw(INSTANTS), last_sequence=0))
    mixed = raw[: (at := data.draw(st.integers(1, 31)))] + other[at:]
    if mixed not in (raw, other):
        assert CODEC.read_mark(mixed) is None
