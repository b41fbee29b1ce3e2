"""Who asks: only listed proxies may say so, and only our own cookie counts."""

from ipaddress import ip_network

import pytest

from clickledger.collector.visitor import (
    TrustedProxies,
    canonical_address,
    carried_profile,
    profile_cookie,
)

PROXIES = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])
PROFILE = "01234567-89ab-4def-8123-0123456789ab"

CHAINS = [
    ("stranger's header is not believed", "203.0.113.9", b"1.2.3.4", "203.0.113.9"),
    ("one proxy", "10.0.0.1", b"198.51.100.7", "198.51.100.7"),
    ("two proxies", "10.0.0.1", b"198.51.100.7, 10.9.9.9", "198.51.100.7"),
    ("forged left part is ignored", "10.0.0.1", b"6.6.6.6, 198.51.100.7", "198.51.100.7"),
    ("only proxies", "10.0.0.1", b"10.0.0.2", "10.0.0.2"),
    ("no header", "10.0.0.1", b"", "10.0.0.1"),
    ("garbage ends the chain", "10.0.0.1", b"1.2.3.4, banana", "10.0.0.1"),
    ("garbage behind a proxy", "10.0.0.1", b"x, 10.0.0.3", "10.0.0.3"),
    ("IPv6", "fd00::1", b"2001:DB8::1", "2001:db8::1"),
    ("mapped IPv4", "10.0.0.1", b"::ffff:198.51.100.7", "198.51.100.7"),
]


@pytest.mark.parametrize(
    ("peer", "header", "client"), [c[1:] for c in CHAINS], ids=[c[0] for c in CHAINS]
)
def test_client_address(peer: str, header: bytes, client: str) -> None:
    assert PROXIES.client(peer, header) == client


def test_no_proxies_trust_nobody() -> None:
    none = TrustedProxies([])
    assert not none
    assert not none.trusts("127.0.0.1")


def test_trust_is_remembered_within_bounds() -> None:
    for number in range(5000):
        assert not PROXIES.trusts(f"192.0.{number // 250}.{number % 250}")
    assert PROXIES.trusts("10.1.2.3")
    assert not PROXIES.trusts("not an address")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("1.2.3.4", "1.2.3.4"), ("::FFFF:1.2.3.4", "1.2.3.4"), ("2001:DB8:0::1", "2001:db8::1")],
)
def test_canonical_address(text: str, canonical: str) -> None:
    assert canonical_address(text) == canonical


@pytest.mark.parametrize("text", ["", "banana", "1.2.3", "1.2.3.4:80", "[::1]"])
def test_not_an_address(text: str) -> None:
    assert canonical_address(text) == ""


COOKIES = [
    ("alone", f"clickledger_profile={PROFILE}", PROFILE),
    ("among others", f"a=1; clickledger_profile={PROFILE}; b=2", PROFILE),
    ("none", "a=1; b=2", ""),
    ("another's name ends alike", f"xclickledger_profile={PROFILE}", ""),
    ("not a profile", "clickledger_profile=banana", ""),
    ("upper case is not ours", f"clickledger_profile={PROFILE.upper()}", ""),
    ("longer", f"clickledger_profile={PROFILE}0", ""),
]


@pytest.mark.parametrize(
    ("cookie", "profile"), [c[1:] for c in COOKIES], ids=[c[0] for c in COOKIES]
)
def test_carried_profile(cookie: str, profile: str) -> None:
    assert carried_profile(cookie.encode()) == profile


def test_profile_cookie() -> None:
    plain = profile_cookie(PROFILE, secure=False)
    assert plain == (
        f"clickledger_profile={PROFILE}; Max-Age=31536000; Path=/; HttpOnly; SameSite=Lax"
    )
    assert profile_cookie(PROFILE, secure=True) == f"{plain}; Secure"
    assert carried_profile(plain.encode()) == PROFILE
