"""From the power of digital numbers to a backscatter coefficient: by Sentinel-1's tables, or by a vendor's factor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import CalibrationMissing
from sarlens.imagery.raster import Quantity, Raster
from sarlens.imagery.surface import Surface
from sarlens.request import Calibration

Values = NDArray[np.float64]

_FLOOR = 0.1
"""What is left of power below the noise, in parts of the noise: a logarithm is to be taken of it."""


class Calibrator(Protocol):
    """Knows what a digital number means."""

    def calibrate(self, power: Raster) -> Raster:
        """INTENSITY of digital numbers as a backscatter coefficient.

        Raises:
            CalibrationMissing: it does not know it there.
        """


@dataclass(frozen=True, slots=True)
class Constant:
    """One factor from power to the coefficient, for the whole image."""

    factor: float

    def calibrate(self, power: Raster) -> Raster:
        """Power times the factor."""
        return replace(power, pixels=power.pixels * np.float32(self.factor))


@dataclass(frozen=True, slots=True)
class Banded:
    """One calibration for each band."""

    bands: tuple[Calibrator, ...]

    def calibrate(self, power: Raster) -> Raster:
        """Each band by its own; raises as that does."""
        planes = (replace(power, pixels=plane[np.newaxis]) for plane in power.pixels)
        found = [band.calibrate(plane).pixels for band, plane in zip(self.bands, planes, strict=True)]
        return replace(power, pixels=np.concatenate(found))


@dataclass(frozen=True, slots=True)
class Varying:
    """A factor from power to the coefficient that changes over the image."""

    factor: Surface

    def calibrate(self, power: Raster) -> Raster:
        """Power times the factor at the centre of each cell.

        Raises:
            CalibrationMissing: the factor is not above zero there.
        """
        window = power.window
        rows = _centres(window.row, window.height, power.shape[0])
        factor = self.factor.at(rows, _centres(window.col, window.width, power.shape[1]))
        if not (np.isfinite(factor) & (factor > 0)).all():
            raise CalibrationMissing("The scale factor of the image is not above zero everywhere in the window.")
        return replace(power, pixels=(power.pixels * factor).astype(np.float32))


def by_header(raster: Raster, wanted: Calibration) -> Calibrator:
    """The calibration that an image's own header describes.

    Raises:
        CalibrationMissing: it describes none, or one for another coefficient.
    """
    if wanted not in raster.factors:
        known = ", ".join(raster.factors) or "no calibration"
        raise CalibrationMissing(
            f"The image cannot be calibrated to {wanted}: its header knows {known}, and it is no measurement of a "
            'Sentinel-1 product in SAFE layout. Without a calibration ("none") it is shown as relative power.',
            param="sar.calibration",
        )
    factor = raster.factors[wanted]
    return Varying(factor) if isinstance(factor, Surface) else Constant(factor)


def check_calibratable(raster: Raster) -> None:
    """Only digital numbers are calibrated.

    Raises:
        CalibrationMissing: the pixels are a picture, or decibels or power already.
    """
    origin = raster.detected or raster.quantity
    if origin not in {Quantity.AMPLITUDE, Quantity.COMPLEX}:
        raise CalibrationMissing(
            f"The pixels are {origin.value}, not the digital numbers that a calibration is for.",
            param="sar.calibration",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """Values at ``lines``, on each at pixels of its own; both rise. A position is the centre of a pixel."""

    lines: Values
    pixels: tuple[Values, ...]
    values: tuple[Values, ...]

    def at(self, rows: Values, cols: Values) -> Values:
        """Values (row, col), bilinear: along range, then between lines; beyond an end the value there."""
        along = np.array([np.interp(cols, at, values) for at, values in zip(self.pixels, self.values, strict=True)])
        place = np.interp(rows, self.lines, np.arange(len(self.lines)))
        low = np.minimum(place.astype(int), max(0, len(self.lines) - 2))
        share = (place - low)[:, np.newaxis]
        high = np.minimum(low + 1, len(self.lines) - 1)
        found: Values = along[low] * (1 - share) + along[high] * share
        return found

    def reaches(self, bottom: int, right: int) -> bool:
        """Whether the table covers pixels as far as these, to within a step of its own."""
        step = [np.diff(each).max(initial=1) for each in (self.lines, self.pixels[0])]
        return bool(self.lines[-1] + step[0] >= bottom and self.pixels[0][-1] + step[1] >= right)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Noise along azimuth in a part of the image: first and last line, first and last pixel, and values at lines."""

    rows: tuple[float, float]
    cols: tuple[float, float]
    lines: Values
    values: Values


@dataclass(frozen=True, slots=True, eq=False)
class Sentinel1:
    """The tables of one measurement: ``gain`` A and the noise, which ``blocks`` multiply where there are some.

    The coefficient is (|DN|² - noise) / A², at least a tenth of noise / A² (see docs/radiometry.md). Pixels that are
    ``denoised`` lose no noise again.
    """

    gain: Lookup
    noise: Lookup
    blocks: tuple[Block, ...]
    denoised: bool = False

    @property
    def nbytes(self) -> int:
        """What the tables weigh."""
        arrays = (each for table in (self.gain, self.noise) for each in (table.lines, *table.pixels, *table.values))
        blocks = (each for block in self.blocks for each in (block.lines, block.values))
        return sum(each.nbytes for each in (*arrays, *blocks))

    def calibrate(self, power: Raster) -> Raster:
        """Calibrate each cell by the tables at its centre.

        Raises:
            CalibrationMissing: the window lies outside the tables, so that they belong to another image.
        """
        window = power.window
        bottom, right = window.row + window.height - 1, window.col + window.width - 1
        if not (self.gain.reaches(bottom, right) and self.noise.reaches(bottom, right)):
            raise CalibrationMissing("The annotation ends before the image does: it belongs to another image.")
        rows = _centres(window.row, window.height, power.shape[0])
        cols = _centres(window.col, window.width, power.shape[1])
        gain, noise = self.gain.at(rows, cols), self.noise_at(rows, cols)
        if not (gain > 0).all():
            raise CalibrationMissing("The calibration table holds zeros.")
        signal = power.pixels if self.denoised else power.pixels - noise
        signal = np.maximum(signal, _FLOOR * noise) / np.square(gain)
        return replace(power, pixels=np.where(power.valid, signal, 0).astype(np.float32))

    def noise_at(self, rows: Values, cols: Values) -> Values:
        """Power of the thermal noise (row, col), in squares of digital numbers."""
        noise = self.noise.at(rows, cols)
        for block in self.blocks:
            down = (rows >= block.rows[0] - 0.5) & (rows < block.rows[1] + 0.5)
            across = (cols >= block.cols[0] - 0.5) & (cols < block.cols[1] + 0.5)
            noise[np.ix_(down, across)] *= np.interp(rows[down], block.lines, block.values)[:, np.newaxis]
        return noise


def _centres(start: int, length: int, count: int) -> Values:
    """Where the centres of cells lie that share a number of pixels, counted from the centre of the first pixel."""
    return start + (np.arange(count) + 0.5) * length / count - 0.5
