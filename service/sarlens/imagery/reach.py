"""Which hosts and which addresses a caller may make the gateway talk to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from socket import AF_UNSPEC, AddressFamily

from aiohttp.abc import AbstractResolver, ResolveResult

from sarlens.errors import SourceRefused

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_TUNNELS = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet.

    Private, loopback, link-local, shared (CGNAT), multicast, documentation and reserved ranges do not, by the IANA
    special-purpose registries; nor do IPv6 forms that lead to an IPv4 address through a mapping or a tunnel (6to4,
    Teredo). NAT64 (RFC 6052) is as public as the IPv4 address inside it.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip in _NAT64:
            return _is_public_v4(IPv4Address(int(ip) & 0xFFFFFFFF))
        return ip in _GLOBAL_UNICAST and ip.is_global and not any(ip in tunnel for tunnel in _TUNNELS)
    return _is_public_v4(ip)


def _is_public_v4(ip: IPv4Address) -> bool:
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class HostList:
    """Hosts by name: ``example.com``, ``*.example.com`` (any depth below it), ``example.com:8443``; else port 443."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = frozenset(host.lower() if ":" in host else f"{host.lower()}:443" for host in hosts)

    def allows(self, host: str, port: int) -> bool:
        """Whether a host is on the list; one written as an address never is."""
        try:
            ip_address(host)
        except ValueError:
            labels = host.lower().split(".")
            names = [".".join(labels), *("*." + ".".join(labels[at:]) for at in range(1, len(labels)))]
            return not self._hosts.isdisjoint(f"{name}:{port}" for name in names)
        return False


class GuardedResolver(AbstractResolver):
    """Finds the addresses of a host and refuses those that ``allows`` does not.

    A connection is made to exactly these addresses, so a name that leads elsewhere the second time gains nothing.
    """

    def __init__(self, inner: AbstractResolver, allows: Callable[[str], bool]) -> None:
        self._inner = inner
        self._allows = allows

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_UNSPEC) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            SourceRefused: one of them is not allowed.
        """
        found = await self._inner.resolve(host, port, family)
        if not all(self._allows(each["host"]) for each in found):
            raise SourceRefused(
                f"The host {host} leads to an address inside a private network; images come from outside."
            )
        return found

    async def close(self) -> None:
        """Close the resolver inside."""
        await self._inner.close()
