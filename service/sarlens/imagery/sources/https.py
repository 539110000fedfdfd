"""Images on the web: ``https:`` URLs of allowed hosts, downloaded whole, or read by ranges if they are large."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from sarlens.errors import (
    PayloadTooLarge,
    PermissionDenied,
    SourceChanged,
    SourceThrottled,
    SourceUnavailable,
    Timeout,
)
from sarlens.imagery.core.cache import BlockCache, LRUCache, SingleFlight
from sarlens.imagery.core.object_reader import InMemoryObject, ObjectReader, content_version
from sarlens.imagery.sources.https_errors import map_client_error, status_error
from sarlens.imagery.sources.https_object import CONTENT_RANGE, HttpsObject, RangeMeta, is_rangeable
from sarlens.imagery.sources.https_url import HostAllowlist, canonical_https_url
from sarlens.imagery.sources.ssrf import SsrfSafeResolver, is_public
from sarlens.types.caller import CanRead, allow_all

T = TypeVar("T")

_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "sarlens"}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 3
_MAX_CONNECTIONS, _MAX_CONNECTIONS_PER_HOST = 100, 25
"""Downloads at the same time; one slow host leaves the rest to others."""
_CONNECT_TIMEOUT_S = 5.0
_MAX_CACHED_PAGES = 1024
_RETRY_PAUSES_S = (0.25, 1.0)
"""Pauses before the retries of a throttled download; a host that requires a longer one isn't retried."""


@dataclass(frozen=True, slots=True)
class _Page:
    """The last response for a URL."""

    etag: str
    """Value of the ETag header."""
    version: str
    """Version of the bytes, which ``BlockCache`` may hold."""


_Content: TypeAlias = tuple[str, bytes] | RangeMeta
"""Version and bytes, or the metadata of an object that is read by ranges."""


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
        self._ranged: LRUCache[URL, RangeMeta] = LRUCache(_MAX_CACHED_PAGES, getsizeof=lambda meta: 1)
        self._flights: SingleFlight[tuple[URL, CanRead], _Content] = SingleFlight()

    async def open(self, url: str, can_read: CanRead = allow_all) -> ObjectReader:
        """Download an image. Concurrent callers with the same rights share one download.

        An image of more than ``max_bytes`` is read by ranges, if its host supports them and sends a strong ETag.

        Raises:
            PermissionDenied: a redirect leads to a URL that the caller may not read.
            SourceThrottled: the host limits the rate of requests, also after two retries.
            BadRequest: the URL is invalid.
            SourceNotAllowed: the URL or a redirect leads to a host or an address that isn't allowed.
            PayloadTooLarge: the image has more than ``max_bytes``, and its host doesn't support ranges.
            ImageNotFound, AccessDenied, SourceUnavailable, Timeout: the host's answer.
        """
        target = self._hosts.check(url)
        name = str(target.with_query(None))
        fetched: list[int] = []  # stays empty if the caller shares another caller's download
        try:
            async with asyncio.timeout(self._timeout_s):
                content = await self._flights.run(
                    (target, can_read),
                    lambda: self._with_retries(name, lambda: self._get(target, name, can_read, fetched.append)),
                )
        except TimeoutError:
            raise Timeout(f"{name} can't be read: its host didn't respond in time.") from None
        if isinstance(content, RangeMeta):
            get_range = partial(self._get_range, target, name, can_read, content)
            return HttpsObject(name, content, self._blocks, sum(fetched), get_range)
        version, data = content
        return InMemoryObject(name, version, data, bytes_fetched=sum(fetched))

    async def _with_retries(self, name: str, get: Callable[[], Awaitable[T]]) -> T:
        """The result of a request; a host that throttles is asked again after each of the pauses."""
        for pause_s in (*_RETRY_PAUSES_S, 0.0):
            try:
                return await get()
            except SourceThrottled as error:
                throttled = error
            except aiohttp.ClientError as error:
                mapped = map_client_error(error, name)
                break
            if (throttled.retry_after or 0) > pause_s or not pause_s:
                throttled.retry_after = throttled.retry_after or SourceThrottled.DEFAULT_RETRY_AFTER_S
                raise throttled
            await asyncio.sleep(pause_s)
        raise mapped  # outside the handler: its context would hold the URL's query

    async def _get_range(
        self, target: URL, name: str, can_read: CanRead, meta: RangeMeta, start: int, stop: int
    ) -> memoryview:
        """The bytes from ``start`` to ``stop`` of a version.

        Raises:
            SourceChanged: the host has another version now.
            SarlensError: the host's answer.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                found, data = await self._with_retries(
                    name, lambda: self._request_range(target, name, can_read, start, stop)
                )
        except TimeoutError:
            raise Timeout(f"{name} can't be read: its host didn't respond in time.") from None
        if found != meta or len(data) != stop - start:
            self._ranged.drop(target)
            raise SourceChanged(f"{name} can't be read: it changed while the gateway read it.")
        return data

    async def _request_range(
        self, target: URL, name: str, can_read: CanRead, start: int, stop: int
    ) -> tuple[RangeMeta | None, memoryview]:
        """Request a range; without metadata, the host doesn't return ranges of one version any more."""
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        async with self._follow_redirects(target, headers, name, can_read) as response:
            if response.status in {200, 412, 416}:
                return None, memoryview(b"")
            if response.status != 206:
                raise status_error(response, name)
            found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            etag = response.headers.get("ETag", "")
            if found is None or int(found[1]) != start or not is_rangeable(response, etag):
                return None, memoryview(b"")
            data = bytearray()
            while len(data) <= stop - start and (chunk := await response.content.readany()):
                data += chunk
        return RangeMeta.of(target, etag, int(found[3])), memoryview(data)

    async def _get(self, target: URL, name: str, can_read: CanRead, on_fetched: Callable[[int], None]) -> _Content:
        """Version and bytes, or what is read by ranges; ``on_fetched`` gets the number of bytes that were fetched."""
        if self._ranged.get(target) is not None:
            meta, first_byte = await self._request_range(target, name, can_read, 0, 1)
            if meta is not None and meta.size > self._max_bytes:
                self._ranged.put(target, meta)
                on_fetched(len(first_byte))
                return meta
            self._ranged.drop(target)
        page = self._pages.get(target)
        cached = self._blocks.get((page.version, 0)) if page else None
        condition = {"If-None-Match": page.etag} if page and cached is not None else {}
        async with self._follow_redirects(target, condition, name, can_read) as response:
            if page and cached is not None and response.status == 304:
                return page.version, cached
            if (meta := self._range_meta(target, response)) is not None:
                self._ranged.put(target, meta)
                return meta
            data = await self._read_body(response, name)
        on_fetched(len(data))
        version = await asyncio.to_thread(content_version, data)
        if etag := response.headers.get("ETag"):
            self._pages.put(target, _Page(etag, version))
            self._blocks.put((version, 0), data)
        return version, data

    def _range_meta(self, target: URL, response: aiohttp.ClientResponse) -> RangeMeta | None:
        """Metadata of an object that is too large to be downloaded and that its host returns by ranges, else None."""
        etag, size = response.headers.get("ETag", ""), response.content_length or 0
        accepts = response.headers.get("Accept-Ranges", "").strip().lower() == "bytes"
        is_ranged = response.status == 200 and accepts and size > self._max_bytes and is_rangeable(response, etag)
        return RangeMeta.of(target, etag, size) if is_ranged else None

    @asynccontextmanager
    async def _follow_redirects(
        self, target: URL, headers: dict[str, str], name: str, can_read: CanRead
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The first response that isn't a redirect; the gateway and the caller must be allowed to read every hop."""
        for _ in range(1 + _MAX_REDIRECTS):
            async with self._session.get(target, headers=headers, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    yield response
                    return
            target = self._hosts.check(response.headers.get("Location", ""), target)
            if not can_read(canonical_https_url(target)):
                raise PermissionDenied(f"{name} redirects to a URL that this API key doesn't allow.")
        raise SourceUnavailable(f"{name} can't be read: it redirects more than {_MAX_REDIRECTS} times.")

    async def _read_body(self, response: aiohttp.ClientResponse, name: str) -> bytes:
        if response.status != 200:
            raise status_error(response, name)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise SourceUnavailable(f"{name} can't be read: its host compressed it without being asked to.")
        data = bytearray()
        too_large = (response.content_length or 0) > self._max_bytes
        while not too_large and (chunk := await response.content.readany()):
            data += chunk
            too_large = len(data) > self._max_bytes
        if too_large:
            raise PayloadTooLarge(
                f"{name} exceeds the limit of {self._max_bytes} bytes for images on the web. Larger ones are read by "
                "ranges, if their host sends Accept-Ranges, a Content-Length and a strong ETag."
            )
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
