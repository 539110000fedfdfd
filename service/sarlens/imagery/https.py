"""Images on the web: ``https:`` URLs of hosts that are allowed, fetched whole."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from sarlens.errors import (
    AccessDenied,
    BadRequest,
    ImageNotFound,
    SarlensError,
    SourceRefused,
    SourceUnavailable,
    Timeout,
    TooLarge,
)
from sarlens.imagery.cache import Blocks, ByteLRU, SingleFlight
from sarlens.imagery.reach import GuardedResolver, HostList, is_public
from sarlens.imagery.source import Blob, HeldBlob, content_version

_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "sarlens"}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 3
_MOST_CHARACTERS = 8192
_CONNECT_S = 5.0
_REMEMBERED = 1024
_BY_STATUS: dict[int, tuple[type[SarlensError], str]] = {
    401: (AccessDenied, "its host asks for a login"),
    403: (AccessDenied, "its host refuses it"),
    404: (ImageNotFound, "there is nothing under that address"),
    410: (ImageNotFound, "it is gone for good"),
    504: (Timeout, "its host waited too long for another"),
}


@dataclass(frozen=True, slots=True)
class _Page:
    """What a URL led to when it was last fetched."""

    etag: str
    version: str


class Https:
    """Opens ``https:`` URLs of at most ``limit`` bytes within ``timeout_s`` seconds, redirects included.

    ``hosts`` are names such as ``example.com``, ``*.example.com`` (any depth below it) or ``example.com:8443``; the
    port is 443 where none stands. Bytes with an ETag are kept in ``blocks`` and asked for again with If-None-Match.
    """

    def __init__(
        self, session: aiohttp.ClientSession, blocks: Blocks, *, hosts: Iterable[str], limit: int, timeout_s: float
    ) -> None:
        self._session = session
        self._blocks = blocks
        self._hosts = HostList(hosts)
        self._limit = limit
        self._timeout_s = timeout_s
        self._pages: ByteLRU[URL, _Page] = ByteLRU(_REMEMBERED, weigh=lambda page: 1)
        self._flights: SingleFlight[URL, tuple[str, bytes]] = SingleFlight()

    async def open(self, url: str) -> Blob:
        """Fetch the image.

        Raises:
            BadRequest: the URL cannot be used.
            SourceRefused: it leads to a host or an address that is not allowed, at once or by a redirect.
            TooLarge: the image has more bytes than the limit.
            ImageNotFound, AccessDenied, SourceUnavailable, Timeout: so says the host.
        """
        target = self._permitted(url)
        name = str(target.with_query(None))
        moved: list[int] = []  # stays empty for a caller who shares the fetch of another
        try:
            async with asyncio.timeout(self._timeout_s):
                version, data = await self._flights.run(target, lambda: self._fetch(target, name, moved.append))
        except TimeoutError:
            raise Timeout(f"{name} cannot be read: its host does not answer in time.") from None
        return HeldBlob(name, version, data, bytes_moved=sum(moved))

    def _permitted(self, url: str, base: URL | None = None) -> URL:
        """Where a URL leads, seen from the one that redirects to it if there is one."""
        if len(url) > _MOST_CHARACTERS:
            raise BadRequest(f"The https:// URL of an image has more than {_MOST_CHARACTERS} characters.")
        try:
            target = (base.join(URL(url)) if base else URL(url)).with_fragment(None)
            host, port = target.raw_host or "", target.port or 0
        except (ValueError, IndexError):  # yarl raises IndexError for "https://[]@"
            host = ""
        if not host or target.user is not None or target.password is not None:
            raise BadRequest("The https:// URL of an image has to be like https://host/path, without a login in it.")
        if target.scheme != "https":
            raise SourceRefused(f"The image leads to a {target.scheme}: URL; on the web only https: is read.")
        if not self._hosts.allows(host, port):
            raise SourceRefused(f"The host {host}, port {port}, is not one of those that images are read from here.")
        return target

    async def _fetch(self, target: URL, name: str, moved: Callable[[int], None]) -> tuple[str, bytes]:
        try:
            return await self._get(target, name, moved)
        except aiohttp.ClientError as error:
            trouble = _explain(error, name)
        raise trouble  # out here it does not carry the URL's query along in its context

    async def _get(self, target: URL, name: str, moved: Callable[[int], None]) -> tuple[str, bytes]:
        """Version and bytes; ``moved`` is told how many were fetched."""
        page = self._pages.get(target)
        kept = self._blocks.get((page.version, 0)) if page else None
        condition = {"If-None-Match": page.etag} if page and kept is not None else {}
        async with self._landed(target, condition, name) as response:
            if page and kept is not None and response.status == 304:
                return page.version, kept
            data = await self._body(response, name)
        moved(len(data))
        version = await asyncio.to_thread(content_version, data)
        if etag := response.headers.get("ETag"):
            self._pages.put(target, _Page(etag, version))
            self._blocks.put((version, 0), data)
        return version, data

    @asynccontextmanager
    async def _landed(self, target: URL, condition: dict[str, str], name: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """The first answer that is no redirect; every hop has to be permitted."""
        for _ in range(1 + _MOST_REDIRECTS):
            async with self._session.get(target, headers=condition, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    yield response
                    return
            target = self._permitted(response.headers.get("Location", ""), target)
        raise SourceUnavailable(f"{name} cannot be read: it redirects more than {_MOST_REDIRECTS} times.")

    async def _body(self, response: aiohttp.ClientResponse, name: str) -> bytes:
        if response.status != 200:
            otherwise = (SourceUnavailable, f"its host answers with status {response.status}")
            kind, reason = _BY_STATUS.get(response.status, otherwise)
            raise kind(f"{name} cannot be read: {reason}.")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise SourceUnavailable(f"{name} cannot be read: its host compresses it though asked not to.")
        data = bytearray()
        too_large = (response.content_length or 0) > self._limit
        while not too_large and (chunk := await response.content.readany()):
            data += chunk
            too_large = len(data) > self._limit
        if too_large:
            raise TooLarge(f"{name} has more than the {self._limit} bytes that are read of an image on the web.")
        return bytes(data)


@asynccontextmanager
async def open_https(
    blocks: Blocks,
    *,
    hosts: Iterable[str],
    limit: int,
    timeout_s: float = 20.0,
    resolver: AbstractResolver | None = None,
    allows: Callable[[str], bool] = is_public,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Https]:
    """The source with a client of its own, closed with the context.

    ``resolver`` finds addresses and ``allows`` judges each before a connection is made to it; ``tls`` says which
    certificates are trusted. As they stand they are right for the internet.
    """
    connector = aiohttp.TCPConnector(
        resolver=GuardedResolver(resolver or aiohttp.ThreadedResolver(), allows),
        use_dns_cache=False,
        ssl=tls or True,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
    ) as session:
        yield Https(session, blocks, hosts=hosts, limit=limit, timeout_s=timeout_s)


def _explain(error: aiohttp.ClientError, name: str) -> SarlensError:
    match error:
        case TimeoutError():
            return Timeout(f"{name} cannot be read: its host does not answer in time.")
        case aiohttp.ClientSSLError():
            return SourceUnavailable(f"{name} cannot be read: the certificate of its host is not trusted.")
        case aiohttp.ClientConnectorDNSError():
            return SourceUnavailable(f"{name} cannot be read: its host's name is not known.")
        case _:
            return SourceUnavailable(f"{name} cannot be read: its host cannot be reached, or broke off.")
