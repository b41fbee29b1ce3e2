"""The snapshot of the directory: what comes back is what went in, or a refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickledger.errors import CorruptedError
from clickledger.programs.directory import Directory, Records
from clickledger.programs.model import AD_TYPES, Ad, Partner, Program, VanityLink

IDS = st.integers(1, 2**31 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
RECORDS = st.builds(
    Records,
    version=st.integers(0, 2**31 - 1),
    programs=st.lists(
        st.builds(
            Program,
            id=IDS,
            advertiser_sid=TEXTS,
            name=TEXTS,
            time_zone=TEXTS,
            landing_page=TEXTS,
            deep_link_domains=st.lists(TEXTS, max_size=3).map(tuple),
            click_id_param=TEXTS,
            partner_template=TEXTS,
            program_template=TEXTS,
            hide_sub_ids=st.booleans(),
        ),
        max_size=4,
    ).map(tuple),
    partners=st.lists(
        st.builds(Partner, id=IDS, sid=TEXTS, advertiser_sid=TEXTS, name=TEXTS), max_size=4
    ).map(tuple),
    ads=st.lists(
        st.builds(
            Ad,
            id=IDS,
            program_id=IDS,
            name=TEXTS,
            type=st.sampled_from(AD_TYPES),
            landing_page=TEXTS,
        ),
        max_size=4,
    ).map(tuple),
    links=st.lists(
        st.builds(
            VanityLink, path=TEXTS, program_id=IDS, partner_id=IDS, ad_id=IDS, deep_link=TEXTS
        ),
        max_size=4,
    ).map(tuple),
)


@given(RECORDS)
def test_a_snapshot_reads_back_as_it_was_written(records: Records) -> None:
    content = Directory(records).to_bytes()
    assert Directory.from_bytes(content).records == records
    assert Directory.from_bytes(content).to_bytes() == content


@given(RECORDS, st.data())
def test_a_flipped_bit_is_detected(records: Records, data: st.DataObject) -> None:
    content = bytearray(Directory(records).to_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CorruptedError):
        Directory.from_bytes(bytes(content))


@given(RECORDS, st.binary(min_size=1, max_size=8))
def test_added_bytes_are_detected(records: Records, more: bytes) -> None:
    with pytest.raises(CorruptedError):
        Directory.from_bytes(Directory(records).to_bytes() + more)


@given(RECORDS.filter(lambda records: len(records.programs) < 2))
def test_every_truncation_is_detected(records: Records) -> None:
    content = Directory(records).to_bytes()
    for length in range(len(content)):
        with pytest.raises(CorruptedError):
            Directory.from_bytes(content[:length])


def test_every_flip_of_every_byte_is_detected() -> None:
    content = Directory(Records(version=3, ads=(Ad(id=1, program_id=1, name="a", type="b"),)))
    original = content.to_bytes()
    for position in range(len(original)):
        for mask in (0x01, 0x80, 0xFF):
            flipped = bytearray(original)
            flipped[position] ^= mask
            with pytest.raises(CorruptedError):
                Directory.from_bytes(bytes(flipped))
