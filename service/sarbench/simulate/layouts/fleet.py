"""Open sea of any size with ships at known places: half of them alone, the others in anchorages."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import inf, pi

import numpy as np

from sarbench.simulate.geometry import Extent, Sensor
from sarbench.simulate.ground import Plain, Strip
from sarbench.simulate.landcover import LandCover
from sarbench.simulate.layouts.region import CELL
from sarbench.simulate.layouts.site import Site, Spot
from sarbench.simulate.layouts.water import ship
from sarbench.simulate.scene import Scene
from sarbench.simulate.targets.ship import Ship

ANCHORAGE = range(2, 9)
"""Ships that lie together."""
RADIUS = 52
"""Units around the middle of an anchorage."""
GAP = 7
"""Units from ship to ship."""
TRIES = 20
"""Spots that are tried for each ship."""


def fleet(seed: int, rows: int, cols: int, spacing: float, ships: int) -> Scene:
    """A scene of ``rows`` by ``cols`` pixels at ``spacing`` metres, calmer on one side, with ``ships`` on it.

    Ships are those of chips of the sea, at the size that they have there in a chip of 256 pixels, and lie wherever
    they come to lie. There are fewer where so many find no room.
    """
    rng = np.random.default_rng(seed)
    width, height = cols * spacing, rows * spacing
    sensor = Sensor(spacing, looks=4.4, incidence=30.0)
    waters = Site(CELL * spacing, sensor, rng, rng)
    middle, calmer = (width / 2, height / 2), waters.between(0.7, 1.7)
    calm = Strip(LandCover.WATER, *middle, waters.between(0, 2 * pi), inf, waters.meander(60), calmer)
    everything = Extent(0, 0, width, height)
    placed: list[Ship] = []
    taken: list[Extent] = []
    for spot in islice(_spots(waters, width, height), TRIES * ships):
        waters.moving = bool(waters.rng.random() < 0.4)
        vessel = ship(waters, spot, waters.between(0, 2 * pi), 34)
        outline = vessel.outline(sensor)
        room = outline.grown(GAP * waters.unit)
        if _inside(room, everything) and not any(room.meets(other) for other in taken):
            placed.append(vessel)
            taken.append(outline)
        if len(placed) == ships:
            break
    return Scene(seed, rows, cols, sensor, (Plain(LandCover.WATER), calm), placed)


def _spots(waters: Site, width: float, height: float) -> Iterator[Spot]:
    """Spots without end: as many alone as in anchorages."""
    while True:
        number = int(waters.rng.integers(ANCHORAGE.start, ANCHORAGE.stop))
        for _ in range(number):
            yield waters.between(0, width), waters.between(0, height)
        x, y = waters.between(0, width), waters.between(0, height)
        for _ in range(number):
            yield (
                x + RADIUS * waters.unit * waters.between(-1, 1),
                y + RADIUS * waters.unit * waters.between(-1, 1),
            )


def _inside(extent: Extent, whole: Extent) -> bool:
    across = extent.left >= whole.left and extent.right <= whole.right
    return across and extent.top >= whole.top and extent.bottom <= whole.bottom
