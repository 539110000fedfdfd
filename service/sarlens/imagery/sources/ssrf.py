"""Protection against server-side request forgery: which addresses the gateway connects to."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from socket import AF_UNSPEC, AddressFamily

from aiohttp.abc import AbstractResolver, ResolveResult

from sarlens.errors import SourceNotAllowed

_PRIVATE_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private use
            "100.64.0.0/10",  # shared address space (CGNAT)
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, with the metadata services of clouds
            "172.16.0.0/12",  # private use
            "192.0.0.0/24",  # IETF protocol assignments
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # 6to4 relays, deprecated
            "192.168.0.0/16",  # private use
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_PRIVATE_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocol assignments, with Teredo and ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, by the IANA special-purpose address registries (RFC 6890).

    The lists are the gateway's own, since those of Python differ between its versions. Private, loopback, link-local,
    shared (CGNAT), multicast, documentation and reserved ranges aren't public. Neither are IPv6 forms that lead to an
    IPv4 address through a mapping or a tunnel (6to4, Teredo). A NAT64 address (RFC 6052) is public if the IPv4 address
    inside it is.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            return False
        if ip in _NAT64:
            return _is_public_v4(IPv4Address(int(ip) & 0xFFFFFFFF))
        return ip in _GLOBAL_UNICAST and not any(ip in network for network in _PRIVATE_V6)
    return _is_public_v4(ip)


def _is_public_v4(ip: IPv4Address) -> bool:
    return not any(ip in network for network in _PRIVATE_V4)


class SsrfSafeResolver(AbstractResolver):
    """Resolves a host and rejects it if ``allows`` rejects one of its addresses.

    aiohttp connects to exactly these addresses, so DNS rebinding has no effect.
    """

    def __init__(self, inner: AbstractResolver, allows: Callable[[str], bool]) -> None:
        self._inner = inner
        self._allows = allows

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_UNSPEC) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            SourceNotAllowed: one of the addresses isn't allowed.
        """
        results = await self._inner.resolve(host, port, family)
        if not all(self._allows(result["host"]) for result in results):
            raise SourceNotAllowed(f"The host {host} resolves to a private network address, which isn't allowed.")
        return results

    async def close(self) -> None:
        """Close the wrapped resolver."""
        await self._inner.close()
