"""Drawing operations of the canvas."""

from __future__ import annotations

import numpy as np
import pytest

from sarbench.simulate.canvas import Canvas
from sarbench.simulate.geometry import Sensor
from sarlens.types.window import Window

SIDE = 128


WHOLE = Window(0, 0, SIDE, SIDE)


def test_a_point_has_a_cross_of_sidelobes() -> None:
    """Sidelobes are along range and azimuth, more than 13 dB below the peak, and not on the diagonal."""
    canvas = Canvas(WHOLE, Sensor(1.0))
    canvas.add_point(64.5, 64.5, 20.0)
    power = canvas.coherent
    assert power[64, 64] == power.max()
    sidelobe = power[64, 66:73].max()
    assert power[66:73, 64].max() == pytest.approx(sidelobe, rel=1e-5)
    assert sidelobe < power.max() * 10**-1.3
    assert np.diag(power)[66:73].max() < 0.1 * sidelobe
