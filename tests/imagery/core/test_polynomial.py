"""Scale factors that vary over an image."""

from __future__ import annotations

import numpy as np

from sarlens.imagery.core.polynomial import ScaleFactorPolynomial


def test_the_factor_is_a_polynomial_of_meters() -> None:
    """With 2 + 3 x + 5 y + 7 x y, pixel (12, 23) around (10, 20) at 0.5 m by 2 m has x = 1 and y = 6: 77."""
    polynomial = ScaleFactorPolynomial(np.array([[2.0, 5.0], [3.0, 7.0]]), (10, 20), (0.5, 2.0))
    factors = polynomial.at(np.array([10.0, 12.0]), np.array([20.0, 23.0]))
    assert factors.tolist() == [[2, 2 + 5 * 6], [2 + 3, 2 + 3 + 5 * 6 + 7 * 6]]
