"""Who asks: the client's address through listed proxies, the profile its cookie carries. Pure."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

#: First-party cookie on the tracking domain; its value is the ProfileId.
PROFILE_COOKIE = "clickledger_profile"
#: 365 days, in seconds (impact-api 5.6).
PROFILE_COOKIE_AGE = 365 * 24 * 60 * 60

_PROFILE = re.compile(
    rb"(?:^|;)\s*clickledger_profile="
    rb"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\s*(?:;|$)"
)


def carried_profile(cookie: bytes) -> str:
    """Return the profile that a Cookie header carries; empty when none, or not one of ours."""
    match = _PROFILE.search(cookie)
    return match[1].decode("ascii") if match else ""


def profile_cookie(profile_id: str, *, secure: bool) -> str:
    """Return the Set-Cookie value that keeps a profile for a year."""
    return (
        f"{PROFILE_COOKIE}={profile_id}; Max-Age={PROFILE_COOKIE_AGE}; Path=/; HttpOnly; "
        f"SameSite=Lax{'; Secure' if secure else ''}"
    )


class TrustedProxies:
    """The proxies an operator listed; only they may say who the client is."""

    __slots__ = ("_networks", "_seen")

    #: Peers remembered; proxies are few, so the limit only matters where there are none.
    _REMEMBERED = 4096

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)
        self._seen: dict[str, bool] = {}

    def __bool__(self) -> bool:
        """Whether any proxy is listed."""
        return bool(self._networks)

    def trusts(self, address: str) -> bool:
        """Tell whether ``address`` is a listed proxy."""
        known = self._seen.get(address)
        if known is None:
            if len(self._seen) >= self._REMEMBERED:
                self._seen.clear()
            parsed = canonical_address(address)
            known = bool(parsed) and any(ip_address(parsed) in net for net in self._networks)
            self._seen[address] = known
        return known

    def client(self, peer: str, forwarded_for: bytes) -> str:
        """Return the client's address: the last one in the chain that is not a listed proxy.

        ``forwarded_for``: the values of all X-Forwarded-For headers, joined with commas. An
        entry that is not an address ends the chain: what is left of it may be forged.
        """
        address = peer
        for hop in reversed(forwarded_for.decode("latin-1").split(",")):
            if not self.trusts(address):
                break
            parsed = canonical_address(hop.strip())
            if not parsed:
                break
            address = parsed
        return address


def canonical_address(text: str) -> str:
    """Return an IP address in canonical form (IPv4-mapped as IPv4), or "" when it is none."""
    try:
        parsed = ip_address(text)
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(parsed)
