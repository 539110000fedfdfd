"""Backscatter of land covers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sarbench.simulate.geometry import Sensor
from sarbench.simulate.land_cover import BACKSCATTER, LandCover, Polarization
from sarbench.simulate.land_cover_shapes import Background
from sarbench.simulate.scene import Scene
from sarlens.types.window import Window


@pytest.mark.parametrize("cover", list(LandCover))
@pytest.mark.parametrize("polarisation", ["VV", "VH"])
def test_mean_backscatter_matches_the_table(cover: LandCover, polarisation: Polarization) -> None:
    """The mean of a scene is the sigma0 of the table plus the sensor noise, to 0.5 dB."""
    sensor = Sensor(0.1, 4.0, 35.0)
    sigma0 = Scene(3, 512, 512, sensor, [Background(cover)], []).intensity(Window(0, 0, 512, 512), polarisation)
    entry = BACKSCATTER[cover]
    level = entry.vv_db if polarisation == "VV" else entry.vh_db
    expected = 10 * np.log10(10 ** (level / 10) + 10 ** (sensor.nesz_db / 10))
    assert 10 * np.log10(sigma0.mean()) == pytest.approx(expected, abs=0.5)


def test_far_range_is_darker() -> None:
    """Water is darker at larger incidence angles, in either look direction."""
    for range_sign in (1, -1):
        wide = Scene(3, 16, 256, replace(Sensor(600.0, 50.0), range_sign=range_sign), [Background(LandCover.WATER)], [])
        columns = wide.intensity(wide.window).mean(axis=0)[::range_sign]
        assert columns[:64].mean() > 1.3 * columns[-64:].mean()
