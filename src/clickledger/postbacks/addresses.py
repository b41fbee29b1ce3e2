"""Which addresses a postback may call: public ones, and what the operator allows. Pure rules."""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_V4: Sequence[tuple[str, str]] = (
    ("0.0.0.0/8", "an address of this network"),
    ("10.0.0.0/8", "a private address"),
    ("100.64.0.0/10", "an address shared by carriers, where cloud metadata lives too"),
    ("127.0.0.0/8", "a loopback address"),
    ("168.63.129.16/32", "a cloud's own service address"),
    ("169.254.0.0/16", "a link-local address, where cloud metadata lives"),
    ("172.16.0.0/12", "a private address"),
    ("192.0.0.0/24", "an address for protocols, where cloud metadata lives too"),
    ("192.0.2.0/24", "an address for documentation"),
    ("192.88.99.0/24", "an address of 6to4 relays"),
    ("192.168.0.0/16", "a private address"),
    ("198.18.0.0/15", "an address for benchmarks"),
    ("198.51.100.0/24", "an address for documentation"),
    ("203.0.113.0/24", "an address for documentation"),
    ("224.0.0.0/4", "a multicast address"),
    ("240.0.0.0/4", "a reserved address"),
)
_V6: Sequence[tuple[str, str]] = (
    ("::/128", "the unspecified address"),
    ("::1/128", "a loopback address"),
    # For a network's own translators: where in it the IPv4 address stands, only they know.
    ("64:ff9b:1::/48", "an address of a local NAT64"),
    ("100::/64", "an address that discards"),
    ("2001::/23", "an address for protocols"),
    ("2001:db8::/32", "an address for documentation"),
    ("3fff::/20", "an address for documentation"),
    ("5f00::/16", "an address of segment routing"),
    ("fc00::/7", "a unique local address"),
    ("fe80::/10", "a link-local address"),
    ("fec0::/10", "a site-local address"),
    ("ff00::/8", "a multicast address"),
)

_Network = IPv4Network | IPv6Network
_Address = IPv4Address | IPv6Address

_REFUSED: Sequence[tuple[_Network, str]] = tuple(
    (ipaddress.ip_network(text), what) for text, what in (*_V4, *_V6)
)
#: All that is routed publicly; what lies outside is reserved.
_PUBLIC_V6 = IPv6Network("2000::/3")

#: IPv6 networks whose addresses carry an IPv4 address, and how far above the last bit.
_CARRIERS: Sequence[tuple[IPv6Network, int, str]] = tuple(
    (IPv6Network(text), shift, what)
    for text, shift, what in (
        ("::ffff:0:0/96", 0, "IPv4-mapped"),
        ("::ffff:0:0:0/96", 0, "IPv4-translated"),
        ("64:ff9b::/96", 0, "NAT64"),
        ("2002::/16", 80, "6to4"),
        ("::/96", 0, "IPv4-compatible"),
    )
)
_TEREDO = IPv6Network("2001::/32")
#: Not IPv4-compatible, though they lie among those.
_UNCARRYING = frozenset({IPv6Address("::"), IPv6Address("::1")})
#: Upper half of an ISATAP interface identifier; the bit that is left out says "global".
_ISATAP = 0x0000_5EFE
_ISATAP_MASK = 0xFDFF_FFFF
_V4_MASK = 0xFFFF_FFFF


def refused(address: str, allowed: Iterable[_Network]) -> str:
    """Say in a sentence why an address may not be called; nothing: it may.

    An address that carries another one (IPv4-mapped, NAT64, 6to4, Teredo …) is judged by that.
    ``allowed``: networks of the operator's; an address in one may be called.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return f"{address!r} is not an IP address"
    return _judge(parsed, tuple(allowed))


def _judge(address: _Address, allowed: Sequence[_Network]) -> str:
    if any(address in network for network in allowed):
        return ""
    if isinstance(address, IPv6Address):
        carried = tuple(_carried(address))
        for inner, how in (*carried, *_isatap(address)):
            if sentence := _judge(inner, allowed):
                return f"{address} stands for an IPv4 address ({how}): {sentence}"
        if carried:
            return ""
    for network, what in _REFUSED:
        if address in network:
            return f"{address} is {what} ({network})"
    if isinstance(address, IPv6Address) and address not in _PUBLIC_V6:
        return f"{address} is a reserved address"
    return ""


def _carried(address: IPv6Address) -> Iterator[tuple[IPv4Address, str]]:
    """Give the IPv4 addresses that calls to an address end at, in place of it."""
    if address in _UNCARRYING:
        return
    bits = int(address)
    for network, shift, how in _CARRIERS:
        if address in network:
            yield IPv4Address(bits >> shift & _V4_MASK), how
    if address in _TEREDO:
        yield IPv4Address(bits >> 64 & _V4_MASK), "Teredo server"
        yield IPv4Address(bits & _V4_MASK ^ _V4_MASK), "Teredo client"


def _isatap(address: IPv6Address) -> Iterator[tuple[IPv4Address, str]]:
    """Give the IPv4 address of an ISATAP host, which may stand behind any prefix."""
    bits = int(address)
    if bits >> 32 & _ISATAP_MASK == _ISATAP:
        yield IPv4Address(bits & _V4_MASK), "ISATAP"
