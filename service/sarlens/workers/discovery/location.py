"""Locations of workers, as settings name them, and the service discovery of each."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sarlens.workers.discovery.base import NO_NAMES, DiscoveryScheme, EndpointWeights, ServiceDiscovery
from sarlens.workers.discovery.base_url import TRITON_SCHEMES, normalize_base_url, redacted_url
from sarlens.workers.discovery.dns import DnsDiscovery
from sarlens.workers.discovery.file import FileDiscovery

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def make_discovery(location: str) -> ServiceDiscovery:
    """Return the service discovery for a worker location.

    - ``http://gpu-1:8000``: one worker.
    - ``triton://gpu-2:8001``, ``triton+grpcs://gpu-2:8001``: one Triton server.
    - ``file:///etc/workers.json``: a JSON list of workers.
    - ``dns://name:8000``: all addresses of a name, such as those of a headless service.
    - ``kubernetes://namespace/service:8000``: the ready endpoints of a Kubernetes service.

    Raises:
        ValueError: the location has none of these forms.
    """
    parts = urlsplit(location)
    if parts.scheme == "file" and not parts.netloc and parts.path:
        return FileDiscovery(Path(unquote(parts.path)))
    if parts.scheme == "dns" and parts.hostname and parts.port and not parts.path.strip("/"):
        return DnsDiscovery(parts.hostname, parts.port)
    if parts.scheme == "kubernetes":
        service, _, port = parts.path.strip("/").partition(":")
        if _NAME.fullmatch(parts.netloc) and _NAME.fullmatch(service) and re.fullmatch(r"[0-9]{1,5}", port):
            from sarlens.workers.discovery.kubernetes import KubernetesDiscovery  # noqa: PLC0415  loads aiohttp

            return KubernetesDiscovery(parts.netloc, service, int(port))
    if parts.scheme in {"http", "https", *TRITON_SCHEMES}:
        return StaticDiscovery(normalize_base_url(location))
    raise ValueError(
        f"{redacted_url(location)!r} is not a worker location such as http://gpu-1:8000, file:///etc/workers.json, "
        "dns://name:8000 or kubernetes://namespace/service:8000"
    )


class StaticDiscovery:
    """One worker at a fixed base URL."""

    scheme: DiscoveryScheme = "url"
    names = NO_NAMES

    def __init__(self, url: str) -> None:
        self._weights = {url: 1.0}

    async def endpoints(self) -> EndpointWeights:
        """Return the one endpoint."""
        return self._weights

    async def close(self) -> None:
        """Do nothing: no connection is open."""
