"""The protocol of service discovery, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Protocol

EndpointWeights = Mapping[str, float]
"""Base URLs of workers, and the share of the traffic of each, relative to the others."""


NO_NAMES: Mapping[str, str] = MappingProxyType({})
"""The names of workers that have none but their base URL."""


class DiscoveryError(Exception):
    """A discovery attempt failed; the endpoints of the previous attempt stay in force."""


DiscoveryScheme = Literal["url", "file", "dns", "kubernetes"]
"""Kind of a worker location."""


class ServiceDiscovery(Protocol):
    """Lists the workers at one location."""

    @property
    def scheme(self) -> DiscoveryScheme:
        """Kind of the location."""

    @property
    def names(self) -> Mapping[str, str]:
        """Names of workers for logs and metrics, such as those of pods, by base URL."""

    async def endpoints(self) -> EndpointWeights:
        """Return the current endpoints and their weights.

        Raises:
            DiscoveryError: with a sentence for the log.
        """

    async def close(self) -> None:
        """Close connections."""
