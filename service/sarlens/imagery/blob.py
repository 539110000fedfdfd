"""What decoding is given: an object to read from, and how much of it may be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Blob(Protocol):
    """One version of an object in a store, read by ranges."""

    @property
    def name(self) -> str:
        """What the caller wrote, such as ``s3://scenes/port.tif``; safe to show."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read(self, start: int, length: int) -> bytes:
        """The bytes from ``start`` on; fewer than ``length`` only at the end of the object.

        Runs in a worker thread and blocks.

        Raises:
            SarlensError: the store fails, or the object changed meanwhile.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one image may ask for; each is checked from the header, before a pixel is read.

    ``scene_pixels`` bounds the pixels times bands that an image declares, ``window_pixels`` those that have to be
    decoded, whole tiles and strips included. ``block_bytes`` bounds one tile or strip once it is unpacked,
    ``header_bytes`` what a TIFF spreads its header over, ``picture_bytes`` a PNG, JPEG or WebP file.
    """

    scene_pixels: int = 2_000_000_000
    window_pixels: int = 64 * 2**20
    bands: int = 64
    block_bytes: int = 64 * 2**20
    header_bytes: int = 16 * 2**20
    picture_bytes: int = 64 * 2**20
