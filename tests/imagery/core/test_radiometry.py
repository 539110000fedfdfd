"""Detection, multilooking and decibels, each against its formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagery.object_fixtures import make_raster
from sarlens.imagery.core.radiometry import detect, looks_for_size, multilook, to_db
from sarlens.imagery.core.raster import Quantity
from sarlens.types.window import Looks


@pytest.mark.parametrize(
    ("pixels", "quantity", "power"),
    [
        (np.array([[3 + 4j, -2j]], np.complex64), Quantity.COMPLEX, [25, 4]),
        (np.array([[3, 65535]], np.uint16), Quantity.AMPLITUDE, [9, 65535.0**2]),
        (np.array([[0.25, -0.5]], np.float64), Quantity.INTENSITY, [0.25, -0.5]),
        (np.array([[-10, 20]], np.int16), Quantity.DECIBEL, [0.1, 100]),
        (np.array([[0, 3]], np.float32), Quantity.DECIBEL, [1, 1.9952623]),
    ],
)
def test_every_quantity_is_detected_as_power(pixels: Any, quantity: Quantity, power: list[float]) -> None:
    """Power is re² + im² of complex numbers, amplitude², and 10^(dB/10); INTENSITY is unchanged."""
    detected = detect(make_raster(pixels, quantity))
    np.testing.assert_allclose(detected.pixels[0, 0], power, rtol=1e-5)
    assert detected.quantity is Quantity.INTENSITY
    assert detected.quantity_before_detection is quantity
    assert detected.pixels.dtype == np.float32
    assert detected.valid.all()


def test_values_that_cannot_be_power_are_invalid() -> None:
    """Amplitudes below 0, decibels outside ±200, NaN and infinity are invalid and become 0."""
    for pixels, quantity in [
        (np.array([[5, -9999]], np.int16), Quantity.AMPLITUDE),
        (np.array([[200, 200.1]], np.float32), Quantity.DECIBEL),
        (np.array([[-200, -200.1]], np.float32), Quantity.DECIBEL),
        (np.array([[5, 65535]], np.uint16), Quantity.DECIBEL),
        (np.array([[5, np.nan]], np.float32), Quantity.INTENSITY),
        (np.array([[5, np.inf]], np.complex64), Quantity.COMPLEX),
    ]:
        detected = detect(make_raster(pixels, quantity))
        assert detected.valid.tolist() == [[True, False]]
        assert detected.pixels[0, 0, 1] == 0


def test_zeros_are_fill_only_in_squares_of_five_pixels() -> None:
    """Zeros that pad a product are invalid, and their outline doesn't matter; up to 4 x 5 dark pixels are valid."""
    amplitude = np.full((60, 60), 50, np.uint16)
    corner = np.add.outer(np.arange(60), np.arange(60)) < 30
    amplitude[corner] = 0
    amplitude[40, 40] = amplitude[50:54, 50:55] = amplitude[40:45, 10:15] = 0
    detected = detect(make_raster(amplitude, Quantity.AMPLITUDE))
    assert detected.valid[40, 40]
    assert detected.valid[50:54, 50:55].all()
    assert not detected.valid[40:45, 10:15].any()
    assert not detected.valid[:20, :5].any()
    fill = np.zeros((60, 60), dtype=bool)
    fill[40:45, 10:15] = True
    assert detected.valid[~corner & ~fill].all()


def test_decibels_of_zero_are_not_fill() -> None:
    """An area of 0 dB is power 1, and valid."""
    assert detect(make_raster(np.zeros((9, 9), np.float32), Quantity.DECIBEL)).valid.all()


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 7), st.integers(2, 7), st.booleans())
@settings(deadline=None)
def test_multilook_is_the_mean_of_valid_pixels(rows: int, cols: int, across: int, down: int, masked: bool) -> None:
    """Each cell is the mean power of its valid pixels, also at the right and lower edge."""
    random = np.random.default_rng(rows * cols)
    valid = random.random((rows, cols)) > 0.3 if masked else np.ones((rows, cols), dtype=bool)
    power = np.where(valid, random.random((2, rows, cols)), 0).astype(np.float32)
    averaged = multilook(make_raster(power, Quantity.INTENSITY, valid), Looks(across, down))
    assert averaged.shape == (-(-rows // down), -(-cols // across))
    for row, col in np.ndindex(averaged.shape):
        cell = np.s_[row * down : (row + 1) * down, col * across : (col + 1) * across]
        assert averaged.valid[row, col] == valid[cell].any()
        for band in (0, 1):
            values = power[band][cell][valid[cell]]
            assert averaged.pixels[band, row, col] == pytest.approx(values.mean() if values.size else 0, rel=1e-5)


@pytest.mark.parametrize(("longest", "looks"), [(100, 1), (448, 1), (1343, 1), (1345, 2), (2048, 2), (9000, 10)])
def test_looks_leave_about_twice_the_size_of_the_rendered_image(longest: int, looks: int) -> None:
    """The number of looks is the longest side divided by twice the rendered image's, rounded."""
    assert looks_for_size((longest, 10), 448) == looks
    assert looks_for_size((10, longest), 448) == looks


def test_decibels_are_ten_times_the_logarithm() -> None:
    """Power of 1, 1000 and 0.02 is 0, 30 and -16.9897 dB; power of 0 or less is invalid."""
    level = to_db(make_raster(np.array([[1, 1000, 0.02, 0, -1]], np.float32), Quantity.INTENSITY))
    np.testing.assert_allclose(level.pixels[0, 0, :3], [0, 30, -16.9897], atol=1e-4)
    assert level.valid.tolist() == [[True, True, True, False, False]]
    assert level.quantity is Quantity.DECIBEL
