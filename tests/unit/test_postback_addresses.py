"""Which addresses a postback may call: each range of the registries, and each disguise."""

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest

from clickledger.postbacks.addresses import refused


def networks(*texts: str) -> list[IPv4Network | IPv6Network]:
    return [ip_network(text) for text in texts]


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("1.1.1.1", id="a public resolver"),
        pytest.param("8.8.8.8", id="another one"),
        pytest.param("9.255.255.255", id="before 10/8"),
        pytest.param("11.0.0.0", id="behind 10/8"),
        pytest.param("100.63.255.255", id="before the shared range"),
        pytest.param("100.128.0.0", id="behind the shared range"),
        pytest.param("126.255.255.255", id="before loopback"),
        pytest.param("128.0.0.0", id="behind loopback"),
        pytest.param("168.63.129.15", id="beside a cloud's service address"),
        pytest.param("169.253.255.255", id="before link-local"),
        pytest.param("169.255.0.0", id="behind link-local"),
        pytest.param("172.15.255.255", id="before 172.16/12"),
        pytest.param("172.32.0.0", id="behind 172.16/12"),
        pytest.param("192.0.1.0", id="behind the protocol range"),
        pytest.param("192.167.255.255", id="before 192.168/16"),
        pytest.param("192.169.0.0", id="behind 192.168/16"),
        pytest.param("198.17.255.255", id="before the benchmark range"),
        pytest.param("198.20.0.0", id="behind the benchmark range"),
        pytest.param("223.255.255.255", id="before multicast"),
        pytest.param("2000::1", id="the first public IPv6 addresses"),
        pytest.param("2001:200::1", id="behind the IPv6 protocol range"),
        pytest.param("2606:4700:4700::1111", id="a public IPv6 resolver"),
        pytest.param("3ffe::1", id="before the second documentation range"),
        pytest.param("3fff:1000::1", id="behind the second documentation range"),
        pytest.param("::ffff:8.8.8.8", id="IPv4-mapped, public"),
        pytest.param("::ffff:0:8.8.8.8", id="IPv4-translated, public"),
        pytest.param("64:ff9b::8.8.8.8", id="NAT64, public"),
        pytest.param("2002:808:808::1", id="6to4, public"),
        pytest.param("::8.8.8.8", id="IPv4-compatible, public"),
        pytest.param("2001:0:808:808::f7f7:f7f7", id="Teredo, server and client public"),
        pytest.param("2606:4700::5efe:808:808", id="ISATAP, public"),
    ],
)
def test_a_public_address_may_be_called(address: str) -> None:
    assert refused(address, ()) == ""


@pytest.mark.parametrize(
    ("address", "says"),
    [
        pytest.param("0.0.0.0", "this network (0.0.0.0/8)", id="unspecified"),  # noqa: S104 - refused
        pytest.param("0.1.2.3", "this network (0.0.0.0/8)", id="this network"),
        pytest.param("10.0.0.0", "private address (10.0.0.0/8)", id="private 10, first"),
        pytest.param("10.255.255.255", "private address (10.0.0.0/8)", id="private 10, last"),
        pytest.param("100.64.0.0", "shared by carriers", id="shared, first"),
        pytest.param("100.127.255.255", "shared by carriers", id="shared, last"),
        pytest.param("100.100.100.200", "cloud metadata", id="metadata in the shared range"),
        pytest.param("127.0.0.1", "loopback address", id="loopback"),
        pytest.param("127.255.255.255", "loopback address", id="loopback, last"),
        pytest.param("168.63.129.16", "a cloud's own service", id="a cloud's service address"),
        pytest.param("169.254.0.0", "link-local", id="link-local, first"),
        pytest.param("169.254.169.254", "cloud metadata", id="metadata"),
        pytest.param("169.254.255.255", "link-local", id="link-local, last"),
        pytest.param("172.16.0.0", "private address (172.16.0.0/12)", id="private 172, first"),
        pytest.param("172.31.255.255", "private address (172.16.0.0/12)", id="private 172, last"),
        pytest.param("192.0.0.192", "cloud metadata", id="metadata in the protocol range"),
        pytest.param("192.0.0.9", "address for protocols", id="port control"),
        pytest.param("192.0.2.1", "documentation", id="documentation 1"),
        pytest.param("198.51.100.1", "documentation", id="documentation 2"),
        pytest.param("203.0.113.1", "documentation", id="documentation 3"),
        pytest.param("192.88.99.1", "6to4 relays", id="6to4 relay"),
        pytest.param("192.168.0.0", "private address (192.168.0.0/16)", id="private 192, first"),
        pytest.param("192.168.255.255", "private address", id="private 192, last"),
        pytest.param("198.18.0.0", "benchmarks", id="benchmark, first"),
        pytest.param("198.19.255.255", "benchmarks", id="benchmark, last"),
        pytest.param("224.0.0.1", "multicast", id="multicast, first"),
        pytest.param("239.255.255.255", "multicast", id="multicast, last"),
        pytest.param("240.0.0.0", "reserved", id="reserved"),
        pytest.param("255.255.255.255", "reserved", id="broadcast"),
        pytest.param("::", "unspecified", id="IPv6 unspecified"),
        pytest.param("::1", "loopback", id="IPv6 loopback"),
        pytest.param("::1%lo", "0.0.0.1 is an address of this network", id="IPv6 loopback, zone"),
        pytest.param("64:ff9b:1::808:808", "local NAT64", id="local NAT64"),
        pytest.param("64:ff9b:2::1", "reserved", id="behind local NAT64"),
        pytest.param("100::1", "discards", id="discard"),
        pytest.param("2001:2::1", "protocols", id="IPv6 benchmark"),
        pytest.param("2001:10::1", "protocols", id="ORCHID"),
        pytest.param("2001:20::1", "protocols", id="ORCHID 2"),
        pytest.param("2001:1ff:ffff::1", "protocols", id="IPv6 protocols, last"),
        pytest.param("2001:db8::1", "documentation", id="IPv6 documentation"),
        pytest.param("3fff::1", "documentation", id="IPv6 documentation 2"),
        pytest.param("5f00::1", "segment routing", id="segment routing"),
        pytest.param("fc00::1", "unique local", id="unique local, first"),
        pytest.param("fd00:ec2::254", "unique local", id="IPv6 metadata"),
        pytest.param("fe80::1", "link-local", id="IPv6 link-local"),
        pytest.param("fe80::1%eth0", "link-local", id="IPv6 link-local, zone"),
        pytest.param("febf:ffff::1", "link-local", id="IPv6 link-local, last"),
        pytest.param("fec0::1", "site-local", id="site-local"),
        pytest.param("ff02::1", "multicast", id="IPv6 multicast"),
        pytest.param("4000::1", "reserved", id="behind what is routed"),
        pytest.param("1fff:ffff::1", "reserved", id="before what is routed"),
        pytest.param("e000::1", "reserved", id="far behind what is routed"),
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str, says: str) -> None:
    sentence = refused(address, ())
    assert sentence.startswith(f"{address} ")
    assert says in sentence


INNER = [
    pytest.param("10.0.0.1", id="private"),
    pytest.param("127.0.0.1", id="loopback"),
    pytest.param("169.254.169.254", id="metadata"),
    pytest.param("100.100.100.200", id="metadata in the shared range"),
    pytest.param("255.255.255.255", id="broadcast"),
]


def hex_groups(address: str) -> str:
    """Write an IPv4 address as two groups of an IPv6 address."""
    first, second, third, fourth = (int(part) for part in address.split("."))
    return f"{first << 8 | second:x}:{third << 8 | fourth:x}"


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize(
    ("form", "how"),
    [
        ("::ffff:{dotted}", "IPv4-mapped"),
        ("::ffff:{groups}", "IPv4-mapped"),
        ("0:0:0:0:0:FFFF:{groups}", "IPv4-mapped"),
        ("::ffff:0:{dotted}", "IPv4-translated"),
        ("::{dotted}", "IPv4-compatible"),
        ("64:ff9b::{dotted}", "NAT64"),
        ("64:ff9b::{groups}", "NAT64"),
        ("2002:{groups}::1", "6to4"),
        ("2002:{groups}:ffff:ffff:ffff:ffff:ffff", "6to4"),
        ("2001:0:{groups}::f7f7:f7f7", "Teredo server"),
        ("2606:4700::5efe:{groups}", "ISATAP"),
        ("2606:4700::200:5efe:{groups}", "ISATAP"),
    ],
)
def test_an_address_in_disguise_is_judged_by_what_it_stands_for(
    form: str, how: str, inner: str
) -> None:
    sentence = refused(form.format(dotted=inner, groups=hex_groups(inner)), ())
    assert f"stands for an IPv4 address ({how}): {inner} is " in sentence


@pytest.mark.parametrize("inner", INNER)
def test_the_client_of_a_teredo_address_is_judged_too(inner: str) -> None:
    flipped = ".".join(str(255 - int(part)) for part in inner.split("."))
    sentence = refused(f"2001:0:808:808::{hex_groups(flipped)}", ())
    assert f"(Teredo client): {inner} is " in sentence


def test_an_isatap_host_behind_a_link_local_prefix_stays_link_local() -> None:
    assert "link-local" in refused("fe80::5efe:808:808", ())


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1", ["127.0.0.0/8"]),
        ("10.1.2.3", ["192.168.0.0/16", "10.1.2.3/32"]),
        ("::1", ["::1/128"]),
        ("fd00::7", ["fd00::/8"]),
        ("fe80::1%eth0", ["fe80::/10"]),
        ("::ffff:127.0.0.1", ["127.0.0.0/8"]),
        ("64:ff9b::10.1.2.3", ["10.0.0.0/8"]),
        ("2002:a01:203::1", ["10.0.0.0/8"]),
        ("64:ff9b:1::1", ["64:ff9b:1::/48"]),
        ("::ffff:10.1.2.3", ["::ffff:0:0/96"]),
        ("4000::1", ["4000::/16"]),
    ],
)
def test_what_the_operator_allows_may_be_called(address: str, allowed: list[str]) -> None:
    assert refused(address, ()) != ""
    assert refused(address, networks(*allowed)) == ""


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.2.0.1", ["10.1.0.0/16"]),
        ("127.0.0.1", ["::/0"]),
        ("::1", ["0.0.0.0/0"]),
        ("::ffff:127.0.0.1", ["10.0.0.0/8"]),
        ("2001:0:a00:1::f7f7:f7f7", ["8.8.8.8/32"]),
    ],
)
def test_what_lies_beside_it_stays_refused(address: str, allowed: list[str]) -> None:
    assert refused(address, networks(*allowed)) != ""


@pytest.mark.parametrize(
    "text", ["", "a.example", "127.1", "2130706433", "0x7f000001", "010.0.0.1", "[::1]", "1.2.3.4 "]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert refused(text, networks("0.0.0.0/0", "::/0")) == f"{text!r} is not an IP address"
