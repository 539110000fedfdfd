"""What is read from an image: pixels, which of them were measured, and what they measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.surface import Surface
from sarlens.request import Calibration, Window


class Quantity(StrEnum):
    """What the numbers of a raster mean."""

    PICTURE = "picture"
    """Brightness for the eye, 8 bits, nothing to calibrate."""
    COMPLEX = "complex"
    """Single-look complex amplitude: magnitude and phase."""
    AMPLITUDE = "amplitude"
    """Linear amplitude, as the digital numbers of a detected product; intensity is its square."""
    INTENSITY = "intensity"
    """Linear power, such as sigma0."""
    DECIBEL = "decibel"
    """Ten times the decimal logarithm of power."""


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """One window of an image.

    ``pixels`` has shape (band, row, col). ``valid`` has shape (row, col) and is True where something was measured
    in every band: False marks nodata, NaN and infinities. ``window`` is the part of the full resolution that the
    pixels cover; they may be fewer than it has when an overview was read. ``factors`` are those of the file's header
    from squares of digital numbers to backscatter coefficients. ``detected`` is what INTENSITY was before detection.
    """

    pixels: NDArray[Any]
    valid: NDArray[np.bool_]
    bands: tuple[str, ...]
    quantity: Quantity
    window: Window
    factors: Mapping[Calibration, float | Surface] = field(default_factory=dict)
    detected: Quantity | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, cols = self.valid.shape
        return rows, cols


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded 8-bit picture, ready for a model: its bytes, media type and size in pixels."""

    data: bytes
    media_type: str
    width: int
    height: int
