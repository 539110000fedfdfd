"""Shapes of land cover."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest

from sarbench.simulate.canvas import Drawable
from sarbench.simulate.geometry import Sensor
from sarbench.simulate.land_cover import LandCover
from sarbench.simulate.land_cover_shapes import Background, Strip
from sarbench.simulate.scene import Scene
from sarlens.types.window import Window

SIDE = 128


WHOLE = Window(0, 0, SIDE, SIDE)


def test_strip_angles() -> None:
    """A strip at angle 0 is horizontal, and at a right angle vertical."""
    for angle, axis in ((0.0, 1), (pi / 2, 0)):
        ground: list[Drawable] = [Background(LandCover.WATER), Strip(LandCover.FOREST, 64, 64, angle, 20)]
        cover = Scene(1, SIDE, SIDE, Sensor(1.0), ground, []).mean_backscatter(WHOLE).land_cover
        lines = (cover == LandCover.FOREST).mean(axis=axis)
        assert set(np.unique(lines)) == {0.0, 1.0}
        assert lines.sum() == pytest.approx(20, abs=1)
