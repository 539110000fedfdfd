"""Where workers are found: named one by one, in a file, behind a DNS name, or behind a Kubernetes service."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import unquote, urlsplit

import aiohttp
import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

_MOST_BYTES = 2**20
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_API = "https://kubernetes.default.svc"
_PATIENCE = aiohttp.ClientTimeout(total=5)
_TRITON = ("triton", "triton+grpcs")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

Shares = Mapping[str, float]
"""Base URLs of workers, and the part of the traffic that each is to have relative to the others."""


class NotFindable(Exception):
    """Workers cannot be looked up now; those that were found before stay."""


Kind = Literal["url", "file", "dns", "kubernetes"]
"""What workers are found at."""


class Finder(Protocol):
    """Finds the workers of a place."""

    @property
    def kind(self) -> Kind:
        """What kind of place it is."""

    async def find(self) -> Shares:
        """The workers that are there now.

        Raises:
            NotFindable: in a sentence for the log.
        """


def base_url(url: str) -> str:
    """A worker's base URL, without the slash and the ``/v1`` that some write after it.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError("a base URL holds no login, which would stand in logs and metrics")
    if parts.scheme in _TRITON and parts.hostname and parts.port and not (parts.path.strip("/") or parts.query):
        return url.rstrip("/")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{_shown(url)!r} is not a base URL such as http://gpu-1:8000")
    _ = parts.port
    return url.rstrip("/").removesuffix("/v1")


def _shown(address: str) -> str:
    """An address as it may be told, without a login and a query."""
    return re.sub(r"//[^/]*@", "//", address.partition("?")[0])


def finder(place: str) -> Finder:
    """What finds the workers of a place.

    ``http://gpu-1:8000`` is one worker, ``triton://gpu-2:8001`` and ``triton+grpcs://gpu-2:8001`` one that is a Triton
    server. ``file:///etc/workers.json`` holds a list of them. ``dns://name:8000`` are the
    addresses of a name, as a headless service has them. ``kubernetes://namespace/service:8000`` are the ready
    endpoints of a service.

    Raises:
        ValueError: it is none of these.
    """
    parts = urlsplit(place)
    if parts.scheme == "file" and not parts.netloc and parts.path:
        return File(Path(unquote(parts.path)))
    if parts.scheme == "dns" and parts.hostname and parts.port and not parts.path.strip("/"):
        return Dns(parts.hostname, parts.port)
    if parts.scheme == "kubernetes":
        service, _, port = parts.path.strip("/").partition(":")
        if _NAME.fullmatch(parts.netloc) and _NAME.fullmatch(service) and re.fullmatch(r"[0-9]{1,5}", port):
            return EndpointSlices(parts.netloc, service, int(port))
    if parts.scheme in {"http", "https", *_TRITON}:
        return One(base_url(place))
    raise ValueError(
        f"{_shown(place)!r} names no workers; it has to be like http://gpu-1:8000, file:///etc/workers.json, "
        "dns://name:8000 or kubernetes://namespace/service:8000"
    )


class One:
    """A worker that is named."""

    kind: Kind = "url"

    def __init__(self, url: str) -> None:
        self._found = {url: 1.0}

    async def find(self) -> Shares:
        """The one."""
        return self._found


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str
    share: Annotated[float, Field(gt=0, le=1e6)] = 1.0


_ENTRIES = TypeAdapter(list[_Entry])


class File:
    """A JSON file: ``[{"url": "http://gpu-1:8000", "share": 0.1}, …]``; it may be replaced at any time."""

    kind: Kind = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def find(self) -> Shares:
        """The workers that it holds now."""
        try:
            if self._path.stat().st_size > _MOST_BYTES:
                raise NotFindable(f"{self._path.name} is over {_MOST_BYTES} bytes")
            return {base_url(entry.url): entry.share for entry in _ENTRIES.validate_json(self._path.read_bytes())}
        except OSError as error:
            raise NotFindable(f"{self._path.name} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            field = ".".join(str(step) for step in first["loc"]) or "the file"
            raise NotFindable(f"{self._path.name}: {field}: {first['msg']}") from None
        except ValueError as error:
            raise NotFindable(f"{self._path.name}: {error}") from None


class Dns:
    """All addresses of a name."""

    kind: Kind = "dns"

    def __init__(self, name: str, port: int) -> None:
        self._name = name
        self._port = port

    async def find(self) -> Shares:
        """The workers at its addresses now."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._name, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise NotFindable(f"{self._name} has no address: {error.strerror}") from None
        except UnicodeError:
            raise NotFindable(f"{self._name} is no name of a host") from None
        return {_at(str(address[0]), self._port): 1.0 for *_, address in found}


class EndpointSlices:
    """The endpoints of a Kubernetes service that are ready, as the cluster's API tells a pod of it.

    The pod's service account needs to list ``endpointslices`` of ``discovery.k8s.io`` in the namespace. Its token is
    read each time, since the cluster replaces it.
    """

    kind: Kind = "kubernetes"

    def __init__(self, namespace: str, service: str, port: int, *, api: str = _API, account: Path = _ACCOUNT) -> None:
        self._url = f"{api}/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        self._service = service
        self._port = port
        self._account = account

    async def find(self) -> Shares:
        """The workers at its ready endpoints now."""
        try:
            token = (self._account / "token").read_text().strip()
            trust = ssl.create_default_context(cafile=str(self._account / "ca.crt"))
            # From 3.13 on Python demands key identifiers, which the authorities of EKS clusters lack.
            trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
            connector = aiohttp.TCPConnector(ssl=trust)
            async with aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as session:
                slices = await self._list(session, token)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NotFindable(f"the Kubernetes API does not answer: {type(error).__name__}") from None
        try:
            return {
                _at(address, self._port): 1.0
                for each in slices
                for endpoint in each.get("endpoints") or ()
                if _ready(endpoint.get("conditions") or {})
                for address in endpoint["addresses"]
            }
        except (KeyError, TypeError, AttributeError):
            raise NotFindable("the Kubernetes API answers something that is no list of endpoint slices") from None

    async def _list(self, session: aiohttp.ClientSession, token: str) -> list[dict[str, Any]]:
        query = {"labelSelector": f"kubernetes.io/service-name={self._service}"}
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        async with session.get(self._url, params=query, headers=headers) as response:
            if response.status != 200:
                raise NotFindable(f"the Kubernetes API refuses to list endpoint slices: {response.status}")
            try:
                items: list[dict[str, Any]] = orjson.loads(await response.read())["items"]
            except (ValueError, KeyError, TypeError):
                raise NotFindable("the Kubernetes API answers no list") from None
            return items


def _ready(conditions: Mapping[str, Any]) -> bool:
    """Whether an endpoint takes traffic; what is not said counts as ready, by the API's own rule."""
    return conditions.get("ready") is not False and conditions.get("terminating") is not True


def _at(address: str, port: int) -> str:
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
