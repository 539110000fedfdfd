"""Calibration from the power of digital numbers to a backscatter coefficient.

Sentinel-1 products are calibrated by lookup tables, other products by a factor or polynomial of the image's header.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sarlens.errors import CalibrationMissing
from sarlens.imagery.calibration.luts import AzimuthNoiseBlock, CalibrationLut, Values
from sarlens.imagery.core.polynomial import ScaleFactorPolynomial
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.types.render_params import Calibration

_MIN_POWER_TO_NOISE = 0.1
"""Minimum of the denoised power, relative to the noise: power of 0 or less has no logarithm."""


class Calibrator(Protocol):
    """Converts digital numbers to a backscatter coefficient."""

    def calibrate(self, power: Raster) -> Raster:
        """Return the backscatter coefficient (linear) of INTENSITY in squared digital numbers.

        Raises:
            CalibrationMissing: The calibration doesn't cover the raster's window.
        """


@dataclass(frozen=True, slots=True)
class ConstantCalibration:
    """One factor for the whole image."""

    factor: float
    """Backscatter coefficient per squared digital number."""

    def calibrate(self, power: Raster) -> Raster:
        """Return the power times the factor."""
        return replace(power, pixels=power.pixels * np.float32(self.factor))


@dataclass(frozen=True, slots=True)
class PerBandCalibration:
    """One calibration for each band."""

    bands: tuple[Calibrator, ...]
    """Calibrations in the order of the raster's bands."""

    def calibrate(self, power: Raster) -> Raster:
        """Calibrate each band by its calibration.

        Raises:
            CalibrationMissing: A calibration doesn't cover the raster's window.
        """
        rasters = (replace(power, pixels=plane[np.newaxis]) for plane in power.pixels)
        planes = [band.calibrate(raster).pixels for band, raster in zip(self.bands, rasters, strict=True)]
        return replace(power, pixels=np.concatenate(planes))


@dataclass(frozen=True, slots=True)
class PolynomialCalibration:
    """A factor that varies over the image, as in SICD."""

    factor: ScaleFactorPolynomial
    """Backscatter coefficient per squared digital number, as a function of the pixel's position."""

    def calibrate(self, power: Raster) -> Raster:
        """Return the power times the factor at the center of each cell.

        Raises:
            CalibrationMissing: The factor isn't positive and finite everywhere in the window.
        """
        window = power.window
        rows = _cell_centers(window.row, window.height, power.shape[0])
        factor = self.factor.at(rows, _cell_centers(window.col, window.width, power.shape[1]))
        if not (np.isfinite(factor) & (factor > 0)).all():
            raise CalibrationMissing("The scale factor of the image isn't positive everywhere in the window.")
        return replace(power, pixels=(power.pixels * factor).astype(np.float32))


def calibration_from_header(raster: Raster, calibration: Calibration) -> Calibrator:
    """Return the calibration that the image's header describes.

    Raises:
        CalibrationMissing: The header describes no calibration, or one for another coefficient.
    """
    if calibration not in raster.calibration_factors:
        available = ", ".join(raster.calibration_factors) or "no calibration"
        raise CalibrationMissing(
            f"The image can't be calibrated to {calibration}: its header has {available}, and it isn't a measurement "
            'of a Sentinel-1 product in SAFE layout. Use "calibration": "none" to show relative power.',
            param="sar.calibration",
        )
    factor = raster.calibration_factors[calibration]
    return PolynomialCalibration(factor) if isinstance(factor, ScaleFactorPolynomial) else ConstantCalibration(factor)


def check_calibratable(raster: Raster) -> None:
    """Check that the pixels are digital numbers: AMPLITUDE or COMPLEX.

    Raises:
        CalibrationMissing: The pixels are an 8-bit image, decibels or power.
    """
    quantity = raster.quantity_before_detection or raster.quantity
    if quantity not in {Quantity.AMPLITUDE, Quantity.COMPLEX}:
        raise CalibrationMissing(
            f"The pixels are {quantity.value}. Only digital numbers (amplitude or complex) can be calibrated.",
            param="sar.calibration",
        )


@dataclass(frozen=True, slots=True, eq=False)
class ThermalNoise:
    """Thermal noise of one Sentinel-1 measurement."""

    along_range: CalibrationLut
    """Noise along range, in squared digital numbers."""
    along_azimuth: tuple[AzimuthNoiseBlock, ...] = ()
    """Factors of the noise along azimuth; empty before IPF 2.9."""
    is_removed: bool = False
    """Whether the processor has subtracted the noise from the pixels. If so, |DN|² replaces |DN|² - η."""

    @property
    def nbytes(self) -> int:
        """Size of the tables in bytes."""
        return self.along_range.nbytes + sum(
            block.azimuth_lines.nbytes + block.values.nbytes for block in self.along_azimuth
        )

    def at(self, azimuth_lines: Values, range_pixels: Values) -> Values:
        """Return the thermal noise of shape (azimuth line, range pixel), in squared digital numbers."""
        noise = self.along_range.interpolate(azimuth_lines, range_pixels)
        for block in self.along_azimuth:
            block.apply(noise, azimuth_lines, range_pixels)
        return noise

    def subtract_from(self, pixels: Values, azimuth_lines: Values, range_pixels: Values) -> Values:
        """Return max(|DN|² - η, η / 10) of |DN|² with shape (band, azimuth line, range pixel)."""
        noise = self.at(azimuth_lines, range_pixels)
        return np.maximum(pixels if self.is_removed else pixels - noise, _MIN_POWER_TO_NOISE * noise)


@dataclass(frozen=True, slots=True, eq=False)
class Sentinel1Calibration:
    """Calibration tables of one Sentinel-1 measurement.

    The coefficient is max(|DN|² - η, η / 10) / A², with the gain A and the noise η at the center of the cell, or
    |DN|² / A² if the noise is kept. Source: Sentinel-1 Product Specification, S1-RS-MDA-52-7441; see
    docs/explanation/radiometry.md.
    """

    gain: CalibrationLut
    """A: ``sigmaNought``, ``betaNought`` or ``gamma``, in digital numbers per square root of the coefficient."""
    noise: ThermalNoise | None
    """Thermal noise; None if it is kept."""

    @property
    def nbytes(self) -> int:
        """Size of the tables in bytes."""
        return self.gain.nbytes + (0 if self.noise is None else self.noise.nbytes)

    def calibrate(self, power: Raster) -> Raster:
        """Calibrate each cell by the tables at its center.

        Raises:
            CalibrationMissing: The tables end before the window does, or a gain is 0.
        """
        window = power.window
        last_line, last_pixel = window.row + window.height - 1, window.col + window.width - 1
        luts = (self.gain, *([] if self.noise is None else [self.noise.along_range]))
        if not all(lut.covers(last_line, last_pixel) for lut in luts):
            raise CalibrationMissing("The annotation ends before the image does, so it belongs to another image.")
        azimuth_lines = _cell_centers(window.row, window.height, power.shape[0])
        range_pixels = _cell_centers(window.col, window.width, power.shape[1])
        gain = self.gain.interpolate(azimuth_lines, range_pixels)
        if not (gain > 0).all():
            raise CalibrationMissing("The calibration table contains zeros.")
        signal = power.pixels
        if self.noise is not None:
            signal = self.noise.subtract_from(signal, azimuth_lines, range_pixels)
        signal = signal / np.square(gain)
        return replace(power, pixels=np.where(power.valid, signal, 0).astype(np.float32))


def _cell_centers(start: int, length: int, count: int) -> Values:
    """Return the centers of ``count`` equal cells over ``length`` pixels, relative to the center of pixel 0."""
    return start + (np.arange(count) + 0.5) * length / count - 0.5
