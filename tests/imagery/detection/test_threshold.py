"""Threshold factors of the CFAR detector, compared with SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from sarlens.imagery.detection.threshold import equivalent_looks, regularized_beta, threshold_factor, threshold_factors


@pytest.mark.parametrize("pfa", [1e-2, 1e-6, 1e-10])
@pytest.mark.parametrize("cells", [8, 100, 3648])
def test_one_look_has_the_exact_factor(pfa: float, cells: int) -> None:
    """For one look, the factor is N (pfa^(-1/N) - 1), and F with 2 and 2 N degrees of freedom exceeds it with pfa."""
    factor = threshold_factor(pfa, cells, 1)
    assert factor == pytest.approx(cells * (pfa ** (-1 / cells) - 1), rel=1e-9)
    assert stats.f.sf(factor, 2, 2 * cells) == pytest.approx(pfa, rel=1e-6)


@pytest.mark.parametrize("pfa", [1e-2, 1e-6, 1e-10])
@pytest.mark.parametrize("cells", [8, 100, 3648])
@pytest.mark.parametrize("looks", [0.5, 2.0, 4.4, 50.0])
def test_any_number_of_looks_has_the_factor_of_the_f_distribution(pfa: float, cells: int, looks: float) -> None:
    """The factor is the quantile of the F distribution with 2 L and 2 N L degrees of freedom."""
    expected = stats.f.isf(pfa, 2 * looks, 2 * cells * looks)
    assert threshold_factor(pfa, cells, looks) == pytest.approx(expected, rel=1e-6)


@given(st.floats(1e-6, 1 - 1e-6), st.floats(0.1, 2e4), st.floats(0.1, 1e3))
@settings(deadline=None, max_examples=300)
def test_the_incomplete_beta_function_is_that_of_scipy(x: float, a: float, b: float) -> None:
    """I_x(a, b) agrees with SciPy."""
    assert regularized_beta(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-6, abs=1e-12)


def test_factors_of_a_plane_are_interpolated_and_never_too_low() -> None:
    """Between 365 and 3648 cells, factors exceed the exact ones by at most 2 %; with fewer cells they are infinite."""
    cells = np.array([[364, 365, 500, 1000, 2000, 3648]], np.float32)
    factors = threshold_factors(1e-8, cells, 4.4, 365, 3648)[0]
    exact = [stats.f.isf(1e-8, 2 * 4.4, 2 * float(count) * 4.4) for count in cells[0, 1:]]
    assert factors[0] == np.inf
    ratio = factors[1:] / exact
    assert (ratio >= 1).all()
    assert (ratio <= 1.02).all()


def test_looks_are_those_of_the_median_window() -> None:
    """Gamma clutter of 4 looks with one outlier among its windows has 4 looks; without clutter there is one look."""
    samples = np.random.default_rng(1).gamma(4, 0.25, (21, 5000)).astype(np.float32)
    samples[0, 0] = 1e5
    looks = equivalent_looks(samples.mean(axis=1), np.square(samples).mean(axis=1))
    assert looks == pytest.approx(4, rel=0.03)
    assert equivalent_looks(np.zeros(3, np.float32), np.zeros(3, np.float32)) == 1
