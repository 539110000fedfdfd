"""Scenes of open sea of any size with ships at known positions, half of them alone and half in anchorages."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import inf, pi

import numpy as np

from sarbench.simulate.geometry import Extent, Sensor
from sarbench.simulate.land_cover import LandCover
from sarbench.simulate.land_cover_shapes import Background, Strip
from sarbench.simulate.layouts.coastal_region import CELL_PX
from sarbench.simulate.layouts.site import Point, Site
from sarbench.simulate.layouts.water import random_ship
from sarbench.simulate.scene import Scene
from sarbench.simulate.targets.ship import Ship

ANCHORAGE_SHIPS = range(2, 9)
"""Numbers of ships in an anchorage."""
ANCHORAGE_RADIUS = 52
"""Radius of an anchorage, in units."""
MIN_GAP = 7
"""Minimum gap between ships, in units."""
ROUGH_DB = 8.0
"""Power of a rough sea over the table's water, in dB."""
ROUGH_TEXTURE_ORDER = 4.0
"""Order of the texture of a rough sea; 40 in the table's water."""
ATTEMPTS_PER_SHIP = 20
"""Maximum number of candidate positions per ship."""


def open_sea_scene(
    seed: int, rows: int, cols: int, pixel_spacing_m: float, ships: int, *, is_rough: bool = False
) -> Scene:
    """Return a scene of ``rows`` by ``cols`` pixels with up to ``ships`` ships, and calmer water on one side.

    Ships have the same size as in sea chips of 256 pixels. There are fewer than ``ships`` if they don't fit. A rough
    sea is ``ROUGH_DB`` brighter, with K-distributed clutter of the order ``ROUGH_TEXTURE_ORDER``.
    """
    rng = np.random.default_rng(seed)
    width, height = cols * pixel_spacing_m, rows * pixel_spacing_m
    sensor = Sensor(pixel_spacing_m, looks=4.4, incidence_deg=30.0)
    site = Site(CELL_PX * pixel_spacing_m, sensor, rng, rng)
    center, calm_offset_db = (width / 2, height / 2), site.uniform(0.7, 1.7)
    calm_water = Strip(LandCover.WATER, *center, site.uniform(0, 2 * pi), inf, site.random_meander(60), calm_offset_db)
    scene_extent = Extent(0, 0, width, height)
    placed: list[Ship] = []
    occupied: list[Extent] = []
    for point in islice(_candidate_points(site, width, height), ATTEMPTS_PER_SHIP * ships):
        site.ships_moving = bool(site.content_rng.random() < 0.4)
        vessel = random_ship(site, point, site.uniform(0, 2 * pi), 34)
        outline = vessel.box_extent(sensor)
        clearance = outline.expanded(MIN_GAP * site.unit)
        if _contains(clearance, scene_extent) and not any(clearance.intersects(other) for other in occupied):
            placed.append(vessel)
            occupied.append(outline)
        if len(placed) == ships:
            break
    rough = (Background(LandCover.WATER, ROUGH_DB, ROUGH_TEXTURE_ORDER),)
    ground = rough if is_rough else (Background(LandCover.WATER), calm_water)
    return Scene(seed, rows, cols, sensor, ground, placed)


def _candidate_points(site: Site, width: float, height: float) -> Iterator[Point]:
    """Yield endless candidate positions, as many alone as in anchorages."""
    while True:
        count = int(site.content_rng.integers(ANCHORAGE_SHIPS.start, ANCHORAGE_SHIPS.stop))
        for _ in range(count):
            yield site.uniform(0, width), site.uniform(0, height)
        x, y = site.uniform(0, width), site.uniform(0, height)
        for _ in range(count):
            yield (
                x + ANCHORAGE_RADIUS * site.unit * site.uniform(-1, 1),
                y + ANCHORAGE_RADIUS * site.unit * site.uniform(-1, 1),
            )


def _contains(extent: Extent, whole: Extent) -> bool:
    across = extent.left >= whole.left and extent.right <= whole.right
    return across and extent.top >= whole.top and extent.bottom <= whole.bottom
