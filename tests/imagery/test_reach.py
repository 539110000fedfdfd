"""Which hosts and addresses the gateway lets itself be sent to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.errors import SourceRefused
from sarlens.imagery.reach import GuardedResolver, HostList, is_public
from stack.names import Names


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
        "192.168.1.1",
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
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::",
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
def test_what_is_not_the_internet_is_not_public(address: str) -> None:
    """Addresses of machines, networks and tunnels nearby are not public, in any spelling."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "52.92.17.1", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::1", "64:ff9b::8.8.8.8"],
)
def test_the_internet_is_public(address: str) -> None:
    """Addresses that anyone can reach are public."""
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_a_private_address_stays_private_inside_ipv6(inner: IPv4Address) -> None:
    """No IPv6 form of an IPv4 address is public unless that address is."""
    forms = (0xFFFF << 32, 0x64FF9B << 96, 0)
    assert is_public(str(inner)) or not any(is_public(str(IPv6Address(form + int(inner)))) for form in forms)


@pytest.mark.parametrize(
    ("host", "port", "allowed"),
    [
        ("example.com", 443, True),
        ("EXAMPLE.com", 443, True),
        ("example.com", 8443, False),
        ("example.com.", 443, False),
        ("evil-example.com", 443, False),
        ("example.com.evil.net", 443, False),
        ("www.example.com", 443, False),
        ("a.archive.org", 443, True),
        ("a.b.archive.org", 443, True),
        ("archive.org", 443, False),
        ("evilarchive.org", 443, False),
        ("tiles.net", 8443, True),
        ("tiles.net", 443, False),
        ("10.0.0.1", 443, False),
        ("::1", 443, False),
        ("", 443, False),
        ("*.archive.org", 80, False),
    ],
)
def test_hosts_are_allowed_by_name_and_port(host: str, port: int, allowed: bool) -> None:
    """A name on the list allows itself, a star all below it, and neither an address nor a look-alike is allowed."""
    hosts = HostList(["Example.com", "*.archive.org", "tiles.net:8443", "10.0.0.1"])
    assert hosts.allows(host, port) is allowed


async def test_one_private_address_among_many_refuses_the_host() -> None:
    """A host is refused if any of its addresses is private, since any of them might be the one connected to."""
    guard = GuardedResolver(
        Names({"good": [["8.8.8.8", "2606:4700::1111"]], "bad": [["8.8.8.8", "127.0.0.1"]]}), is_public
    )
    assert len(await guard.resolve("good", 443)) == 2
    with pytest.raises(SourceRefused, match="bad") as refused:
        await guard.resolve("bad", 443)
    assert "127.0.0.1" not in refused.value.message
