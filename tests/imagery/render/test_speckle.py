"""Speckle filters against their formulas, and the equivalent number of looks."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imagery.object_fixtures import make_raster, speckled
from imagery.reference_filters import reference_filter
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.render.speckle import FILTERS, despeckle, estimate_enl, gamma_map
from sarlens.imagery.render.window_stats import PaddedRows
from sarlens.types.render_params import Filter

NAMES: list[Filter] = [name for name in get_args(Filter) if name != "none"]


def power_raster(power: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> Raster:
    """Return a raster of one band of power, 0 in invalid pixels."""
    valid = np.ones(power.shape, dtype=bool) if valid is None else valid
    return make_raster(np.where(valid, power, 0).astype(np.float32), Quantity.INTENSITY, valid)


def scene(rows: int = 50, cols: int = 61, seed: int = 0) -> NDArray[np.float32]:
    """Return speckle over an edge, a ramp and some point targets."""
    ground = np.linspace(0.2, 2, cols)[np.newaxis] * np.where(np.arange(rows) > rows // 2, 10, 1)[:, np.newaxis]
    power: NDArray[np.float32] = ground.astype(np.float32) * speckled((rows, cols), looks=3, seed=seed)
    power[::16, ::15] *= 1000
    return power


def holes(shape: tuple[int, int], seed: int = 0) -> NDArray[np.bool_]:
    """Return a mask with an invalid corner, an invalid stripe and scattered invalid pixels."""
    valid = np.random.default_rng(seed).random(shape) > 0.05
    valid[: shape[0] // 4, : shape[1] // 3] = False
    valid[:, shape[1] // 2 : shape[1] // 2 + 5] = False
    return valid


def reference_enl(power: NDArray[Any], valid: NDArray[np.bool_]) -> float:
    """Return 1 / (25th percentile of variance/mean² over the 7 x 7 blocks of valid pixels), at least 1."""
    variances = []
    for row in range(0, power.shape[0] - 6, 7):
        for col in range(0, power.shape[1] - 6, 7):
            block = power[row : row + 7, col : col + 7].astype(np.float64)
            if valid[row : row + 7, col : col + 7].all():
                variances.append(((block - block.mean()) ** 2).sum() / 48 / block.mean() ** 2)
    return max(1.0, 1 / float(np.percentile(variances, 25)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("masked", [False, True])
def test_a_filter_is_its_formula(name: Filter, masked: bool) -> None:
    """Every pixel equals the formula computed for this pixel alone, with and without invalid pixels."""
    power = scene()
    valid = holes((50, 61)) if masked else np.ones((50, 61), dtype=bool)
    expected = reference_filter(name, power, valid, reference_enl(power, valid))
    np.testing.assert_allclose(despeckle(power_raster(power, valid), name).pixels[0], expected, rtol=2e-3)


@pytest.mark.parametrize("name", NAMES)
@given(rows=st.integers(4, 12), cols=st.integers(4, 12), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_small_images_are_filtered(name: Filter, rows: int, cols: int, seed: int) -> None:
    """An image smaller than the window is mirrored until it fills the window."""
    power = speckled((rows, cols), seed=seed)
    expected = reference_filter(name, power, np.ones(power.shape, dtype=bool), estimate_enl(power, power > 0))
    np.testing.assert_allclose(despeckle(power_raster(power), name).pixels[0], expected, rtol=5e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 1), (3, 3)])
def test_one_pixel_can_be_filtered(name: Filter, shape: tuple[int, int]) -> None:
    """A line or a single pixel stays within the range of its values."""
    power = speckled(shape)
    filtered = despeckle(power_raster(power), name).pixels[0]
    assert filtered.shape == shape
    assert power.min() * 0.999 <= filtered.min()
    assert filtered.max() <= power.max() * 1.001


@pytest.mark.parametrize("name", NAMES)
def test_invalid_pixels_influence_no_other_pixel(name: Filter) -> None:
    """Invalid pixels are 0 after filtering, and a constant image around them stays constant."""
    valid = holes((64, 64))
    filtered = despeckle(power_raster(scene(64, 64), valid), name).pixels[0]
    assert (filtered[~valid] == 0).all()
    assert np.isfinite(filtered).all()
    flat = despeckle(power_raster(np.ones((64, 64)), valid), name).pixels[0]
    np.testing.assert_allclose(flat[valid], 1, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_filter_keeps_the_mean_and_reduces_the_variance(name: Filter) -> None:
    """On flat ground the mean changes by at most 3 %, or 10 % for gamma MAP, and the variance is halved at least."""
    power = speckled((256, 256), looks=1)
    filtered = despeckle(power_raster(power), name).pixels[0]
    assert filtered.mean() == pytest.approx(1, abs=0.1 if name == "gamma_map" else 0.03)
    assert filtered.var() < 0.5 * power.var()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [1e-20, 1e-6, 1e6, 1e17])
def test_the_unit_of_power_does_not_matter(name: Filter, factor: float) -> None:
    """The filtered image is proportional to the power, without overflow."""
    power = scene()
    expected = despeckle(power_raster(power), name).pixels[0]
    scaled = despeckle(power_raster(power * np.float32(factor)), name).pixels[0]
    np.testing.assert_allclose(scaled / np.float32(factor), expected, rtol=2e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [0, 7])
def test_a_constant_image_stays_constant(name: Filter, level: float) -> None:
    """Without variance, nothing changes, and nothing is divided by zero."""
    power = np.full((40, 40), level)
    np.testing.assert_allclose(despeckle(power_raster(power), name).pixels[0], power, rtol=1e-5)


def test_each_band_is_filtered_with_its_own_looks() -> None:
    """Bands of one and of sixteen looks are filtered as if each were alone."""
    planes = np.stack([speckled((64, 64), looks=1), 9 * speckled((64, 64), looks=16, seed=1)])
    filtered = despeckle(make_raster(planes, Quantity.INTENSITY), "lee").pixels
    for plane, band in zip(planes, filtered, strict=True):
        np.testing.assert_array_equal(band, despeckle(power_raster(plane), "lee").pixels[0])


@pytest.mark.parametrize("looks", [1, 2, 4, 16])
def test_looks_are_estimated_from_flat_ground(looks: float) -> None:
    """The estimate is within 34 % of the true number, although a sixth of the scene is a town."""
    power = speckled((256, 256), looks=looks)
    power[:100, :100] *= np.random.default_rng(0).choice([1, 100], (100, 100))
    assert estimate_enl(power, np.ones(power.shape, dtype=bool)) == pytest.approx(looks, rel=0.34)


@pytest.mark.parametrize("masked", [False, True])
def test_looks_are_those_of_the_blocks_of_seven_pixels(masked: bool) -> None:
    """The estimate equals the block-by-block formula; a remainder of 1 to 6 rows and columns isn't used."""
    power = speckled((52, 67), looks=6)
    power[:, 30:] *= np.linspace(1, 40, 37, dtype=np.float32)
    power[49:] *= 1000
    power[:, 63:] *= 1000
    valid = holes(power.shape) if masked else np.ones(power.shape, dtype=bool)
    expected = reference_enl(power[:49, :63], valid[:49, :63])
    assert 1 < expected < 100
    assert estimate_enl(power, valid) == pytest.approx(expected, rel=1e-5)


def test_looks_are_taken_from_the_flattest_quarter_of_the_blocks() -> None:
    """Of four blocks with relative variances 1/100, 1/25, 1/4 and 1/2, the 25th percentile is 0.0325."""
    checkerboard = np.where(np.add.outer(np.arange(7), np.arange(7)) % 2, 1.0, -1.0)
    checkerboard[0, 0] = 0
    unit = checkerboard / np.sqrt(checkerboard.var(ddof=1))
    assert unit.mean() == pytest.approx(0)
    blocks = [1 + np.sqrt(variance) * unit for variance in (0.5, 0.01, 0.25, 0.04)]
    power = np.block([blocks[:2], blocks[2:]]).astype(np.float32)
    valid = np.ones((14, 14), dtype=bool)
    assert estimate_enl(power, valid) == pytest.approx(1 / 0.0325, rel=1e-4)
    valid[0, 7] = False
    assert estimate_enl(power, valid) == pytest.approx(1 / 0.145, rel=1e-4)


def test_looks_are_between_one_and_ten_thousand() -> None:
    """Rough scenes and images without a complete block have one look; a constant image has 10,000."""
    rough = speckled((70, 70), looks=0.3)
    assert estimate_enl(rough, np.ones(rough.shape, dtype=bool)) == 1
    assert estimate_enl(np.ones((6, 70), np.float32), np.ones((6, 70), dtype=bool)) == 1
    assert estimate_enl(np.ones((7, 7), np.float32), np.zeros((7, 7), dtype=bool)) == 1
    assert estimate_enl(np.ones((7, 7), np.float32), np.ones((7, 7), dtype=bool)) == pytest.approx(1e4)


@pytest.mark.parametrize("relative_variance", [0.24, 0.26, 0.48, 0.52])
def test_gamma_map_has_three_regimes(relative_variance: float) -> None:
    """With 4 looks: the mean up to s²/m² = 1/4, the pixel from 1/2 on, and the formula between."""
    unit = np.where(np.arange(49).reshape(7, 7) % 2, 1.0, -1.0)
    unit[0, 0] = 0
    unit /= unit.std()
    power = (1 + np.sqrt(relative_variance) * unit).astype(np.float32)
    expected = reference_filter("gamma_map", np.pad(power, 3), np.ones((13, 13), dtype=bool), 4)[6, 6]
    filtered = gamma_map(PaddedRows(power, None), 4).item()
    assert filtered == pytest.approx(expected, rel=1e-4)
    if relative_variance < 0.25:
        assert filtered == pytest.approx(1, rel=1e-4)
    elif relative_variance > 0.5:
        assert filtered == power[3, 3]
    else:
        assert min(power[3, 3], 1) < filtered < max(power[3, 3], 1)


def test_every_filter_of_a_request_exists() -> None:
    """The table has a kernel for each filter of a request except ``none``, which returns the raster unchanged."""
    assert set(FILTERS) == set(NAMES)
    raster = power_raster(scene())
    assert despeckle(raster, "none") is raster
