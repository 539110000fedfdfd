"""Speckle filters against their formulas, and what they are for."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from imagery.blobs import speckled
from imagery.naive import naive
from sarlens.imagery.neighbourhood import Patch, box_sums, line_sums, moments
from sarlens.imagery.raster import Quantity, Raster
from sarlens.imagery.refined_lee import _five_smallest
from sarlens.imagery.speckle import FILTERS, despeckle, equivalent_looks
from sarlens.request import Filter, Window

NAMES: list[Filter] = [name for name in get_args(Filter) if name != "none"]


def power_raster(power: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> Raster:
    """A raster of one band of power, 0 where it is not valid."""
    valid = np.ones(power.shape, dtype=bool) if valid is None else valid
    pixels = np.where(valid, power, 0).astype(np.float32)[np.newaxis]
    return Raster(pixels, valid, ("VV",), Quantity.INTENSITY, Window(0, 0, power.shape[1], power.shape[0]))


def scene(rows: int = 50, cols: int = 61, seed: int = 0) -> NDArray[np.float32]:
    """Speckle over an edge, a ramp and some point targets."""
    ground = np.linspace(0.2, 2, cols)[np.newaxis] * np.where(np.arange(rows) > rows // 2, 10, 1)[:, np.newaxis]
    power: NDArray[np.float32] = ground.astype(np.float32) * speckled((rows, cols), looks=3, seed=seed)
    power[::16, ::15] *= 1000
    return power


def holes(shape: tuple[int, int], seed: int = 0) -> NDArray[np.bool_]:
    """A mask with a missing corner, a missing band and scattered missing pixels."""
    valid = np.random.default_rng(seed).random(shape) > 0.05
    valid[: shape[0] // 4, : shape[1] // 3] = False
    valid[:, shape[1] // 2 : shape[1] // 2 + 5] = False
    return valid


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("masked", [False, True])
def test_a_filter_is_its_formula(name: Filter, masked: bool) -> None:
    """Every pixel equals the formula worked out by itself, with and without pixels that were not measured."""
    power = scene()
    valid = holes((50, 61)) if masked else np.ones((50, 61), dtype=bool)
    expected = naive(name, power, valid, equivalent_looks(np.where(valid, power, 0), valid))
    np.testing.assert_allclose(despeckle(power_raster(power, valid), name).pixels[0], expected, rtol=2e-3)


@pytest.mark.parametrize("name", NAMES)
@given(rows=st.integers(4, 12), cols=st.integers(4, 12), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_small_images_are_filtered_too(name: Filter, rows: int, cols: int, seed: int) -> None:
    """An image smaller than the window is mirrored until it fills it."""
    power = speckled((rows, cols), seed=seed)
    expected = naive(name, power, np.ones(power.shape, dtype=bool), equivalent_looks(power, power > 0))
    np.testing.assert_allclose(despeckle(power_raster(power), name).pixels[0], expected, rtol=5e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 1), (3, 3)])
def test_even_one_pixel_can_be_filtered(name: Filter, shape: tuple[int, int]) -> None:
    """A line or a single pixel stays within what was measured."""
    power = speckled(shape)
    calm = despeckle(power_raster(power), name).pixels[0]
    assert calm.shape == shape
    assert power.min() * 0.999 <= calm.min()
    assert calm.max() <= power.max() * 1.001


@pytest.mark.parametrize("name", NAMES)
def test_pixels_that_were_not_measured_reach_no_other(name: Filter) -> None:
    """Whatever stands under the mask, the filtered pixels beside it are the same."""
    valid = holes((64, 64))
    power = scene(64, 64)
    clean = despeckle(power_raster(power, valid), name).pixels[0]
    assert (clean[~valid] == 0).all()
    assert np.isfinite(clean).all()
    flat = despeckle(power_raster(np.ones((64, 64)), valid), name).pixels[0]
    np.testing.assert_allclose(flat[valid], 1, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_filter_keeps_the_mean_and_calms_the_speckle(name: Filter) -> None:
    """On flat ground the mean stays, but for gamma MAP that takes the likeliest, and the looks multiply."""
    power = speckled((256, 256), looks=1)
    calm = despeckle(power_raster(power), name).pixels[0]
    assert calm.mean() == pytest.approx(1, abs=0.1 if name == "gamma_map" else 0.03)
    assert calm.var() < 0.5 * power.var()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [1e-20, 1e-6, 1e6, 1e17])
def test_the_unit_of_power_does_not_matter(name: Filter, factor: float) -> None:
    """Digital numbers squared or sigma nought: the filtered image scales with the power, without overflow."""
    power = scene()
    expected = despeckle(power_raster(power), name).pixels[0]
    scaled = despeckle(power_raster(power * np.float32(factor)), name).pixels[0]
    np.testing.assert_allclose(scaled / np.float32(factor), expected, rtol=2e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [0, 7])
def test_a_constant_image_stays_constant(name: Filter, level: float) -> None:
    """Without any scatter there is nothing to divide by, and nothing changes."""
    power = np.full((40, 40), level)
    np.testing.assert_allclose(despeckle(power_raster(power), name).pixels[0], power, rtol=1e-5)


def test_refined_lee_keeps_an_edge_sharp() -> None:
    """Across an edge of 20 dB the box average smears, refined Lee does not."""
    ground = np.where(np.arange(128) < 64, 1, 100) * np.ones((128, 1))
    power = ground * speckled((128, 128), looks=4)
    calm = despeckle(power_raster(power), "refined_lee").pixels[0]
    smeared = ndimage.uniform_filter(power, 7)
    assert calm[:, 62].mean() < 3
    assert smeared[:, 62].mean() > 20
    assert calm[:, 65].mean() > 80


@pytest.mark.parametrize("looks", [1, 2, 4, 16])
def test_the_number_of_looks_is_estimated_from_flat_ground(looks: float) -> None:
    """The estimate is right within a third, a bright town in the scene notwithstanding."""
    power = speckled((256, 256), looks=looks)
    power[:100, :100] *= np.random.default_rng(0).choice([1, 100], (100, 100))
    assert equivalent_looks(power, np.ones(power.shape, dtype=bool)) == pytest.approx(looks, rel=0.34)


@given(st.integers(1, 9), st.sampled_from([0, 1]), st.integers(0, 20))
@settings(deadline=None)
def test_sums_along_a_line_are_convolutions(length: int, axis: int, seed: int) -> None:
    """Adding runs of 1, 2, 4 neighbours gives what a convolution gives."""
    plane = np.random.default_rng(seed).integers(0, 99, (12, 15)).astype(np.float32)
    expected = np.apply_along_axis(np.convolve, axis, plane, np.ones(length), "valid")
    np.testing.assert_array_equal(line_sums(plane, length, axis), expected)


def test_moments_are_those_of_scipy() -> None:
    """Mean and variance over 7 x 7 agree with SciPy's box filter."""
    plane = speckled((40, 50))
    mean, variance = moments(Patch(plane, None))
    expected = ndimage.uniform_filter(plane.astype(np.float64), 7)[3:-3, 3:-3]
    squares = ndimage.uniform_filter(plane.astype(np.float64) ** 2, 7)[3:-3, 3:-3]
    np.testing.assert_allclose(mean, expected, rtol=1e-5)
    np.testing.assert_allclose(variance, squares - expected**2, rtol=1e-3)
    np.testing.assert_allclose(box_sums(plane, 7), 49 * expected, rtol=1e-5)


@given(st.integers(0, 1000), st.integers(1, 9))
@settings(deadline=None)
def test_the_five_smallest_of_nine_are_summed_without_sorting_them(seed: int, kinds: int) -> None:
    """The staircase of sorted columns finds the five smallest, ties included."""
    nine = np.random.default_rng(seed).integers(0, kinds, (8, 9)).astype(np.float32)
    around = np.stack([nine[r : r + 4, c : c + 5] for r in (0, 2, 4) for c in (0, 2, 4)])
    np.testing.assert_array_equal(_five_smallest(nine), np.sort(around, axis=0)[:5].sum(axis=0))


def test_every_filter_that_can_be_asked_for_is_there() -> None:
    """The request's filters and the table of filters are the same, but for none."""
    assert set(FILTERS) == set(NAMES)
    raster = power_raster(scene())
    assert despeckle(raster, "none") is raster
