"""Headers of the files of a product, as the formats read them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.core.object_reader import ObjectReader


class RowReader(Protocol):
    """Opens an image of some rows of a file."""

    def __call__(self, reader: ObjectReader, version: str) -> ObjectReader:
        """Return the image with these bytes and this version; ``reader`` is read by the image alone."""


class FileHeaders(Protocol):
    """Reads the headers of the files of an image. Its methods block."""

    def band_names(self, reader: ObjectReader) -> tuple[str, ...]:
        """Return the label of each band of a file.

        Raises:
            SarlensError: the header can't be read.
        """

    def check_same_grid(self, first: ObjectReader, second: ObjectReader) -> None:
        """Check that two files have the same size and position.

        Raises:
            BadRequest: they haven't.
            SarlensError: a header can't be read.
        """

    def select_rows(
        self, reader: ObjectReader, shape: tuple[int, int], rows: NDArray[np.int64], tie_points: NDArray[np.float64]
    ) -> RowReader:
        """Return an opener of the image that has some rows of a file.

        Args:
            reader: a TIFF.
            shape: lines and samples that the file must have.
            rows: rows of the file in the order of the image.
            tie_points: columns and rows of the image with longitudes and latitudes, of shape (point, 4).

        Raises:
            UnsupportedImage: the file has another shape, or its rows can't be read one by one.
            SarlensError: the header can't be read.
        """
