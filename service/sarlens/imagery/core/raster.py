"""Rasters: pixels, their mask and their quantity. Rendered images: 8-bit files for a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import WindowOutOfBounds
from sarlens.imagery.core.picture_frame import PictureFrame
from sarlens.imagery.core.polynomial import ScaleFactorPolynomial
from sarlens.imagery.core.turn import NO_TURN, Turn
from sarlens.types.render_params import Calibration
from sarlens.types.window import Window


class Quantity(StrEnum):
    """The physical quantity of pixels."""

    BRIGHTNESS = "brightness"
    """Gray or color levels of an 8-bit image; they can't be calibrated."""
    COMPLEX = "complex"
    """Single-look complex amplitude: magnitude and phase."""
    AMPLITUDE = "amplitude"
    """Linear amplitude, as the digital numbers of a detected product; intensity is the square."""
    INTENSITY = "intensity"
    """Linear power, such as sigma0."""
    DECIBEL = "decibel"
    """Ten times the decimal logarithm of power."""


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """Pixels of one window of an image."""

    pixels: NDArray[Any]
    """Values with shape (band, row, col)."""
    valid: NDArray[np.bool_]
    """Mask with shape (row, col): False for nodata, NaN and infinities in any band."""
    bands: tuple[str, ...]
    """Name of each band."""
    quantity: Quantity
    """Quantity of the values."""
    window: Window
    """Window in pixels of the full resolution; the raster has fewer pixels if an overview was read."""
    calibration_factors: Mapping[Calibration, float | ScaleFactorPolynomial] = field(default_factory=dict)
    """Factors of the file's header, from squared digital numbers to each backscatter coefficient."""
    quantity_before_detection: Quantity | None = None
    """Quantity from which ``detect`` computed INTENSITY."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, cols = self.valid.shape
        return rows, cols


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """An 8-bit image file for a model: the third of three image nouns, after ``ImageRequest`` and ``ResolvedImage``."""

    data: bytes
    """Bytes of the file."""
    media_type: str
    """Media type, such as ``image/png``."""
    width: int
    """Pixels in a row."""
    height: int
    """Pixels in a column."""
    window: Window | None = None
    """Part of the image that it shows, in pixels of the full resolution; None if it has the image's own pixels."""
    turn: Turn = NO_TURN
    """How it was turned."""

    @property
    def frame(self) -> PictureFrame:
        """Its place in the image."""
        window = self.window or Window(0, 0, self.width, self.height)
        return PictureFrame(window, self.width, self.height, self.turn)


def stack_planes(planes: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return planes of shape (row, col) as one array of shape (band, row, col). A single plane isn't copied."""
    return planes[0][np.newaxis] if len(planes) == 1 else np.stack(planes)


def resolve_window(width: int, height: int, window: tuple[int, int, int, int] | None) -> Window:
    """Check a window ``(col, row, width, height)`` of an image of ``width`` x ``height`` pixels; None is all of it.

    Raises:
        WindowOutOfBounds: the window is empty, or not entirely inside the image.
    """
    if window is None:
        return Window(0, 0, width, height)
    window = Window(*window)
    if window.width < 1 or window.height < 1:
        raise WindowOutOfBounds(
            f"The window {list(window)} is empty: width and height must be at least 1.", param="sar.window"
        )
    inside = window.col >= 0 and window.row >= 0
    if not inside or window.col + window.width > width or window.row + window.height > height:
        raise WindowOutOfBounds(
            f"The window {list(window)} is outside the image, which is {width} pixels wide and {height} high.",
            param="sar.window",
        )
    return window
