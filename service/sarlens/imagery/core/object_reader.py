"""Random-access readers of objects, wherever they are stored, and limits for decoding them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from blake3 import blake3

PAGE_BYTES = 64 * 1024
"""Length of a page, the unit in which headers are fetched and cached."""


class ObjectReader(Protocol):
    """One version of an object in a store, read by ranges. It is used by one thread at a time."""

    @property
    def name(self) -> str:
        """URL as the caller wrote it, without query, credentials and image bytes; safe to show."""

    @property
    def version(self) -> str:
        """Version of the bytes: equal versions have equal bytes."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    @property
    def bytes_fetched(self) -> int:
        """Bytes fetched over the network so far, by opening the object and by ``read``."""

    @property
    def fetch_seconds(self) -> float:
        """Seconds that ``read`` has waited for the network so far."""

    def read(self, start: int, length: int) -> bytes:
        """Return the bytes from ``start`` on; fewer than ``length`` only at the end of the object.

        The call blocks and runs in a worker thread.

        Raises:
            SarlensError: the store fails, or the object has changed.
        """


@runtime_checkable
class RangePrefetcher(Protocol):
    """A reader whose store answers many requests at the same time."""

    def prefetch(self, spans: Sequence[tuple[int, int]]) -> None:
        """Fetch spans (start, stop) into the reader's cache, several at the same time. Blocks.

        Raises:
            SarlensError: the store fails, or the object has changed.
        """


@runtime_checkable
class ArchiveMember(Protocol):
    """A reader of a part of another object."""

    @property
    def archive(self) -> ObjectReader:
        """The object whose bytes are read."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Limits for one image, checked against its header before pixels are decoded."""

    scene_pixels: int = 2_000_000_000
    """Maximum of width x height x bands that a header declares."""
    window_pixels: int = 64 * 2**20
    """Maximum of pixels x bands that are decoded, whole tiles and strips included."""
    bands: int = 64
    """Maximum number of bands."""
    block_bytes: int = 64 * 2**20
    """Maximum decompressed size of one tile or strip in bytes."""
    header_bytes: int = 16 * 2**20
    """Maximum size of a TIFF header, from its first to its last byte."""
    bitmap_bytes: int = 64 * 2**20
    """Maximum size of a PNG, JPEG or WebP file in bytes."""


@dataclass(frozen=True, slots=True)
class InMemoryObject:
    """An object whose bytes are in memory; implements ``ObjectReader``."""

    name: str
    """URL, safe to show."""
    version: str
    """Version of the bytes."""
    data: bytes
    """All bytes."""
    bytes_fetched: int = 0
    """Bytes fetched over the network to open the object."""
    fetch_seconds: float = 0.0
    """Always 0: ``read`` doesn't use the network."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    def read(self, start: int, length: int) -> bytes:
        """The bytes from ``start`` on; fewer than ``length`` only at the end."""
        return self.data[start : start + length]


def content_version(data: bytes) -> str:
    """The version of bytes that have no other identity: their BLAKE3 hash.

    It is as hard to forge as SHA-256, and takes a third of the time.
    """
    return f"blake3:{blake3(data).hexdigest()}"
