"""Single rows of an uncompressed TIFF in strips: any part of any row is at a known place in the file.

Measurements of Sentinel-1 are such files. They have no overviews, so a view of all of it reads every n-th row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import PayloadTooLarge
from sarlens.imagery.core.image_task import check_task
from sarlens.imagery.core.object_reader import DecodeLimits
from sarlens.imagery.formats.gdal_range_reader import MAX_GAP_BYTES, GdalRangeReader
from sarlens.imagery.formats.tiff_dataset import TiffDataset
from sarlens.imagery.formats.tiff_directories import Directories
from sarlens.imagery.formats.tiff_tags import NotPlain, Tags
from sarlens.imagery.formats.tiff_tiles import UNCOMPRESSED, TileFormat
from sarlens.types.window import Window

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _FILL_ORDER, _OFFSETS = 256, 257, 258, 259, 266, 273
_ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _LENGTHS, _PREDICTOR, _SAMPLE_FORMAT = 274, 277, 278, 279, 317, 339
_MAX_STRIPS = 2**20
_BATCH_BYTES = 8 * 2**20
"""Bytes of rows that are requested at once."""


class StripRows:
    """Rows of the first image of a file.

    Raises:
        NotPlain: the image has several bands, is compressed or tiled, or its strips aren't where rows would be.
    """

    def __init__(self, ranges: GdalRangeReader, directories: Directories) -> None:
        self._ranges = ranges
        tags = Tags(directories, 0, ranges.read_cached)
        plain = {_SAMPLES: 1, _COMPRESSION: UNCOMPRESSED, _FILL_ORDER: 1, _ORIENTATION: 1, _PREDICTOR: 1}
        if any(tags.integer(tag, default) != default for tag, default in plain.items()):
            raise NotPlain
        self.width, self.height = tags.integer(_WIDTH), tags.integer(_HEIGHT)
        self._rows_per_strip = min(tags.integer(_ROWS_PER_STRIP, self.height), self.height)
        if not (self.width and self._rows_per_strip):
            raise NotPlain
        self._format = TileFormat.of(
            tags.integer(_SAMPLE_FORMAT, 1),
            tags.integer(_BITS),
            directories.layout.order,
            (1, self.width, 1),
            UNCOMPRESSED,
            1,
        )
        self._offsets = self._strip_offsets(tags)

    def _strip_offsets(self, tags: Tags) -> NDArray[np.int64]:
        strips = -(-self.height // self._rows_per_strip)
        if {tags.count(_OFFSETS), tags.count(_LENGTHS)} != {strips} or strips > _MAX_STRIPS:
            raise NotPlain
        offsets, lengths = (np.array(tags.slice(tag, 0, strips), np.uint64) for tag in (_OFFSETS, _LENGTHS))
        rows = np.full(strips, self._rows_per_strip)
        rows[-1] = self.height - (strips - 1) * self._rows_per_strip
        if (lengths != rows * self._format.nbytes).any() or (offsets == 0).any() or offsets.max() >= 2**62:
            raise NotPlain
        return offsets.astype(np.int64)

    @classmethod
    def open(cls, ranges: GdalRangeReader, directories: Directories) -> StripRows | None:
        """Return the rows of a file; None if its rows can't be read one by one.

        Raises:
            SarlensError: the object can't be read.
        """
        try:
            return cls(ranges, directories)
        except NotPlain:
            ranges.raise_first_error()
            return None

    def reserve_bytes(self, rows: int, width: int, limits: DecodeLimits) -> None:
        """Extend the byte budget by parts of rows and the gaps between them.

        Raises:
            PayloadTooLarge: they have too many pixels.
        """
        if rows * width > limits.window_pixels:
            raise PayloadTooLarge(
                f"This view requires {rows * width} pixels of {self._ranges.reader.name}; the limit is "
                f"{limits.window_pixels}."
            )
        self._ranges.byte_budget += rows * (3 * width * self._format.nbytes // self.width + MAX_GAP_BYTES)

    def read(self, rows: NDArray[np.int_], col: int, width: int) -> NDArray[Any]:
        """Return a part of some rows, of shape (1, row, col).

        Raises:
            SarlensError: the object can't be read, or needs more bytes than its budget.
        """
        pixel_bytes = self._format.nbytes // self.width
        part = TileFormat(self._format.sample, self._format.order, (1, width, 1), UNCOMPRESSED, 1)
        strips, within = np.divmod(rows, self._rows_per_strip)
        starts = (self._offsets[strips] + (within * self.width + col) * pixel_bytes).tolist()
        pixels = np.empty((1, len(rows), width), self._format.dtype)
        step = max(1, _BATCH_BYTES // part.nbytes)
        for first in range(0, len(starts), step):
            check_task()
            batch = starts[first : first + step]
            found = self._ranges.get_byte_ranges(batch, [part.nbytes] * len(batch))
            self._ranges.raise_first_error()
            for at, data in enumerate(found, start=first):
                pixels[0, at] = part.decode(data)[0, :, 0]
        return pixels


class SparseRows:
    """Every n-th row of an image, as an image with as many rows; implements ``WindowedDataset``.

    Args:
        strips: rows of the file.
        dataset: the same file, which interprets the numbers.
        start: first row of the view.
        step: rows of the image for one row of the view: the middle one is read.
    """

    block_shape = (1, 1)

    def __init__(self, strips: StripRows, dataset: TiffDataset, start: int, step: int) -> None:
        self._strips = strips
        self._dataset = dataset
        self._start = start
        self._step = step
        self.dtype = dataset.dtype

    def read(self, bands: tuple[int, ...], window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return pixels (band, row, col), and (row, col) whether they are valid."""
        numbers = np.arange(window.row, window.row + window.height)
        rows = np.minimum(self._start + numbers * self._step + self._step // 2, self._strips.height - 1)
        return self._dataset.interpret(self._strips.read(rows, window.col, window.width), bands)
