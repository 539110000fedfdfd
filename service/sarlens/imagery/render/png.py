"""Encoding of PNG files, several times as fast as Pillow: one filter for all rows, and ISA-L's deflate."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from PIL import Image

from sarlens.imagery.core.raster import RenderedImage

try:
    from isal.isal_zlib import compress
except ImportError:  # no build for this processor
    from zlib import compress

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}
_FILTER_UP = 2
"""Each byte is the difference from the byte above it, modulo 256. Rendered radar images compress best with it."""
_COMPRESS_LEVEL = 1


def encode_png(image: Image.Image) -> RenderedImage:
    """Encode a grayscale (``L``) or ``RGB`` image as PNG, with transparency if its mode is ``LA`` or ``RGBA``.

    Equal images give equal pixels; the compressed bytes can differ between processors.

    Source: W3C, "Portable Network Graphics (PNG) Specification (Third Edition)".
    """
    width, height = image.size
    rows = np.asarray(image, dtype=np.uint8).reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), dtype=np.uint8)
    filtered[:, 0] = _FILTER_UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOR_TYPES[image.mode], 0, 0, 0)
    data = compress(filtered.data, level=_COMPRESS_LEVEL)
    png = b"".join([_SIGNATURE, *_chunk(b"IHDR", header), *_chunk(b"IDAT", data), *_chunk(b"IEND", b"")])
    return RenderedImage(png, "image/png", width, height)


def _chunk(name: bytes, data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return a chunk in parts: length, name, data, and the CRC of name and data."""
    return struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
