"""One version of an object in S3, read in blocks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

import obstore

from sarlens.errors import SourceUnavailable
from sarlens.imagery.core.cache import BlockCache
from sarlens.imagery.core.image_task import fetch_blocking
from sarlens.imagery.sources.s3_errors import STORE_ERRORS, map_store_error, source_changed
from sarlens.imagery.sources.s3_url import S3Url
from sarlens.observability import tracing

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import S3Store

BLOCK = 64 * 1024
"""Bytes are fetched and cached in blocks of this size, so that nearby small reads cost one request."""
_MAX_BLOCKS_PER_REQUEST = 128
_MAX_REQUESTS = 16
"""Requests of one reader at the same time."""


@dataclass(frozen=True, slots=True)
class S3ObjectMeta:
    """Metadata of an object."""

    version: str
    """SHA-256 of endpoint, bucket, key, ``versionId`` and ETag."""
    etag: str
    """Value of the ETag header."""
    size: int
    """Length in bytes."""
    seen_at: float
    """Time of the store's last confirmation, in seconds of the monotonic clock."""

    @classmethod
    def from_store(cls, meta: ObjectMeta, store: S3Store, s3_url: S3Url) -> S3ObjectMeta:
        """Metadata of a response.

        Raises:
            SourceUnavailable: the store sends no ETag.
        """
        etag = meta["e_tag"]
        if not etag:
            raise SourceUnavailable(f"{s3_url} can't be read: the store sends no ETag to identify versions.")
        parts = (store.config["endpoint"], s3_url.bucket, s3_url.key, meta["version"] or "", etag)
        version = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return cls(f"s3:{version}", etag, meta["size"], monotonic())


class S3Object:
    """One version of an object; implements ``ObjectReader``. It is opened in the event loop that runs its requests."""

    def __init__(
        self,
        store: S3Store,
        s3_url: S3Url,
        meta: S3ObjectMeta,
        blocks: BlockCache,
        *,
        bytes_fetched: int,
        on_changed: Callable[[S3Url], None],
    ) -> None:
        self.name = str(s3_url)
        self.version = meta.version
        self.size = meta.size
        self.bytes_fetched = bytes_fetched
        self.fetch_seconds = 0.0
        self._store = store
        self._s3_url = s3_url
        self._etag = meta.etag
        self._blocks = blocks
        self._on_changed = on_changed
        self._loop = asyncio.get_running_loop()

    def read(self, start: int, length: int) -> bytes:
        """The bytes from ``start`` on; fewer than ``length`` only at the end. Blocks.

        Raises:
            SourceChanged: the object was replaced.
            ImageNotFound, AccessDenied, StoreCredentials, SourceUnavailable, Timeout: the store's answer.
        """
        stop = min(start + length, self.size)
        if stop <= start:
            return b""
        numbers = range(start // BLOCK, (stop - 1) // BLOCK + 1)
        blocks = {number: self._blocks.get((self.version, number)) for number in numbers}
        for missing in _consecutive([number for number, block in blocks.items() if block is None]):
            blocks |= self._fetch(missing)
        parts = [memoryview(block) for block in blocks.values() if block is not None]
        parts[-1] = parts[-1][: stop - numbers[-1] * BLOCK]
        parts[0] = parts[0][start - numbers.start * BLOCK :]
        return b"".join(parts)

    def prefetch(self, spans: Sequence[tuple[int, int]]) -> None:
        """Fetch the blocks of spans that the cache lacks, ``_MAX_REQUESTS`` at the same time; raises as ``read``."""
        numbers = sorted({number for start, stop in spans for number in range(start // BLOCK, (stop - 1) // BLOCK + 1)})
        missing = _consecutive([number for number in numbers if self._blocks.get((self.version, number)) is None])
        for first in range(0, len(missing), _MAX_REQUESTS):
            group = missing[first : first + _MAX_REQUESTS]
            for found, data in zip(group, fetch_blocking(self._get_all(group), self._loop), strict=True):
                self._cache(found, data)

    async def _get_all(self, groups: Sequence[range]) -> list[memoryview]:
        return await asyncio.gather(*(self._get(*self._span(numbers)) for numbers in groups))

    def _span(self, numbers: range) -> tuple[int, int]:
        return numbers.start * BLOCK, min(numbers.stop * BLOCK, self.size)

    def _fetch(self, numbers: range) -> dict[int, bytes]:
        """Fetch consecutive blocks with one request."""
        return self._cache(numbers, fetch_blocking(self._get(*self._span(numbers)), self._loop))

    def _cache(self, numbers: range, data: memoryview) -> dict[int, bytes]:
        self.bytes_fetched += len(data)
        blocks = dict(zip(numbers, split_blocks(data), strict=True))
        for number, block in blocks.items():
            self._blocks.put((self.version, number), block)
        return blocks

    async def _get(self, start: int, stop: int) -> memoryview:
        started_at = perf_counter()
        options = get_options(self._s3_url, start, stop)
        options["if_match"] = self._etag
        try:
            with tracing.span("fetch") as span:
                response = await obstore.get_async(self._store, self._s3_url.key, options=options)
                data = memoryview(await response.bytes_async())
                span.set_attributes({"sarlens.fetched_bytes": len(data)})
        except STORE_ERRORS as error:
            mapped = map_store_error(error, self._s3_url)
        else:
            # A store that ignores If-Match returns the current version.
            if response.meta["e_tag"] == self._etag and len(data) == stop - start:
                return data
            mapped = source_changed(self._s3_url)
        finally:
            self.fetch_seconds += perf_counter() - started_at
        self._on_changed(self._s3_url)
        raise mapped


def split_blocks(data: memoryview) -> Iterator[bytes]:
    """Yield a copy of each block of bytes that start with a block."""
    for start in range(0, len(data), BLOCK):
        yield bytes(data[start : start + BLOCK])


def get_options(s3_url: S3Url, start: int, stop: int) -> GetOptions:
    """Options for the bytes from ``start`` to ``stop`` of the version in a URL."""
    options: GetOptions = {"range": (start, stop)}
    if s3_url.version:
        options["version"] = s3_url.version
    return options


def _consecutive(numbers: list[int]) -> list[range]:
    """Ascending numbers as ranges without gaps, each at most ``_MAX_BLOCKS_PER_REQUEST`` long."""
    ranges: list[range] = []
    for number in numbers:
        if ranges and number == ranges[-1].stop and len(ranges[-1]) < _MAX_BLOCKS_PER_REQUEST:
            ranges[-1] = range(ranges[-1].start, number + 1)
        else:
            ranges.append(range(number, number + 1))
    return ranges
