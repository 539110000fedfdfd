"""Service discovery from a Kubernetes service."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from sarlens.workers.discovery.base import DiscoveryError, DiscoveryScheme, EndpointWeights
from sarlens.workers.discovery.base_url import http_url

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_API = "https://kubernetes.default.svc"
_API_TIMEOUT = aiohttp.ClientTimeout(total=5)


class KubernetesDiscovery:
    """The ready endpoints of a Kubernetes service, from the cluster's API.

    The service account of the pod must be allowed to list ``endpointslices`` of ``discovery.k8s.io`` in the namespace.
    Each attempt reads its token again, since the cluster rotates it. One session, with one SSL context, serves all
    attempts until the cluster's certificate authority changes.
    """

    scheme: DiscoveryScheme = "kubernetes"

    def __init__(self, namespace: str, service: str, port: int, *, api: str = _API, account: Path = _ACCOUNT) -> None:
        self._url = f"{api}/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        self._service = service
        self._port = port
        self._account = account
        self._session: aiohttp.ClientSession | None = None
        self._authority_version = 0

    async def endpoints(self) -> EndpointWeights:
        """List the endpoint slices of the service."""
        try:
            token = (self._account / "token").read_text().strip()
            slices = await self._list(await self._open_session(), token)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise DiscoveryError(f"the Kubernetes API doesn't answer: {type(error).__name__}") from None
        try:
            return {
                http_url(address, self._port): 1.0
                for endpoint_slice in slices
                for endpoint in endpoint_slice.get("endpoints") or ()
                if _is_ready(endpoint.get("conditions") or {})
                for address in endpoint["addresses"]
            }
        except (KeyError, TypeError, AttributeError):
            raise DiscoveryError("the Kubernetes API returned an invalid list of endpoint slices") from None

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _open_session(self) -> aiohttp.ClientSession:
        """Return the session; open a new one if the file of the certificate authority has changed."""
        authority = self._account / "ca.crt"
        version = authority.stat().st_mtime_ns
        if self._session is None or version != self._authority_version:
            await self.close()
            context = ssl.create_default_context(cafile=str(authority))
            # Python 3.13 and later require key identifiers, which the authorities of EKS clusters lack.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            connector = aiohttp.TCPConnector(ssl=context)
            self._session = aiohttp.ClientSession(connector=connector, timeout=_API_TIMEOUT)
            self._authority_version = version
        return self._session

    async def _list(self, session: aiohttp.ClientSession, token: str) -> list[dict[str, Any]]:
        query = {"labelSelector": f"kubernetes.io/service-name={self._service}"}
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        async with session.get(self._url, params=query, headers=headers) as response:
            if response.status != 200:
                raise DiscoveryError(f"the Kubernetes API rejected the request for endpoint slices: {response.status}")
            try:
                items: list[dict[str, Any]] = orjson.loads(await response.read())["items"]
            except (ValueError, KeyError, TypeError):
                raise DiscoveryError("the Kubernetes API returned no list") from None
            return items


def _is_ready(conditions: Mapping[str, Any]) -> bool:
    """Return whether an endpoint accepts traffic; the API defines a missing condition as ready."""
    return conditions.get("ready") is not False and conditions.get("terminating") is not True
