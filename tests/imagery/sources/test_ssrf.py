"""Addresses that the gateway connects to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.errors import SourceNotAllowed
from sarlens.imagery.sources.ssrf import SsrfSafeResolver, is_public
from support.fake_resolver import FakeResolver


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.168.1.1",
        "192.175.48.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b::192.88.99.1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:7f00:1::",
        "2001:1::1",
        "2001:20::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::",
        "2620:4f:8000::1",
        "2606:4700::1111%eth0",
        "3fff::1",
        "3fff:fff:ffff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "",
        "localhost",
        "127.1",
        "0x7f000001",
    ],
)
def test_private_addresses_are_not_public(address: str) -> None:
    """Addresses of machines, private networks and tunnels aren't public, in any spelling."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "52.92.17.1", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::1", "64:ff9b::8.8.8.8"],
)
def test_internet_addresses_are_public(address: str) -> None:
    """Globally routed addresses are public."""
    assert is_public(address)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("1.0.0.0", "9.255.255.255"),
        ("11.0.0.0", "100.63.255.255"),
        ("100.128.0.0", "126.255.255.255"),
        ("169.255.0.0", "172.15.255.255"),
        ("192.0.1.0", "192.0.1.255"),
        ("192.52.194.0", "192.88.98.255"),
        ("192.88.100.0", "192.167.255.255"),
        ("198.20.0.0", "198.51.99.255"),
        ("203.0.114.0", "223.255.255.255"),
        ("2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2003::", "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff"),
        ("3fff:1000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
)
def test_public_ranges_end_where_the_registries_say(first: str, last: str) -> None:
    """The first and the last address of each range between special ones are public, on every version of Python.

    One address outside of the range isn't.
    """
    start, stop = ip_address(first), ip_address(last)
    assert (is_public(first), is_public(last)) == (True, True)
    assert (is_public(str(start - 1)), is_public(str(stop + 1))) == (False, False)


@given(st.ip_addresses(v=4))
def test_a_private_address_is_private_inside_ipv6(inner: IPv4Address) -> None:
    """No IPv6 form of an IPv4 address is public unless that address is."""
    forms = (0xFFFF << 32, 0x64FF9B << 96, 0)
    assert is_public(str(inner)) or not any(is_public(str(IPv6Address(form + int(inner)))) for form in forms)


async def test_one_private_address_rejects_the_host() -> None:
    """A host with one private address is rejected, because the connection could use that address."""
    resolver = SsrfSafeResolver(
        FakeResolver({"good": [["8.8.8.8", "2606:4700::1111"]], "bad": [["8.8.8.8", "127.0.0.1"]]}), is_public
    )
    assert len(await resolver.resolve("good", 443)) == 2
    with pytest.raises(SourceNotAllowed, match="bad") as rejected:
        await resolver.resolve("bad", 443)
    assert "127.0.0.1" not in rejected.value.message
