"""The stretch between percentiles, and composites of two bands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imagery.object_fixtures import make_raster
from sarlens.errors import NoValidPixels
from sarlens.imagery.core.raster import Quantity
from sarlens.imagery.render import kernels
from sarlens.imagery.render.stretch import _nearby_values, _percentile, composite, stretch


@given(st.floats(0, 49), st.floats(51, 100))
@settings(deadline=None)
def test_the_stretch_is_linear_between_percentiles(low: float, high: float) -> None:
    """The two percentiles become 0 and 255; values between are linear, and others are clipped."""
    level = np.random.default_rng(0).normal(-12, 4, (40, 50)).astype(np.float32)
    black, white = np.percentile(level, (low, high))
    expected = np.clip((level - black) * 255 / (white - black), 0, 255)
    stretched = stretch(make_raster(level, Quantity.DECIBEL), (low, high))
    assert np.abs(stretched.pixels[0] - expected).max() <= 0.51
    assert stretched.quantity is Quantity.BRIGHTNESS


@pytest.mark.parametrize("native", [True, False])
@given(
    st.integers(1, 60_000),
    st.sampled_from([1, 3, 100, 100_000]),
    st.sampled_from(["random", "ascending", "periodic"]),
    st.floats(0, 100),
)
@example(60_000, 100_000, "ascending", 0.0)
@example(60_000, 100_000, "periodic", 100.0)
@settings(deadline=None, max_examples=60)
def test_percentiles_are_those_of_all_values(native: bool, size: int, levels: int, order: str, percent: float) -> None:
    """The value of a rank is exact for any order and number of equal values, though a sample narrows the search.

    Sorted values, and values whose period is the distance of the samples, are those that a sample judges worst.
    """
    values = np.random.default_rng(size).integers(-levels, levels, size).astype(np.float32)
    if order == "ascending":
        values.sort()
    elif order == "periodic":
        values[:: size // 8192 | 1] += levels
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(kernels, "NATIVE", native and kernels.NATIVE)
        found = _percentile(values, np.sort(values[:: size // 8192 | 1]), percent)
    ordered, position = np.sort(values).astype(float), percent / 100 * (size - 1)
    below = int(position)
    above = ordered[min(below + 1, size - 1)]
    assert found == ordered[below] + (above - ordered[below]) * (position - below)


@pytest.mark.parametrize("native", [True, False])
def test_a_percentile_is_searched_in_few_values(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 2^18 values, a sample of 8192 leaves fewer than one in 20 to search; if it misjudges the rank, all."""
    monkeypatch.setattr(kernels, "NATIVE", native and kernels.NATIVE)
    values = np.random.default_rng(0).normal(-12, 4, 2**18).astype(np.float32)
    for rank in (0, 5000, 130_000, 2**18 - 2):
        below, nearby = _nearby_values(values, np.sort(values[::33]), rank)
        assert len(nearby) < 2**18 / 20
        assert np.partition(nearby, rank - below)[rank - below] == np.sort(values)[rank]
    below, nearby = _nearby_values(values, np.sort(values[::33]) + 100, 5000)
    assert (below, len(nearby)) == (0, 2**18)


def test_percentiles_of_eleven_values() -> None:
    """Of the levels 0, 10, …, 100 dB, the 10th percentile is 10 dB, and the 90th is 90 dB."""
    level = np.arange(0, 101, 10, dtype=np.float32).reshape(1, 11)
    stretched = stretch(make_raster(level, Quantity.DECIBEL), (10, 90))
    assert stretched.pixels[0, 0].tolist() == [0, 0, 32, 64, 96, 128, 159, 191, 223, 255, 255]
    between = stretch(make_raster(level, Quantity.DECIBEL), (5, 95))
    assert between.pixels[0, 0].tolist() == [0, 14, 43, 71, 99, 128, 156, 184, 213, 241, 255]


def test_nodata_is_black_and_outside_the_statistics() -> None:
    """The values of invalid pixels don't change the percentiles, and the pixels are black."""
    level = np.random.default_rng(0).normal(-12, 4, (64, 64)).astype(np.float32)
    valid = np.random.default_rng(1).random((64, 64)) > 0.4
    stretched = stretch(make_raster(np.where(valid, level, -99), Quantity.DECIBEL, valid), (2, 98))
    other = stretch(make_raster(np.where(valid, level, 500), Quantity.DECIBEL, valid), (2, 98))
    np.testing.assert_array_equal(stretched.pixels, other.pixels)
    assert (stretched.pixels[0][~valid] == 0).all()
    assert stretched.pixels[0][valid].min() == 0
    assert stretched.pixels[0][valid].max() == 255
    black, white = np.percentile(level[valid], (2, 98))
    expected = np.clip((level[valid] - black) * 255 / (white - black), 0, 255)
    assert np.abs(stretched.pixels[0][valid] - expected).max() <= 0.51


@pytest.mark.parametrize("level", [-12.0, 0.0, 40.0])
def test_a_constant_image_is_mid_gray(level: float) -> None:
    """Without contrast, every pixel is 127 or 128."""
    stretched = stretch(make_raster(np.full((8, 8), level, np.float32), Quantity.DECIBEL), (2, 98))
    assert np.unique(stretched.pixels).tolist() in ([127], [128])


def test_a_contrast_of_a_thousandth_decibel_is_stretched_fully() -> None:
    """Two levels 0.002 dB apart become black and white; 0.0001 dB apart, they stay near mid-gray."""
    for step, expected in ((0.002, [0, 255]), (0.0001, [115, 140])):
        level = np.array([[0, step]], np.float32)
        stretched = stretch(make_raster(level, Quantity.DECIBEL), (0, 100)).pixels[0, 0]
        np.testing.assert_allclose(stretched, expected, atol=1)


def test_a_raster_without_valid_pixels_is_rejected() -> None:
    """NoValidPixels says why: every pixel is nodata, zero or not a number."""
    with pytest.raises(NoValidPixels, match="no valid pixel: every pixel is nodata, zero or not a number"):
        stretch(make_raster(np.ones((4, 4), np.float32), Quantity.DECIBEL, np.zeros((4, 4), dtype=bool)), (2, 98))


def test_two_bands_are_composed_with_their_ratio() -> None:
    """Red is the first band, green the second, and blue their difference in decibels, each with its own stretch."""
    first, second = np.random.default_rng(0).normal(-12, 4, (2, 32, 32)).astype(np.float32)
    composed = composite(make_raster([first, second], Quantity.DECIBEL))
    np.testing.assert_array_equal(composed.pixels, [first, second, first - second])
    assert composed.bands == ("1", "2", "1/2")
    stretched = stretch(composed, (2, 98))
    for band, level in zip(stretched.pixels, composed.pixels, strict=True):
        np.testing.assert_array_equal(band, stretch(make_raster(level, Quantity.DECIBEL), (2, 98)).pixels[0])


def test_two_bands_of_an_8_bit_image_are_composed_by_brightness() -> None:
    """The third band is 128 if the two are equal, 0 and 255 at the extremes."""
    composed = composite(make_raster(np.array([[[0, 255, 90]], [[255, 0, 90]]], np.uint8), Quantity.BRIGHTNESS))
    assert composed.pixels[2].tolist() == [[0, 255, 128]]


@pytest.mark.parametrize("bands", [1, 3])
def test_other_numbers_of_bands_are_unchanged(bands: int) -> None:
    """One band or three are returned as they are."""
    raster = make_raster(np.ones((bands, 4, 4), np.float32), Quantity.DECIBEL)
    assert composite(raster) is raster
