"""Calibrators: formulas at cell centers, the noise floor, and errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imagery.calibration_fixtures import luts, power_of
from imagery.object_fixtures import RecordingReader, encoded, geotiff, raster_of
from sarlens.errors import CalibrationMissing
from sarlens.imagery.calibration.models import (
    ConstantCalibration,
    PerBandCalibration,
    PolynomialCalibration,
    Sentinel1Calibration,
    calibration_from_header,
    check_calibratable,
)
from sarlens.imagery.core.polynomial import ScaleFactorPolynomial
from sarlens.imagery.core.radiometry import detect
from sarlens.imagery.core.raster import Quantity
from sarlens.imagery.formats.reader import DecodeLimits, read_image
from sarlens.imagery.render.pipeline import render
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window
from support.sentinel1_safe import annotation, product_annotation

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
ICEYE = {"PRODUCT_NAME": "ICEYE_GRD_1", "CALIBRATION_FACTOR": "3.5e-08"}


def constant(noise: str = "20 20", denoised: str = "false") -> Sentinel1Calibration:
    """Return tables with gain 2 and constant noise."""
    calibration = annotation("calibration", values="2 2")
    return luts(calibration, annotation("noise", values=noise), product=product_annotation(denoised))


def test_cells_of_many_pixels_are_calibrated_at_their_center() -> None:
    """A cell of ten by ten pixels has the gain between its fifth and sixth pixel."""
    power = power_of(Window(0, 0, 200, 100), (10, 20), power=10)
    calibrated = luts(annotation("calibration"), annotation("noise", values="1 1")).calibrate(power)
    gain = 2 + 2 * (np.arange(20) * 10 + 4.5) / 200
    np.testing.assert_allclose(calibrated.pixels[0], np.tile(9 / gain**2, (10, 1)), rtol=1e-6)


def test_tables_are_read_at_the_window_in_the_image() -> None:
    """A window that starts at line 30 and pixel 100 has the gain of these positions, not of the first pixels."""
    calibration = annotation("calibration", lines="0 100", values="2 4").replace(b">2 4<", b">4 8<", 1)
    window = Window(100, 30, 8, 6)
    calibrated = luts(calibration, annotation("noise", values="0 0")).calibrate(power_of(window, power=64))
    lines, pixels = 30 + np.arange(6), 100 + np.arange(8)
    gain = np.outer(2 - lines / 100, 2 + 2 * pixels / 200)
    np.testing.assert_allclose(calibrated.pixels[0], 64 / gain**2, rtol=1e-6)


@pytest.mark.parametrize(
    ("power", "denoised", "coefficient"),
    [
        (100, "false", 80 / 4),
        (22, "false", 2 / 4),
        (21, "false", 2 / 4),
        (0, "false", 2 / 4),
        (100, "true", 100 / 4),
        (3, "true", 3 / 4),
        (1, "true", 2 / 4),
    ],
)
def test_a_tenth_of_the_noise_is_the_floor(power: float, denoised: str, coefficient: float) -> None:
    """With A = 2 and η = 20, the coefficient is max(|DN|² - η, η/10) / A², or max(|DN|², η/10) / A² if denoised."""
    calibrated = constant(denoised=denoised).calibrate(power_of(Window(0, 0, 9, 9), power=power))
    np.testing.assert_allclose(calibrated.pixels, coefficient)


@pytest.mark.parametrize("power", [100, 22, 0])
def test_kept_noise_is_neither_subtracted_nor_a_floor(power: float) -> None:
    """With A = 2 and the noise kept, the coefficient is |DN|² / A², and tables of noise don't bound the window."""
    kept = replace(constant(), noise=None)
    np.testing.assert_array_equal(kept.calibrate(power_of(Window(0, 0, 9, 9), power=power)).pixels, power / 4)
    short = luts(annotation("calibration"), annotation("noise", lines="0 10 20"))
    assert replace(short, noise=None).calibrate(power_of(Window(0, 0, 100, 32))).shape == (32, 100)
    assert kept.nbytes == (3 + 6 + 6) * 8


def test_invalid_pixels_stay_zero() -> None:
    """Pixels outside the valid mask have no noise floor."""
    power = power_of(Window(0, 0, 9, 9), power=0)
    power.valid[2, 3] = False
    calibrated = constant().calibrate(power)
    assert calibrated.pixels[0, 2, 3] == 0
    assert np.count_nonzero(calibrated.pixels) == 80


def test_annotation_of_a_smaller_image_is_rejected() -> None:
    """Tables that end more than one step before the window, and gains of zero, are rejected."""
    tables = luts(annotation("calibration", lines="0 10 20"), annotation("noise"))
    assert tables.calibrate(power_of(Window(0, 0, 100, 31))).shape == (31, 100)
    with pytest.raises(CalibrationMissing, match="another image"):
        tables.calibrate(power_of(Window(0, 0, 100, 32)))
    short_noise = luts(annotation("calibration"), annotation("noise", lines="0 10 20"))
    with pytest.raises(CalibrationMissing, match="another image"):
        short_noise.calibrate(power_of(Window(0, 0, 100, 32)))
    with pytest.raises(CalibrationMissing, match="another image"):
        tables.calibrate(power_of(Window(300, 0, 102, 9)))
    with pytest.raises(CalibrationMissing, match="zeros"):
        luts(annotation("calibration", values="0 0"), annotation("noise")).calibrate(power_of(Window(0, 0, 9, 9)))


def test_the_size_of_tables_is_that_of_their_arrays() -> None:
    """Gain and noise have 3 lines, 3 x 2 pixels and 3 x 2 values of 8 bytes each."""
    assert luts(annotation("calibration"), annotation("noise")).nbytes == 2 * (3 + 6 + 6) * 8


def test_each_band_has_its_own_calibration() -> None:
    """The first band is calibrated by the first factor and the second by the second."""
    power = power_of(Window(0, 0, 4, 4), power=10)
    power = replace(power, pixels=np.concatenate([power.pixels, power.pixels * 3]), bands=("VV", "VH"))
    calibrated = PerBandCalibration((ConstantCalibration(2), ConstantCalibration(5))).calibrate(power)
    np.testing.assert_array_equal(calibrated.pixels[:, 0, 0], [20, 150])
    assert calibrated.pixels.shape == (2, 4, 4)


def test_a_polynomial_is_evaluated_at_cell_centers() -> None:
    """The factor is 1 + 0.5 x + 0.25 y with x and y in meters from row 2 and column 4, at 2 m and 4 m per pixel."""
    factor = ScaleFactorPolynomial(np.array([[1, 0.25], [0.5, 0]]), (2, 4), (2, 4))
    calibrated = PolynomialCalibration(factor).calibrate(power_of(Window(4, 2, 8, 6), (3, 4), power=3))
    rows, cols = np.array([2.5, 4.5, 6.5]), np.array([4.5, 6.5, 8.5, 10.5])
    expected = 3 * (1 + 0.5 * 2 * (rows[:, np.newaxis] - 2) + 0.25 * 4 * (cols - 4))
    np.testing.assert_allclose(calibrated.pixels[0], expected, rtol=1e-6)
    with pytest.raises(CalibrationMissing, match="positive"):
        PolynomialCalibration(factor).calibrate(power_of(Window(0, 0, 4, 4), power=3))


@pytest.mark.parametrize("coefficients", [[[0.0]], [[np.nan]], [[np.inf]], [[-1.0]]])
def test_a_factor_that_is_not_positive_and_finite_is_rejected(coefficients: list[list[float]]) -> None:
    """A factor of zero, NaN, infinity or below zero has no backscatter coefficient."""
    factor = ScaleFactorPolynomial(np.array(coefficients), (0, 0), (1, 1))
    with pytest.raises(CalibrationMissing, match="positive"):
        PolynomialCalibration(factor).calibrate(power_of(Window(0, 0, 4, 4), power=3))


def test_a_window_read_in_blocks_of_rows_is_calibrated() -> None:
    """Power averaged while it was read is calibrated by the factor of the header."""
    dn = np.random.default_rng(0).integers(1, 9999, (2200, 2000)).astype(np.uint16)
    raster = raster_of(geotiff(dn, tags={"": ICEYE}, tiled=True))
    assert raster.quantity is Quantity.INTENSITY
    calibrated = calibration_from_header(raster, "sigma0").calibrate(detect(raster))
    expected = (dn.astype(float) ** 2).reshape(1100, 2, 1000, 2).mean(axis=(1, 3)) * 3.5e-8
    np.testing.assert_allclose(calibrated.pixels[0], expected, rtol=1e-5)
    assert render(raster, RenderParams(calibration="sigma0"), 448).width == 407


def test_an_error_names_the_coefficients_of_the_header() -> None:
    """The message says what the header has, and how to show relative power."""
    raster = raster_of(geotiff(np.ones((8, 8), np.uint16), tags={"": ICEYE}))
    with pytest.raises(CalibrationMissing, match="calibrated to gamma0: its header has sigma0") as caught:
        calibration_from_header(raster, "gamma0")
    assert caught.value.param == "sar.calibration"
    with pytest.raises(CalibrationMissing, match="its header has no calibration"):
        calibration_from_header(raster_of(geotiff(np.ones((8, 8), np.uint16))), "sigma0")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_pixels_that_are_not_digital_numbers_are_not_calibrated(dtype: type) -> None:
    """8-bit images, power and decibels have no calibration, even if their tags have a factor."""
    raster = raster_of(geotiff(np.full((8, 8), 7, dtype=dtype), tags={"": ICEYE}))
    with pytest.raises(CalibrationMissing, match="digital numbers"):
        render(raster, RenderParams(calibration="sigma0"), 448)
    with pytest.raises(CalibrationMissing, match="isn't a TIFF or SICD"):
        read_image(
            RecordingReader(encoded(np.ones((8, 8), dtype=np.uint8))),
            RenderParams(calibration="sigma0"),
            448,
            DecodeLimits(),
        )


@pytest.mark.parametrize("quantity", list(Quantity))
def test_amplitude_and_complex_pixels_are_calibratable(quantity: Quantity) -> None:
    """The quantity before detection counts, since INTENSITY may be detected from digital numbers."""
    raster = replace(power_of(Window(0, 0, 4, 4)), quantity=quantity)
    detected = replace(raster, quantity=Quantity.INTENSITY, quantity_before_detection=quantity)
    for candidate in (raster, detected):
        if quantity in {Quantity.AMPLITUDE, Quantity.COMPLEX}:
            check_calibratable(candidate)
        else:
            with pytest.raises(CalibrationMissing, match=f"The pixels are {quantity.value}"):
                check_calibratable(candidate)
