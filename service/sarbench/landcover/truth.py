"""Windows of a land cover raster, with the questions that it answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from sarbench.errors import DatasetError
from sarbench.landcover.legend import COVERS, LEGENDS, Legend
from sarbench.simulate.general_questions import DOMINANT_FRACTION, PRESENT_FRACTION

PRESENCE_QUESTIONS = {
    "water": "Is there any water in the image?",
    "trees": "Are there any trees in the image?",
    "crops": "Is there any farmland in the image?",
    "built": "Are there any buildings in the image?",
}
DOMINANT_QUESTION = "What is the dominant land cover in the image?"
DOMINANT_ANSWERS = {"water": "water", "trees": "forest", "crops": "agricultural field", "built": "urban"}
"""Answers to ``DOMINANT_QUESTION`` in small letters; none of them is right for ``other``."""
MIN_KNOWN_FRACTION = 0.95
"""Minimum fraction of a window's pixels that have a truth."""


@dataclass(frozen=True)
class WindowTruth:
    """What is on the ground of a window."""

    image: Path
    window: tuple[int, int, int, int]
    """Column, row, width and height in pixels."""
    fractions: dict[str, float]
    """Fraction of the known pixels, by cover."""

    def presence(self) -> dict[str, bool]:
        """Return whether each cover is present; covers of less than 6 % of the window are left out."""
        shares = {cover: self.fractions[cover] for cover in PRESENCE_QUESTIONS}
        return {cover: share > 0 for cover, share in shares.items() if share == 0 or share >= PRESENT_FRACTION}

    def dominant(self) -> str | None:
        """Return the cover of at least 55 % of the window, or None."""
        cover = max(self.fractions, key=lambda cover: self.fractions[cover])
        return cover if self.fractions[cover] >= DOMINANT_FRACTION else None


def window_truths(image: Path, truth: Path, legend: Legend, side: int) -> Iterator[WindowTruth]:
    """Yield the windows of ``side`` pixels that the raster describes. A smaller image is one window.

    Args:
        image: the radar image.
        truth: the land cover raster, on the same pixels.
        legend: legend of the raster.
        side: side of a window in pixels.

    Raises:
        DatasetError: a file can't be read, or the rasters have different sizes.
    """
    covers = _read_covers(image, truth, legend)
    rows, cols = covers.shape
    height, width = min(side, rows), min(side, cols)
    for row in range(0, rows - height + 1, height):
        for col in range(0, cols - width + 1, width):
            part = covers[row : row + height, col : col + width]
            known = int((part >= 0).sum())
            if known >= MIN_KNOWN_FRACTION * part.size:
                fractions = {cover: float((part == number).sum() / known) for number, cover in enumerate(COVERS)}
                yield WindowTruth(image, (col, row, width, height), fractions)


def _read_covers(image: Path, truth: Path, legend: Legend) -> NDArray[np.int8]:
    """Return the index in ``COVERS`` of each pixel, and -1 without a truth."""
    try:
        with rasterio.open(image) as radar, rasterio.open(truth) as raster:
            if (radar.height, radar.width) != (raster.height, raster.width):
                sizes = f"{radar.width} x {radar.height} and {raster.width} x {raster.height}"
                raise DatasetError(f"{image.name} and {truth.name} must have the same pixels, but have {sizes}.")
            codes = raster.read(1)
    except rasterio.errors.RasterioIOError as error:
        raise DatasetError(f"{image.name} or {truth.name} can't be read: {error}") from error
    covers = np.full(codes.shape, -1, np.int8)
    for code, cover in LEGENDS[legend].items():
        covers[codes == code] = COVERS.index(cover)
    return covers
