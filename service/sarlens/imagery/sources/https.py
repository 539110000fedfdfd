"""Images on the web: ``https:`` URLs of allowed hosts, downloaded whole."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from sarlens.errors import (
    AccessDenied,
    ImageNotFound,
    PayloadTooLarge,
    PermissionDenied,
    SarlensError,
    SourceThrottled,
    SourceUnavailable,
    Timeout,
)
from sarlens.imagery.core.cache import BlockCache, LRUCache, SingleFlight
from sarlens.imagery.core.object_reader import InMemoryObject, ObjectReader, content_version
from sarlens.imagery.sources.https_url import HostAllowlist, canonical_https_url
from sarlens.imagery.sources.ssrf import SsrfSafeResolver, is_public
from sarlens.types.caller import CanRead, allow_all

_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "sarlens"}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 3
_MAX_CONNECTIONS, _MAX_CONNECTIONS_PER_HOST = 100, 25
"""Downloads at the same time; one slow host leaves the rest to others."""
_CONNECT_TIMEOUT_S = 5.0
_MAX_CACHED_PAGES = 1024
_BY_STATUS: dict[int, tuple[type[SarlensError], str]] = {
    401: (AccessDenied, "its host requires authentication"),
    403: (AccessDenied, "its host denies access"),
    404: (ImageNotFound, "it doesn't exist"),
    410: (ImageNotFound, "it was deleted"),
    429: (SourceThrottled, "its host limits the rate of requests; retry later"),
    503: (SourceThrottled, "its host is overloaded; retry later"),
    504: (Timeout, "its host timed out"),
}
_MAX_RETRY_AFTER_S = 600
_RETRY_PAUSES_S = (0.25, 1.0)
"""Pauses before the retries of a throttled download; a host that requires a longer one isn't retried."""


@dataclass(frozen=True, slots=True)
class _Page:
    """The last response for a URL."""

    etag: str
    """Value of the ETag header."""
    version: str
    """Version of the bytes, which ``BlockCache`` may hold."""


class HttpsSource:
    """Downloads ``https:`` URLs. Bytes with an ETag are cached and revalidated with If-None-Match.

    Args:
        session: HTTP client whose resolver checks addresses, as ``open_https`` makes it.
        blocks: cache of the downloaded bytes.
        hosts: allowed hosts, as ``HostAllowlist`` describes.
        max_bytes: maximum size of an image.
        timeout_s: maximum time for one image in seconds, redirects included.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        blocks: BlockCache,
        *,
        hosts: Iterable[str],
        max_bytes: int,
        timeout_s: float,
    ) -> None:
        self._session = session
        self._blocks = blocks
        self._hosts = HostAllowlist(hosts)
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._pages: LRUCache[URL, _Page] = LRUCache(_MAX_CACHED_PAGES, getsizeof=lambda page: 1)
        self._flights: SingleFlight[tuple[URL, CanRead], tuple[str, bytes]] = SingleFlight()

    async def open(self, url: str, can_read: CanRead = allow_all) -> ObjectReader:
        """Download an image. Concurrent callers with the same rights share one download.

        Raises:
            PermissionDenied: a redirect leads to a URL that the caller may not read.
            SourceThrottled: the host limits the rate of requests, also after two retries.
            BadRequest: the URL is invalid.
            SourceNotAllowed: the URL or a redirect leads to a host or an address that isn't allowed.
            PayloadTooLarge: the image has more than ``max_bytes``.
            ImageNotFound, AccessDenied, SourceUnavailable, Timeout: the host's answer.
        """
        target = self._hosts.check(url)
        name = str(target.with_query(None))
        fetched: list[int] = []  # stays empty if the caller shares another caller's download
        try:
            async with asyncio.timeout(self._timeout_s):
                version, data = await self._flights.run(
                    (target, can_read), lambda: self._fetch(target, name, can_read, fetched.append)
                )
        except TimeoutError:
            raise Timeout(f"{name} can't be read: its host didn't respond in time.") from None
        return InMemoryObject(name, version, data, bytes_fetched=sum(fetched))

    async def _fetch(
        self, target: URL, name: str, can_read: CanRead, on_fetched: Callable[[int], None]
    ) -> tuple[str, bytes]:
        """Version and bytes; a host that throttles is asked again after each of the pauses."""
        for pause_s in (*_RETRY_PAUSES_S, 0.0):
            try:
                return await self._get(target, name, can_read, on_fetched)
            except SourceThrottled as error:
                throttled = error
            except aiohttp.ClientError as error:
                mapped = _map_client_error(error, name)
                break
            if (throttled.retry_after or 0) > pause_s or not pause_s:
                throttled.retry_after = throttled.retry_after or SourceThrottled.DEFAULT_RETRY_AFTER_S
                raise throttled
            await asyncio.sleep(pause_s)
        raise mapped  # outside the handler: its context would hold the URL's query

    async def _get(
        self, target: URL, name: str, can_read: CanRead, on_fetched: Callable[[int], None]
    ) -> tuple[str, bytes]:
        """Version and bytes; ``on_fetched`` gets the number of bytes that were downloaded."""
        page = self._pages.get(target)
        cached = self._blocks.get((page.version, 0)) if page else None
        condition = {"If-None-Match": page.etag} if page and cached is not None else {}
        async with self._follow_redirects(target, condition, name, can_read) as response:
            if page and cached is not None and response.status == 304:
                return page.version, cached
            data = await self._read_body(response, name)
        on_fetched(len(data))
        version = await asyncio.to_thread(content_version, data)
        if etag := response.headers.get("ETag"):
            self._pages.put(target, _Page(etag, version))
            self._blocks.put((version, 0), data)
        return version, data

    @asynccontextmanager
    async def _follow_redirects(
        self, target: URL, condition: dict[str, str], name: str, can_read: CanRead
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The first response that isn't a redirect; the gateway and the caller must be allowed to read every hop."""
        for _ in range(1 + _MAX_REDIRECTS):
            async with self._session.get(target, headers=condition, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    yield response
                    return
            target = self._hosts.check(response.headers.get("Location", ""), target)
            if not can_read(canonical_https_url(target)):
                raise PermissionDenied(f"{name} redirects to a URL that this API key doesn't allow.")
        raise SourceUnavailable(f"{name} can't be read: it redirects more than {_MAX_REDIRECTS} times.")

    async def _read_body(self, response: aiohttp.ClientResponse, name: str) -> bytes:
        if response.status != 200:
            default = (SourceUnavailable, f"its host responded with status {response.status}")
            error_cls, reason = _BY_STATUS.get(response.status, default)
            raise error_cls(f"{name} can't be read: {reason}.", retry_after=_retry_after(response, error_cls))
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise SourceUnavailable(f"{name} can't be read: its host compressed it without being asked to.")
        data = bytearray()
        too_large = (response.content_length or 0) > self._max_bytes
        while not too_large and (chunk := await response.content.readany()):
            data += chunk
            too_large = len(data) > self._max_bytes
        if too_large:
            raise PayloadTooLarge(f"{name} exceeds the limit of {self._max_bytes} bytes for images on the web.")
        return bytes(data)


@asynccontextmanager
async def open_https(
    blocks: BlockCache,
    *,
    hosts: Iterable[str],
    max_bytes: int,
    timeout_s: float = 20.0,
    resolver: AbstractResolver | None = None,
    allows: Callable[[str], bool] = is_public,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[HttpsSource]:
    """Open the source with an HTTP client of its own, which is closed with the context.

    Args:
        blocks: cache of the downloaded bytes.
        hosts: allowed hosts, as ``HostAllowlist`` describes.
        max_bytes: maximum size of an image.
        timeout_s: maximum time for one image in seconds.
        resolver: resolves hosts to addresses; the default is the resolver of the system.
        allows: checks each address before a connection; the default is the public internet.
        tls: trusted certificates; the default is that of the system.
    """
    connector = aiohttp.TCPConnector(
        resolver=SsrfSafeResolver(resolver or aiohttp.ThreadedResolver(), allows),
        use_dns_cache=False,
        limit=_MAX_CONNECTIONS,
        limit_per_host=_MAX_CONNECTIONS_PER_HOST,
        ssl=tls or True,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
    ) as session:
        yield HttpsSource(session, blocks, hosts=hosts, max_bytes=max_bytes, timeout_s=timeout_s)


def _retry_after(response: aiohttp.ClientResponse, error_cls: type[SarlensError]) -> int | None:
    """Seconds of a throttling host's Retry-After header, which is a number or a date (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if error_cls is not SourceThrottled or not text:
        return None
    if text.isascii() and text.isdigit():
        return min(max(1, int(text[:6])), _MAX_RETRY_AFTER_S)
    try:
        wait_s = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(1, ceil(wait_s)), _MAX_RETRY_AFTER_S)


def _map_client_error(error: aiohttp.ClientError, name: str) -> SarlensError:
    match error:
        case TimeoutError():
            return Timeout(f"{name} can't be read: its host didn't respond in time.")
        case aiohttp.ClientSSLError():
            return SourceUnavailable(f"{name} can't be read: the certificate of its host isn't trusted.")
        case aiohttp.ClientConnectorDNSError():
            return SourceUnavailable(f"{name} can't be read: the name of its host can't be resolved.")
        case _:
            return SourceUnavailable(f"{name} can't be read: its host is unreachable or closed the connection.")
