"""What a link means, looked up in memory."""

import hashlib

import pytest

from clickledger.errors import CorruptedError
from clickledger.programs.directory import Directory, Records, Route
from clickledger.programs.model import Ad, Partner, Program, VanityLink


def program(number: int, brand: str) -> Program:
    return Program(
        id=number,
        advertiser_sid=brand,
        name=f"program {number}",
        time_zone="UTC",
        landing_page="https://shop.example/",
    )


#: Two brands: A with programs 1 and 2, B with program 3.
RECORDS = Records(
    version=5,
    programs=(program(1, "A"), program(2, "A"), program(3, "B")),
    partners=(
        Partner(id=10, sid="P10", advertiser_sid="A", name="ten"),
        Partner(id=20, sid="P20", advertiser_sid="B", name="twenty"),
    ),
    ads=(
        Ad(id=100, program_id=1, name="ad of 1", type="BANNER"),
        Ad(id=200, program_id=2, name="ad of 2", type="BANNER"),
        Ad(id=300, program_id=3, name="ad of 3", type="BANNER"),
    ),
    links=(
        VanityLink(path="/summer", program_id=1, partner_id=10, ad_id=100, deep_link="https://x/"),
        VanityLink(path="/foreign", program_id=1, partner_id=20, ad_id=100),
    ),
)


@pytest.mark.parametrize(
    ("media_id", "ad_id", "program_id", "reason"),
    [
        (10, 100, 99, "unknown_program"),
        (99, 100, 1, "unknown_partner"),
        (10, 999, 1, "unknown_ad"),
        # of another brand
        (20, 100, 1, "unknown_partner"),
        (10, 300, 3, "unknown_partner"),
        # of another program, of the same brand and of another
        (10, 200, 1, "unknown_ad"),
        (10, 300, 1, "unknown_ad"),
        (0, 0, 0, "unknown_program"),
        (10**15, 10**15, 10**15, "unknown_program"),
    ],
)
def test_a_link_that_means_nothing_says_why(
    media_id: int, ad_id: int, program_id: int, reason: str
) -> None:
    assert Directory(RECORDS).route(media_id, ad_id, program_id) == reason


def test_a_link_means_its_program_partner_and_ad() -> None:
    directory = Directory(RECORDS)
    expected = Route(RECORDS.programs[0], RECORDS.partners[0], RECORDS.ads[0], "")
    assert directory.route(10, 100, 1) == expected
    assert directory.route(10, 100, 1) is directory.route(10, 100, 1)


def test_a_vanity_path_means_a_link_with_its_deep_link() -> None:
    directory = Directory(RECORDS)
    expected = Route(RECORDS.programs[0], RECORDS.partners[0], RECORDS.ads[0], "https://x/")
    assert directory.vanity("/summer") == expected
    assert directory.vanity("/Summer") is None
    assert directory.vanity("/summer/") is None


def test_a_vanity_path_across_brands_means_nothing() -> None:
    assert Directory(RECORDS).vanity("/foreign") is None


def test_names_are_found_by_id() -> None:
    directory = Directory(RECORDS)
    assert directory.program(3) is RECORDS.programs[2]
    assert directory.partner(20) is RECORDS.partners[1]
    assert directory.ad(200) is RECORDS.ads[1]
    assert (directory.program(9), directory.partner(9), directory.ad(9)) == (None, None, None)


def test_links_kept_ready_do_not_grow_without_bound() -> None:
    partners = tuple(
        Partner(id=number, sid=f"P{number}", advertiser_sid="A", name="x")
        for number in range(1, 301)
    )
    ads = tuple(Ad(id=number, program_id=1, name="x", type="BANNER") for number in range(1, 301))
    directory = Directory(Records(programs=(program(1, "A"),), partners=partners, ads=ads))
    for partner in partners:
        for ad in ads:
            assert isinstance(directory.route(partner.id, ad.id, 1), Route)
    assert 0 < len(directory._routes) <= 65_536


def test_an_empty_directory_knows_no_link() -> None:
    directory = Directory(Records())
    assert directory.version == 0
    assert directory.route(1, 1, 1) == "unknown_program"
    assert directory.vanity("/x") is None


def test_a_snapshot_of_another_format_is_refused() -> None:
    content = bytearray(Directory(RECORDS).to_bytes())
    content[7] = 2
    with pytest.raises(CorruptedError, match="unknown format"):
        Directory.from_bytes(bytes(content))


@pytest.mark.parametrize("content", [b"", b"CLICKDY", b"\x00" * 100, b"SQLite format 3\x00" * 9])
def test_other_bytes_are_no_snapshot(content: bytes) -> None:
    with pytest.raises(CorruptedError):
        Directory.from_bytes(content)


@pytest.mark.parametrize("payload", [b"", b"\xc0", b"\x93\x01\x02\x03", b"\x81\xa7version\xa1x"])
def test_a_sealed_snapshot_of_other_content_is_refused(payload: bytes) -> None:
    """Its checksum is right: a fault of the program that wrote it, not of the disk."""
    header = b"CLICKDY\x01"
    content = header + hashlib.sha256(header + payload).digest() + payload
    with pytest.raises(CorruptedError, match="malformed"):
        Directory.from_bytes(content)
