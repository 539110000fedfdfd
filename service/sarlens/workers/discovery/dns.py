"""Service discovery from a DNS name."""

from __future__ import annotations

import asyncio
import socket

from sarlens.workers.discovery.base import NO_NAMES, DiscoveryError, DiscoveryScheme, EndpointWeights
from sarlens.workers.discovery.base_url import http_url


class DnsDiscovery:
    """All addresses of a DNS name."""

    scheme: DiscoveryScheme = "dns"
    names = NO_NAMES

    def __init__(self, name: str, port: int) -> None:
        self._name = name
        self._port = port

    async def endpoints(self) -> EndpointWeights:
        """Resolve the name."""
        loop = asyncio.get_running_loop()
        try:
            addresses = await loop.getaddrinfo(self._name, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise DiscoveryError(f"{self._name} has no address: {error.strerror}") from None
        except UnicodeError:
            raise DiscoveryError(f"{self._name} isn't a host name") from None
        return {http_url(str(address[0]), self._port): 1.0 for *_, address in addresses}

    async def close(self) -> None:
        """Do nothing: no connection is open."""
