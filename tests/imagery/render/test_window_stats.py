"""Sums and moments over windows, and filtering in blocks of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from imagery.object_fixtures import speckled
from sarlens.imagery.core.box_sums import box_sums, line_sums
from sarlens.imagery.render.window_stats import (
    PaddedRows,
    apply_window_filter,
    local_mean_variance,
)


@given(st.integers(1, 9), st.sampled_from([0, 1]), st.integers(0, 20))
@settings(deadline=None)
def test_sums_along_a_line_are_convolutions(length: int, axis: int, seed: int) -> None:
    """Sums of runs of 1, 2, 4 … neighbors equal a convolution."""
    plane = np.random.default_rng(seed).integers(0, 99, (12, 15)).astype(np.float32)
    expected = np.apply_along_axis(np.convolve, axis, plane, np.ones(length), "valid")
    np.testing.assert_array_equal(line_sums(plane, length, axis), expected)


def test_moments_are_those_of_scipy() -> None:
    """Mean and variance over 7 x 7 pixels agree with SciPy's box filter."""
    plane = speckled((40, 50))
    mean, variance = local_mean_variance(PaddedRows(plane, None))
    expected = ndimage.uniform_filter(plane.astype(np.float64), 7)[3:-3, 3:-3]
    squares = ndimage.uniform_filter(plane.astype(np.float64) ** 2, 7)[3:-3, 3:-3]
    np.testing.assert_allclose(mean, expected, rtol=1e-5)
    np.testing.assert_allclose(variance, squares - expected**2, rtol=1e-3)
    np.testing.assert_allclose(box_sums(plane, 7), 49 * expected, rtol=1e-5)


def test_moments_count_valid_pixels_only() -> None:
    """Mean and variance divide by the number of valid pixels, and are 0 without any."""
    power = np.zeros((7, 8), np.float32)
    weight = np.zeros((7, 8), np.float32)
    power[0, :3], weight[0, :3] = (2, 4, 9), 1
    mean, variance = local_mean_variance(PaddedRows(power, weight))
    np.testing.assert_allclose(mean, [[5, 6.5]])
    np.testing.assert_allclose(variance, [[26 / 3, 6.25]], rtol=1e-6)
    mean, variance = local_mean_variance(PaddedRows(power, np.zeros_like(weight)))
    assert (np.isfinite(mean) & np.isfinite(variance)).all()


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 70])
def test_blocks_of_rows_cover_the_image_once(rows: int) -> None:
    """A kernel that returns its center returns the image, and gets the mirrored margin of 3 pixels."""
    power = np.random.default_rng(0).random((rows, 9)).astype(np.float32)
    blocks: list[PaddedRows] = []

    def kernel(block: PaddedRows) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        blocks.append(block)
        return block.center

    np.testing.assert_array_equal(apply_window_filter(power, np.ones(power.shape, dtype=bool), kernel), power)
    assert [block.power.shape for block in blocks] == [(min(32, rows - start) + 6, 15) for start in range(0, rows, 32)]
    padded = np.pad(power, 3, mode="symmetric")
    for block, start in zip(blocks, range(0, rows, 32), strict=True):
        np.testing.assert_array_equal(block.power, padded[start : start + 38])
        assert block.weight is None


def test_invalid_pixels_are_zero_and_reach_the_kernel_as_weights() -> None:
    """Blocks without invalid pixels have no weights; others have 0 and 1, margin included."""
    valid = np.ones((64, 9), dtype=bool)
    valid[40, 4] = False
    blocks: list[PaddedRows] = []

    def kernel(block: PaddedRows) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        blocks.append(block)
        return block.center + 1

    result = apply_window_filter(np.ones((64, 9), np.float32), valid, kernel)
    assert result[40, 4] == 0
    assert (result[valid] == 2).all()
    assert blocks[0].weight is None
    assert blocks[1].weight is not None
    assert np.argwhere(blocks[1].weight == 0).tolist() == [[40 - 32 + 3, 4 + 3]]
    assert blocks[1].weight.sum() == 38 * 15 - 1
