"""SAR signatures of targets."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from sarbench.simulate.canvas import Drawable
from sarbench.simulate.chip import labeled_boxes
from sarbench.simulate.geometry import Sensor
from sarbench.simulate.land_cover import LandCover
from sarbench.simulate.land_cover_shapes import Background
from sarbench.simulate.scene import Scene
from sarbench.simulate.targets import Target
from sarbench.simulate.targets.aircraft import Aircraft
from sarbench.simulate.targets.bridge import Bridge
from sarbench.simulate.targets.building import Building
from sarbench.simulate.targets.car import Car
from sarbench.simulate.targets.harbor import Harbor
from sarbench.simulate.targets.ship import Ship
from sarbench.simulate.targets.tank import Tank
from sarlens.prompts.applications import CATEGORIES
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


def scene(*layers: Target, ground: Drawable | None = None, range_sign: Literal[1, -1] = 1) -> Scene:
    """Return a square scene with some targets."""
    base = Background(LandCover.WATER) if ground is None else ground
    return Scene(1, SIDE, SIDE, Sensor(1.0, 4.0, 40.0, range_sign), [base], list(layers))


@pytest.mark.parametrize("range_sign", [1, -1])
@pytest.mark.parametrize("category", CATEGORIES)
def test_the_box_matches_the_bright_pixels(category: str, range_sign: Literal[1, -1]) -> None:
    """The bright pixels of a target fill its box, with at most 9 pixels of difference."""
    target = ONE_OF_EACH[category]
    simulated = scene(target, range_sign=range_sign)
    (labeled,) = labeled_boxes(simulated)
    canvas = simulated.mean_backscatter(WHOLE)
    rows, cols = np.nonzero(canvas.coherent > 0.25)
    bright = (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)
    box = (labeled.box.x, labeled.box.y, labeled.box.x + labeled.box.width, labeled.box.y + labeled.box.height)
    assert labeled.category == category
    # Sidelobes and the echo under a bridge pass the box by some pixels; the far side of a tank's foot is hidden.
    assert np.abs(np.subtract(bright, box)).max() <= (9 if category == "tank" else 6)
    inside = canvas.coherent[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])]
    assert inside.sum() > 0.85 * canvas.coherent.sum()


@pytest.mark.parametrize("range_sign", [1, -1])
@pytest.mark.parametrize("target", [Building(64, 64, 30, 20, 10), Tank(64, 64, 12, 9)])
def test_layover_is_on_the_near_side_and_shadow_on_the_far_side(target: Target, range_sign: Literal[1, -1]) -> None:
    """Layover is bright on the near side and shadow dark on the far side, in either look direction."""
    canvas = scene(target, ground=Background(LandCover.GRASS), range_sign=range_sign).mean_backscatter(WHOLE)
    row = (canvas.clutter + canvas.coherent)[64][::range_sign]
    grass = np.median(canvas.clutter)
    near, far = row[: SIDE // 2], row[SIDE // 2 :]
    assert near.max() > 20 * grass
    assert far.min() < 0.4 * grass < near.min()


def test_a_wake_has_a_dark_core_and_bright_kelvin_arms() -> None:
    """Behind a moving ship, the center is dark and the arms at the Kelvin angle of 19.5 degrees are bright."""
    calm, moving = (
        scene(Ship(100, 64, 20, 4, 0.0, (), wake)).mean_backscatter(WHOLE).clutter for wake in (False, True)
    )
    ratio = moving[:, 50] / calm[:, 50]
    astern = (100 - 10) - 50.5
    arm = 64 + round(astern * np.tan(np.radians(19.47)) + 2)
    assert ratio[64] < 0.7
    assert ratio[arm - 1 : arm + 2].max() > 1.5
    assert ratio[10] == pytest.approx(1.0)
