"""Lookup tables: bilinear interpolation, the part of an image that a table covers, and noise along azimuth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from sarlens.imagery.calibration.luts import AzimuthNoiseBlock, CalibrationLut

Values = NDArray[np.float64]
LINES, PIXELS = np.array([0.0, 10, 40]), np.array([0.0, 4, 20])
TABLE = np.array([[1.0, 5, 2], [3, 3, 9], [8, 0, 4]])
LUT = CalibrationLut(LINES, (PIXELS,) * 3, tuple(TABLE))


@given(st.floats(0, 40), st.floats(0, 20))
def test_interpolation_is_bilinear(line: float, pixel: float) -> None:
    """Values agree with SciPy's linear interpolation on the grid."""
    expected = RegularGridInterpolator((LINES, PIXELS), TABLE)([[line, pixel]])[0]
    np.testing.assert_allclose(LUT.interpolate(np.array([line]), np.array([pixel]))[0, 0], expected, atol=1e-12)


def test_values_of_the_table_are_kept_and_repeated_outside_it() -> None:
    """At its grid points the table has its own values; outside, the nearest ones."""
    np.testing.assert_array_equal(LUT.interpolate(LINES, PIXELS), TABLE)
    np.testing.assert_array_equal(LUT.interpolate(np.array([-5.0, 99]), np.array([-1.0, 50])), [[1, 2], [8, 4]])


def test_each_line_has_its_own_pixels() -> None:
    """Range positions may differ between azimuth lines."""
    lut = CalibrationLut(np.array([0.0, 2]), (np.array([0.0, 10]), np.array([0.0, 20])), (np.array([0.0, 10]),) * 2)
    np.testing.assert_allclose(lut.interpolate(np.array([0.0, 1, 2]), np.array([10.0]))[:, 0], [10, 7.5, 5])


def test_a_table_of_one_line_is_constant_along_azimuth() -> None:
    """One azimuth line is repeated for all."""
    lut = CalibrationLut(np.array([7.0]), (np.array([0.0, 10]),), (np.array([1.0, 3]),))
    np.testing.assert_allclose(lut.interpolate(np.array([0.0, 99]), np.array([5.0])), [[2], [2]])


@pytest.mark.parametrize(
    ("last_line", "last_pixel", "covered"),
    [(40, 20, True), (70, 36, True), (71, 36, False), (70, 37, False), (0, 0, True)],
)
def test_a_table_covers_one_largest_grid_step_beyond_its_end(last_line: int, last_pixel: int, covered: bool) -> None:
    """The largest steps are 30 lines and 16 pixels."""
    assert LUT.covers(last_line, last_pixel) is covered


def test_a_table_of_one_position_covers_one_pixel_more() -> None:
    """Without a step, the tolerance is one pixel."""
    lut = CalibrationLut(np.array([7.0]), (np.array([5.0]),), (np.array([1.0]),))
    assert lut.covers(8, 6)
    assert not lut.covers(9, 6)
    assert not lut.covers(8, 7)


def test_azimuth_noise_multiplies_pixels_inside_its_bounds() -> None:
    """Bounds are pixel centers: positions up to half a pixel before the first and after the last are inside."""
    block = AzimuthNoiseBlock(10, 20, 5, 6, np.array([10.0, 20]), np.array([2.0, 4]))
    lines, pixels = np.array([9.4, 9.5, 15, 20.4, 20.5]), np.array([4.4, 4.5, 6.4, 6.5])
    noise = np.full((5, 4), 10.0)
    block.apply(noise, lines, pixels)
    expected: Values = np.full((5, 4), 10.0)
    expected[1:4, 1:3] = [[20], [30], [40]]
    np.testing.assert_allclose(noise, expected)
