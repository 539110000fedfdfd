"""Headers of the files of an image: their bands, whether they share a grid, and images of some of their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import BadRequest, UnsupportedImage
from sarlens.imagery.core.object_reader import DecodeLimits, ObjectReader
from sarlens.imagery.formats.reader import read_extent, read_header

if TYPE_CHECKING:
    from sarlens.imagery.formats.tiff_rows import TiffOfRows

_MAX_SHIFT_PX = 0.1
"""Pixels by which the corners of two files of one image may differ."""


@dataclass(frozen=True, slots=True)
class FileHeaders:
    """Reads headers within limits. Its methods block."""

    limits: DecodeLimits
    """Limits that headers are checked against."""

    def band_names(self, reader: ObjectReader) -> tuple[str, ...]:
        """Return the label of each band of a file; raises as ``read_header``."""
        return read_header(reader, self.limits).bands

    def check_same_grid(self, first: ObjectReader, second: ObjectReader) -> None:
        """Check that two images have the same size, and that their corners and centers are at the same place. Blocks.

        Raises:
            BadRequest: they haven't.
            SarlensError: a header can't be read.
        """
        one, two = (read_extent(reader, self.limits) for reader in (first, second))
        if one is None or two is None:
            name = (first if one is None else second).name
            raise UnsupportedImage(f"{name} isn't a TIFF or SICD, so it can't be one band of several URLs.")
        start = f"{second.name} isn't on the grid of {first.name}, so they aren't bands of one image:"
        if (one.width, one.height) != (two.width, two.height):
            raise BadRequest(f"{start} it has {two.width} x {two.height} pixels, not {one.width} x {one.height}.")
        if one.georeference is None or two.georeference is None:
            if (one.georeference is None) != (two.georeference is None):
                raise BadRequest(f"{start} only one of them is georeferenced.")
            return
        cols, rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.5, 0.5]]).T * [[one.width], [one.height]]
        found = np.array(one.georeference.lonlat_to_pixel(*two.georeference.pixel_to_lonlat(cols, rows)))
        shift = np.abs(found - [cols, rows]).max()
        if not shift <= _MAX_SHIFT_PX:  # also if a position isn't finite
            amount = f"by up to {shift:.4g} pixels" if np.isfinite(shift) else "to another part of the globe"
            raise BadRequest(f"{start} it is shifted {amount}.")

    def select_rows(
        self, reader: ObjectReader, shape: tuple[int, int], rows: NDArray[np.int64], tie_points: NDArray[np.float64]
    ) -> Callable[[ObjectReader, str], TiffOfRows]:
        """Return an opener of the image that has some rows of a TIFF of ``shape``; raises as ``make_row_header``."""
        from sarlens.imagery.formats.tiff_rows import TiffOfRows, make_row_header

        return partial(TiffOfRows, header=make_row_header(reader, shape, rows, tie_points, self.limits))
