"""Decoding of one tile of a plain TIFF: decompression, predictor and byte order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.formats.tiff_directories import Order
from sarlens.imagery.formats.tiff_tags import NotPlain

try:
    from isal import isal_zlib as deflate
except ImportError:  # no build for this processor
    import zlib as deflate  # type: ignore[no-redef]

UNCOMPRESSED = 1
DEFLATE = frozenset({8, 32946})
"""Numbers of DEFLATE, and an old one."""
_HORIZONTAL, _FLOATING_POINT = 2, 3
_SAMPLES = {
    **{(1, bits): f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{(2, bits): f"int{bits}" for bits in (8, 16, 32, 64)},
    **{(3, bits): f"float{bits}" for bits in (32, 64)},
    (5, 32): "complex_int16",
    **{(6, bits): f"complex{bits}" for bits in (64, 128)},
}
"""Names of rasterio for a sample format and a number of bits."""


@dataclass(frozen=True, slots=True)
class TileFormat:
    """Format of the tiles of a directory."""

    sample: str
    """Type of a sample, as of rasterio."""
    order: Order
    """Byte order."""
    shape: tuple[int, int, int]
    """Rows, columns, and samples of a pixel in one tile."""
    compression: int
    """1 or a number of DEFLATE."""
    predictor: int
    """1, 2 (differences of samples) or 3 (differences of bytes of floating-point numbers)."""

    @classmethod
    def of(
        cls, sample_format: int, bits: int, order: Order, shape: tuple[int, int, int], compression: int, predictor: int
    ) -> TileFormat:
        """Return the format of the values of tags.

        Raises:
            NotPlain: the combination isn't plain.
        """
        sample = _SAMPLES.get((sample_format, bits))
        kinds = {1: "uifc", _HORIZONTAL: "uif", _FLOATING_POINT: "f"}.get(predictor, "")
        if sample is None or sample[0] not in kinds or compression not in {UNCOMPRESSED, *DEFLATE}:
            raise NotPlain
        if compression == UNCOMPRESSED and predictor != 1:
            raise NotPlain
        return cls(sample, order, shape, compression, predictor)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the decoded samples."""
        return np.dtype("complex64" if self.sample == "complex_int16" else self.sample)

    @property
    def nbytes(self) -> int:
        """Uncompressed size in bytes."""
        rows, cols, samples = self.shape
        return rows * cols * samples * self._stored.itemsize * (2 if self.sample == "complex_int16" else 1)

    @property
    def _stored(self) -> np.dtype[Any]:
        return np.dtype("int16" if self.sample == "complex_int16" else self.sample).newbyteorder(self.order)

    def decode(self, data: bytes) -> NDArray[Any]:
        """Return the samples of a tile, of shape (row, col, sample), in any byte order.

        Raises:
            NotPlain: the tile is damaged, or longer than its samples.
        """
        if self.compression != UNCOMPRESSED:
            data = _inflate(data, self.nbytes)
        if len(data) != self.nbytes:
            raise NotPlain
        if self.predictor == _FLOATING_POINT:
            return self._undo_floating_point(data)
        samples = np.frombuffer(data, self._stored)
        if self.sample == "complex_int16":
            return samples.astype(np.float32).view(np.complex64).reshape(self.shape)
        samples = samples.reshape(self.shape)
        return self._undo_horizontal(samples) if self.predictor == _HORIZONTAL else samples

    def _undo_horizontal(self, differences: NDArray[Any]) -> NDArray[Any]:
        """Add up the differences along rows, as integers that wrap around."""
        native = differences.astype(self.dtype)
        integers = native.view(f"u{native.itemsize}")
        np.cumsum(integers, axis=1, dtype=integers.dtype, out=integers)
        return native

    def _undo_floating_point(self, data: bytes) -> NDArray[Any]:
        """Add up the differences of bytes along rows; a row has the first bytes of all samples, then the second ones.

        Source: Adobe, "Adobe Photoshop TIFF Technical Note 3", 2005. The bytes are in big-endian order in any file.
        """
        rows, cols, samples = self.shape
        differences = np.frombuffer(data, np.uint8).reshape(rows, -1, samples)
        planes = np.cumsum(differences, axis=1, dtype=np.uint8).reshape(rows, self.dtype.itemsize, cols * samples)
        joined = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(self.dtype.newbyteorder(">"))
        return joined.reshape(self.shape)


def _inflate(data: bytes, size: int) -> bytes:
    """Decompress a whole DEFLATE stream of at most ``size`` bytes, with its check sum.

    Raises:
        NotPlain: the stream is damaged, longer, or followed by other bytes.
    """
    stream = deflate.decompressobj()
    try:
        inflated: bytes = stream.decompress(data, size + 1)
    except deflate.error:  # type: ignore[misc]  # isal's stub has no class
        raise NotPlain from None
    if not stream.eof or stream.unused_data:
        raise NotPlain
    return inflated
