"""Refined Lee: the five smallest variances, the half window along an edge, and invalid pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from imagery.object_fixtures import make_raster, speckled
from imagery.reference_filters import reference_filter
from sarlens.imagery.core.raster import Quantity
from sarlens.imagery.render.refined_lee import _half_sums, _sum_of_five_smallest, refined_lee
from sarlens.imagery.render.speckle import despeckle
from sarlens.imagery.render.window_stats import PaddedRows


def test_an_edge_stays_sharp() -> None:
    """At an edge of 20 dB, pixels 2 columns away keep their level; a box filter smears them."""
    ground = np.where(np.arange(128) < 64, 1, 100) * np.ones((128, 1))
    power = ground * speckled((128, 128), looks=4)
    filtered = despeckle(make_raster(power.astype(np.float32), Quantity.INTENSITY), "refined_lee").pixels[0]
    smeared = ndimage.uniform_filter(power, 7)
    assert filtered[:, 62].mean() < 3
    assert smeared[:, 62].mean() > 20
    assert filtered[:, 65].mean() > 80


@given(st.integers(0, 1000), st.integers(1, 9))
@settings(deadline=None)
def test_the_five_smallest_of_nine_are_summed(seed: int, distinct_values: int) -> None:
    """The sum equals that of sorted values, ties included."""
    values = np.random.default_rng(seed).integers(0, distinct_values, (8, 9)).astype(np.float32)
    around = np.stack([values[r : r + 4, c : c + 5] for r in (0, 2, 4) for c in (0, 2, 4)])
    np.testing.assert_array_equal(_sum_of_five_smallest(values), np.sort(around, axis=0)[:5].sum(axis=0))


def test_half_windows_have_28_pixels_and_share_the_line_between_them() -> None:
    """The four pairs are split by a column, a row and two diagonals; both halves include the line of 7 pixels."""
    plane = np.random.default_rng(0).integers(0, 99, (7, 7)).astype(np.float32)
    rows, cols = np.mgrid[-3:4, -3:4]
    for (one, other), side in zip(_half_sums(plane), (-cols, -rows, -rows - cols, cols - rows), strict=True):
        assert np.count_nonzero(side >= 0) == 28
        assert one.item() == plane[side >= 0].sum()
        assert other.item() == plane[side <= 0].sum()


@pytest.mark.parametrize("valid_pixels", [4, 5])
def test_a_square_with_fewer_than_five_valid_pixels_counts_as_speckle(valid_pixels: int) -> None:
    """Its relative variance is 1/L; with five valid pixels or more, it is variance/mean²."""
    power = speckled((7, 7), looks=2, seed=3).astype(np.float64)
    valid = np.zeros((7, 7), dtype=bool)
    valid[2:5, 2:5] = True
    valid[0:3, 0:3].flat[:] = False
    valid[0:3, 0:3].flat[:valid_pixels] = True
    valid[3, 3] = True
    rows = PaddedRows(np.where(valid, power, 0).astype(np.float32), valid.astype(np.float32))
    padded = np.pad(np.where(valid, power, 0), 3)
    expected = reference_filter("refined_lee", padded, np.pad(valid, 3), looks=5)[6, 6]
    assert refined_lee(rows, 5).item() == pytest.approx(expected, rel=1e-4)
