"""Service discovery from a Kubernetes service."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import aiohttp

from sarlens.workers.discovery.base import DiscoveryError, DiscoveryScheme, EndpointWeights
from sarlens.workers.discovery.base_url import http_url
from sarlens.workers.discovery.endpoint_slices import EndpointSlices, InvalidSlices, WatchExpired

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_API = "https://kubernetes.default.svc"
_API_TIMEOUT_S = 5.0
_WATCH_S = 240
"""Time after which a watch ends and the next one starts, with the token of then."""
_WAIT_S = 2.0
"""Maximum time of one attempt, so that the pool is updated without events as well."""


class KubernetesDiscovery:
    """The ready endpoints of a Kubernetes service, from the cluster's API.

    The first attempt lists the endpoint slices. Later ones wait for events of a watch, which stays open between them,
    and return early if one changes the slices. If the watch fails, the next attempt lists again.

    The service account of the pod must be allowed to list and watch ``endpointslices`` of ``discovery.k8s.io`` in the
    namespace. Each request reads its token again, since the cluster rotates it. One session, with one SSL context,
    serves all requests until the cluster's certificate authority changes.

    Args:
        namespace: namespace of the service.
        service: name of the service.
        port: port of the workers.
        api: base URL of the cluster's API.
        account: directory with the token and the certificate authority of the service account.
        wait_s: maximum time in seconds that an attempt waits for an event.
    """

    scheme: DiscoveryScheme = "kubernetes"

    def __init__(
        self,
        namespace: str,
        service: str,
        port: int,
        *,
        api: str = _API,
        account: Path = _ACCOUNT,
        wait_s: float = _WAIT_S,
    ) -> None:
        self._url = f"{api}/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        self._selector = f"kubernetes.io/service-name={service}"
        self._port = port
        self._account = account
        self._wait_s = wait_s
        self._session: aiohttp.ClientSession | None = None
        self._authority_version = 0
        self._slices: EndpointSlices | None = None
        self._watch: aiohttp.ClientResponse | None = None
        self.names: Mapping[str, str] = {}

    async def endpoints(self) -> EndpointWeights:
        """Return the ready endpoints, after an event of the watch or ``wait_s`` seconds."""
        try:
            if self._slices is None:
                self._slices = await self._list()
            else:
                await self._wait_for_event(self._slices)
            pods = self._slices.ready_pods()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._forget()
            raise DiscoveryError(f"the Kubernetes API doesn't answer: {type(error).__name__}") from None
        except WatchExpired:
            self._forget()
            return await self.endpoints()
        except InvalidSlices as error:
            self._forget()
            raise DiscoveryError(f"the Kubernetes API returned {error}") from None
        except DiscoveryError:
            self._forget()
            raise
        urls = {name: http_url(address, self._port) for name, address in pods.items()}
        self.names = {url: name for name, url in urls.items()}
        return dict.fromkeys(urls.values(), 1.0)

    async def close(self) -> None:
        """Close the watch and the session."""
        self._forget()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _forget(self) -> None:
        """End the watch; the next attempt lists the slices."""
        self._slices = None
        self._end_watch()

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    async def _list(self) -> EndpointSlices:
        response = await self._get({}, aiohttp.ClientTimeout(total=_API_TIMEOUT_S))
        async with response:
            return EndpointSlices(await response.read())

    async def _wait_for_event(self, slices: EndpointSlices) -> None:
        """Read events until one changes the slices, or until the time is over."""
        if self._watch is None:
            query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(_WATCH_S)}
            timeout = aiohttp.ClientTimeout(sock_connect=_API_TIMEOUT_S, sock_read=_WATCH_S + _API_TIMEOUT_S)
            async with asyncio.timeout(_API_TIMEOUT_S):
                slices.start_watch()
                self._watch = await self._get(query | {"resourceVersion": slices.version}, timeout)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._wait_s):
                while data := await self._watch.content.readany():
                    if slices.apply(data):
                        return
                self._end_watch()  # its time is over; the next attempt opens another one

    async def _get(self, query: Mapping[str, str], limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        session = await self._open_session()
        token = (self._account / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        response = await session.get(
            self._url, params={"labelSelector": self._selector, **query}, headers=headers, timeout=limits
        )
        if response.status != 200:
            response.release()
            action = "watch" if "watch" in query else "list"
            raise DiscoveryError(
                f"the Kubernetes API rejected the request to {action} endpoint slices: {response.status}"
            )
        return response

    async def _open_session(self) -> aiohttp.ClientSession:
        """Return the session; open a new one if the file of the certificate authority has changed."""
        authority = self._account / "ca.crt"
        version = authority.stat().st_mtime_ns
        if self._session is None or version != self._authority_version:
            if self._session is not None:
                await self._session.close()
            context = ssl.create_default_context(cafile=str(authority))
            # Python 3.13 and later require key identifiers, which the authorities of EKS clusters lack.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))
            self._authority_version = version
        return self._session
