"""Rendering of scenes window by window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sarbench.simulate.canvas import Drawable
from sarbench.simulate.geometry import Sensor
from sarbench.simulate.land_cover import LandCover
from sarbench.simulate.land_cover_shapes import Background, Blob, Parcels, Rectangle, Strip
from sarbench.simulate.scene import Scene
from sarbench.simulate.targets import Target
from sarbench.simulate.targets.aircraft import Aircraft
from sarbench.simulate.targets.bridge import Bridge
from sarbench.simulate.targets.building import Building
from sarbench.simulate.targets.car import Car
from sarbench.simulate.targets.harbor import Harbor
from sarbench.simulate.targets.ship import Ship
from sarbench.simulate.targets.tank import Tank
from sarlens.types.window import Window

SIDE = 128


WHOLE = Window(0, 0, SIDE, SIDE)


ONE_OF_EACH: dict[str, Target] = {
    "ship": Ship(64, 60, 40, 8, 0.7),
    "bridge": Bridge((40, 50), (90, 70), 6),
    "tank": Tank(60, 64, 12, 8),
    "aircraft": Aircraft(64, 64, 36, 34, 2.0),
    "car": Car(64, 64, 0.3, 4.0),
    "harbor": Harbor(60, 70, 44, 20, 2.9, 3),
}


def test_complex_amplitude_has_single_look_statistics() -> None:
    """Single-look power has the mean of sigma0 and an equivalent number of looks of 1."""
    field = Scene(3, 256, 256, Sensor(1.0, 4.0), [Background(LandCover.CROP)], [])
    power = np.abs(field.complex_amplitude(field.window).astype(np.complex128)) ** 2
    assert power.mean() == pytest.approx(field.intensity(field.window).mean(), rel=0.05)
    assert power.mean() ** 2 / power.var() == pytest.approx(1.0, abs=0.08)


LAYERS: list[Drawable] = [
    Parcels(0, 0, 30, 20, 0.4, 7),
    Strip(LandCover.WATER, 60, 60, 0.8, 22, ((6, 60, 1.0),)),
    Blob(LandCover.FOREST, 30, 100, 20, ((0.2, 1.0), (0.1, 2.0))),
    Rectangle(LandCover.ASPHALT, 100, 100, 40, 20, 0.3),
]


@pytest.mark.parametrize("window", [Window(0, 0, 64, 64), Window(37, 41, 60, 55), Window(120, 3, 8, 125)])
def test_a_window_equals_its_part_of_the_scene(window: Window) -> None:
    """A scene rendered by windows equals the scene rendered at once, bit for bit, for all shapes and targets."""
    targets: list[Target] = [
        *ONE_OF_EACH.values(),
        Building(90, 30, 20, 12, 6, 0.3),
        Ship(30, 30, 16, 4, 1.0, under_way=True),
    ]
    for range_sign in (1, -1):
        full = Scene(8, SIDE, SIDE, replace(Sensor(1.0, 3.0), range_sign=range_sign), LAYERS, targets)
        part = (slice(window.row, window.row + window.height), slice(window.col, window.col + window.width))
        assert np.array_equal(full.intensity(WHOLE)[part], full.intensity(window))
        assert np.array_equal(full.complex_amplitude(WHOLE)[part], full.complex_amplitude(window))
