"""Names and time zones of accounts and programs."""

import pytest

from clickledger.accounts import rules
from clickledger.errors import InvalidInputError


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/GMT+5"])
def test_a_time_zone_is_an_iana_name(zone: str) -> None:
    assert rules.time_zone("field", zone) == zone


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin?"),
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("New_York", "is not an IANA time zone"),
        ("", "such as Europe/Berlin or UTC"),
        ("+02:00", "is not an IANA time zone"),
        ("../../etc/passwd", "is not an IANA time zone"),
        ("posix/Europe/Berlin", "is not an IANA time zone"),
    ],
)
def test_any_other_text_is_no_time_zone(text: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        rules.time_zone("zone", text)
    assert caught.value.fields[0].field == "zone"
    assert says in caught.value.fields[0].message


@pytest.mark.parametrize(
    ("text", "stored"),
    [("Shop", "Shop"), ("  Shop & Söhne 🛒 ", "Shop & Söhne 🛒"), ("x" * 255,) * 2],
)
def test_a_name_is_one_line_of_text(text: str, stored: str) -> None:
    assert rules.name("field", text) == stored


@pytest.mark.parametrize("text", ["", "   ", "a\nb", "a\x00b", "a\u2028b", "a\udcffb", "x" * 256])
def test_a_name_that_cannot_be_shown_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        rules.name("field", text)
    assert caught.value.fields[0].field == "field"
