"""Speckle and texture statistics, compared with theory by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sarbench.simulate.speckle import TiledNoise, gamma_texture, multilook_intensity
from sarlens.types.window import Window

SQUARE = Window(0, 0, 512, 512)


def intensity(clutter: float, coherent: float, looks: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return a square of constant mean power."""
    lattice, shape = TiledNoise(5), (SQUARE.height, SQUARE.width)
    return multilook_intensity(
        np.full(shape, clutter, np.float32),
        np.full(shape, coherent, np.float32),
        looks,
        lattice.gamma(0, SQUARE, looks - 0.5),
        lattice.normal(1, SQUARE),
    )


@pytest.mark.parametrize("looks", [1.0, 3.0, 4.4, 16.0])
def test_clutter_has_gamma_statistics(looks: float) -> None:
    """Speckle keeps the mean, has the requested number of looks, and follows the gamma distribution."""
    sigma0 = intensity(0.2, 0.0, looks).ravel().astype(float)
    assert sigma0.mean() == pytest.approx(0.2, rel=0.01)
    assert sigma0.mean() ** 2 / sigma0.var() == pytest.approx(looks, rel=0.03)
    assert stats.kstest(sigma0[::20], stats.gamma(looks, scale=0.2 / looks).cdf).pvalue > 1e-3


@pytest.mark.parametrize("looks", [1.0, 4.0])
def test_coherent_targets_have_noncentral_chi_square_statistics(looks: float) -> None:
    """A coherent scatterer in clutter follows the noncentral chi-square distribution of L looks."""
    clutter, coherent = 0.3, 1.7
    sigma0 = intensity(clutter, coherent, looks).ravel().astype(float)
    law = stats.ncx2(2 * looks, 2 * looks * coherent / clutter, scale=clutter / (2 * looks))
    assert sigma0.mean() == pytest.approx(clutter + coherent, rel=0.01)
    assert stats.kstest(sigma0[::20], law.cdf).pvalue > 1e-3


@pytest.mark.parametrize("order", [1.5, 3.0, 10.0])
def test_texture_makes_k_distributed_clutter(order: float) -> None:
    """Texture times speckle has the moments of a K distribution: E[I²]/E[I]² = (1 + 1/order)(1 + 1/looks)."""
    looks, lattice = 4.0, TiledNoise(9)
    grain = gamma_texture(lattice.normal(3, SQUARE), np.full((512, 512), order**-0.5, np.float32))
    sigma0 = (grain * intensity(1.0, 0.0, looks)).astype(float)
    assert grain.mean() == pytest.approx(1.0, abs=0.02)
    assert grain.var() == pytest.approx(1 / order, rel=0.06)
    assert np.mean(sigma0**2) / sigma0.mean() ** 2 == pytest.approx((1 + 1 / order) * (1 + 1 / looks), rel=0.05)


def test_smooth_fields_have_unit_variance_everywhere() -> None:
    """Interpolation between nodes doesn't reduce the variance."""
    fields = np.array([TiledNoise(seed).smooth_normal(0, Window(0, 0, 40, 40), 8.0) for seed in range(1500)])
    assert np.abs(fields.mean(axis=0)).max() < 0.15
    assert fields.std(axis=0) == pytest.approx(np.ones((40, 40)), abs=0.12)


@pytest.mark.parametrize("window", [Window(200, 100, 130, 300), Window(255, 255, 2, 2), Window(-70, -300, 90, 90)])
def test_overlapping_windows_agree(window: Window) -> None:
    """Overlapping windows have the same numbers, across tile borders and at negative positions."""
    around = Window(window.col - 57, window.row - 91, window.width + 111, window.height + 120)
    inner = (slice(91, 91 + window.height), slice(57, 57 + window.width))
    lattice = TiledNoise(3)
    assert np.array_equal(lattice.normal(1, around)[inner], lattice.normal(1, window))
    assert np.array_equal(lattice.gamma(2, around, 3.5)[inner], lattice.gamma(2, window, 3.5))
    assert np.array_equal(lattice.smooth_normal(4, around, 7.3)[inner], lattice.smooth_normal(4, window, 7.3))


def test_different_streams_and_seeds_are_independent() -> None:
    """Different streams and different seeds are uncorrelated."""
    first = TiledNoise(1).normal(0, SQUARE).ravel()
    for other in (TiledNoise(1).normal(1, SQUARE), TiledNoise(2).normal(0, SQUARE)):
        assert abs(np.corrcoef(first, other.ravel())[0, 1]) < 0.01
