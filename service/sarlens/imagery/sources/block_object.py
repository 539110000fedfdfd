"""One version of an object in a remote store, read in blocks that a cache keeps."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from sarlens.imagery.core.cache import BlockCache
from sarlens.imagery.core.image_task import fetch_blocking

BLOCK = 64 * 1024
"""Bytes are fetched and cached in blocks of this size, so that nearby small reads cost one request."""
_MAX_BLOCKS_PER_REQUEST = 128
_MAX_REQUESTS = 16
"""Requests of one reader at the same time."""


class BlockObject(ABC):
    """One version of an object; implements ``ObjectReader``. It is opened in the event loop that runs its requests.

    Args:
        name: URL, safe to show.
        version: version of the bytes.
        size: length in bytes.
        blocks: cache of blocks by version and number.
        bytes_fetched: bytes fetched to open the object.
    """

    def __init__(self, name: str, version: str, size: int, blocks: BlockCache, bytes_fetched: int) -> None:
        self.name = name
        self.version = version
        self.size = size
        self.bytes_fetched = bytes_fetched
        self.fetch_seconds = 0.0
        self._blocks = blocks
        self._loop = asyncio.get_running_loop()

    @abstractmethod
    async def _get(self, start: int, stop: int) -> memoryview:
        """Fetch the bytes from ``start`` to ``stop``, and add the time to ``fetch_seconds``.

        Raises:
            SourceChanged: the object has another version.
            SarlensError: the store fails.
        """

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


def split_blocks(data: memoryview) -> Iterator[bytes]:
    """Yield a copy of each block of bytes that start with a block."""
    for start in range(0, len(data), BLOCK):
        yield bytes(data[start : start + BLOCK])


def _consecutive(numbers: list[int]) -> list[range]:
    """Ascending numbers as ranges without gaps, each at most ``_MAX_BLOCKS_PER_REQUEST`` long."""
    ranges: list[range] = []
    for number in numbers:
        if ranges and number == ranges[-1].stop and len(ranges[-1]) < _MAX_BLOCKS_PER_REQUEST:
            ranges[-1] = range(ranges[-1].start, number + 1)
        else:
            ranges.append(range(number, number + 1))
    return ranges
