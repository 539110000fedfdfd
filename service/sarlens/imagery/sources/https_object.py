"""A large object on the web, read by ranges."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter

import aiohttp
from yarl import URL

from sarlens.imagery.core.cache import BlockCache
from sarlens.imagery.sources.block_object import BlockObject
from sarlens.observability import tracing

CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
"""First and last byte of a response, and the size of the object (RFC 9110, 14.4)."""


@dataclass(frozen=True, slots=True)
class RangeMeta:
    """An object that is too large to be downloaded, and that its host returns by ranges."""

    version: str
    """SHA-256 of the URL and the ETag."""
    etag: str
    """Value of the ETag header, which is a strong one."""
    size: int
    """Length in bytes."""

    @classmethod
    def of(cls, target: URL, etag: str, size: int) -> RangeMeta:
        """Return the metadata of a response."""
        identity = "\0".join((str(target), etag, str(size)))
        return cls(f"https:{hashlib.sha256(identity.encode()).hexdigest()}", etag, size)


class HttpsObject(BlockObject):
    """One version of a large object on the web, read by ranges.

    Args:
        name: URL, safe to show.
        meta: version, ETag and size.
        blocks: cache of blocks.
        bytes_fetched: bytes fetched to open the object.
        get_range: fetches the bytes between two positions.
    """

    def __init__(
        self,
        name: str,
        meta: RangeMeta,
        blocks: BlockCache,
        bytes_fetched: int,
        get_range: Callable[[int, int], Awaitable[memoryview]],
    ) -> None:
        super().__init__(name, meta.version, meta.size, blocks, bytes_fetched)
        self._get_range = get_range

    async def _get(self, start: int, stop: int) -> memoryview:
        started_at = perf_counter()
        try:
            with tracing.span("fetch") as span:
                data = await self._get_range(start, stop)
                span.set_attributes({"sarlens.fetched_bytes": len(data)})
                return data
        finally:
            self.fetch_seconds += perf_counter() - started_at


def is_rangeable(response: aiohttp.ClientResponse, etag: str) -> bool:
    """Whether a strong ETag identifies the bytes of a response, and they aren't compressed."""
    is_plain = response.headers.get("Content-Encoding", "identity").lower() == "identity"
    return is_plain and len(etag) > 2 and etag.startswith('"')
