"""Coastal scenes of any size: sea with ships, harbors, farmland with woods and villages, and a river."""

from __future__ import annotations

from itertools import product
from math import ceil, cos, inf, pi, sin

import numpy as np

from sarbench.simulate.canvas import Drawable
from sarbench.simulate.geometry import Sensor
from sarbench.simulate.land_cover import LandCover
from sarbench.simulate.land_cover_shapes import MeanderTerm, Parcels, Rectangle, Strip
from sarbench.simulate.layouts.paved import grid_points
from sarbench.simulate.layouts.site import Point, Site
from sarbench.simulate.layouts.water import random_ship
from sarbench.simulate.scene import Scene
from sarbench.simulate.targets.aircraft import Aircraft
from sarbench.simulate.targets.bridge import Bridge
from sarbench.simulate.targets.building import Building
from sarbench.simulate.targets.harbor import Harbor
from sarbench.simulate.targets.ship import Ship
from sarbench.simulate.targets.tank import Tank

CELL_PX = 256
"""Side in pixels of the cells that are filled one by one."""
MAX_SPACING_M = {"village": 3.0, "tanks": 3.5, "apron": 2.7}
"""Maximum pixel spacing in meters at which a sensor resolves the objects of each site."""


def coastal_scene(seed: int, rows: int, cols: int, pixel_spacing_m: float) -> Scene:
    """Return a scene of ``rows`` by ``cols`` pixels with the sea on its left."""
    rng = np.random.default_rng(seed)
    side, width, height = CELL_PX * pixel_spacing_m, cols * pixel_spacing_m, rows * pixel_spacing_m
    tilt, slope = rng.uniform(-0.1, 0.1), rng.uniform(-0.2, 0.2)
    sea = Strip(LandCover.WATER, 0.4 * width, height / 2, pi / 2 + tilt, inf, _random_meander(rng, 0.4 * side))
    river = Strip(LandCover.WATER, width / 2, height / 2, slope, 0.13 * side, _random_meander(rng, 0.3 * side))
    sensor = Sensor(pixel_spacing_m, looks=4.4)
    sites = []
    for row, col in product(range(ceil(height / side)), range(ceil(width / side))):
        cell_rng = np.random.default_rng((seed, row, col))
        sites.append(Site(side, sensor, cell_rng, cell_rng, origin=(col * side, row * side)))
        _fill_cell(sites[-1], sea, river)
    fields = Parcels(0.0, 0.0, 0.2 * side, 0.12 * side, rng.uniform(0, pi), seed)
    ground: list[Drawable] = [fields, *(layer for site in sites for layer in site.ground), river, sea]
    targets = [target for site in sites for target in site.targets]
    return Scene(seed, rows, cols, sensor, ground, targets)


def _random_meander(rng: np.random.Generator, size: float) -> tuple[MeanderTerm, ...]:
    return tuple((size / order, 12 * size / order, float(rng.uniform(0, 2 * pi))) for order in (1, 2, 4))


def _fill_cell(site: Site, sea: Strip, river: Strip) -> None:
    """Add the targets of a cell. Its center is at sea, on the shore, on the river, or on land."""
    center = site.point_at(0.5, 0.5)
    offshore, from_river = sea.signed_distance(*center), abs(river.signed_distance(*center))
    if offshore > 0.9 * site.side:
        _add_ships(site)
    elif offshore > -0.5 * site.side:
        _add_harbor(site, sea)
    elif from_river < 0.5 * site.side:
        _add_bridge(site, river)
    elif from_river > 0.8 * site.side and offshore < -0.9 * site.side:
        _add_land_feature(site)


def _add_ships(site: Site) -> None:
    site.ships_moving = site.content_rng.random() < 0.4

    def build(point: Point) -> Ship:
        return random_ship(site, point, site.uniform(0, 2 * pi), 34)

    site.place_targets(max(site.random_count(5) - 2, 0), site.random_points(), build, 8)


def _add_harbor(site: Site, sea: Strip) -> None:
    """Add a harbor at the shore near the center of the cell."""
    x, y = site.point_at(0.5, 0.5)
    along = (x - sea.x) * cos(sea.angle) + (y - sea.y) * sin(sea.angle)
    length = site.uniform(40, 70) * site.unit
    site.try_add(
        Harbor(*sea.point_at(along), length, site.uniform(16, 24) * site.unit, sea.angle, 2 + site.random_count(2))
    )


def _add_bridge(site: Site, river: Strip) -> None:
    """Add a bridge with its road in a third of the river cells."""
    if site.random_count(2):
        return
    x, y = site.point_at(0.5, 0.5)
    along = (x - river.x) * cos(river.angle) + (y - river.y) * sin(river.angle)
    x, y = river.point_at(along)
    half_length, width = river.width / 2 + 4 * site.unit, site.uniform(5, 7) * site.unit
    c, s = cos(river.angle), sin(river.angle)
    if site.try_add(
        Bridge(
            (x + half_length * s, y - half_length * c), (x - half_length * s, y + half_length * c), width, 0.4 * width
        )
    ):
        site.ground.append(Rectangle(LandCover.ASPHALT, x, y, site.side, 0.7 * width, river.angle + pi / 2))


def _add_land_feature(site: Site) -> None:
    """Add a wood, a pond, or a resolvable site: a village, storage tanks, or an apron with aircraft."""
    resolvable = [name for name, max_spacing_m in MAX_SPACING_M.items() if site.sensor.pixel_spacing_m <= max_spacing_m]
    choice = site.choose("wood", "wood", "pond", "fields", *resolvable)
    if choice == "wood":
        site.add_area_feature("wood", LandCover.FOREST, site.uniform(40, 60))
    elif choice == "pond":
        site.add_area_feature("pond", LandCover.WATER, site.uniform(25, 45))
    elif choice == "village":
        site.place_targets(15, site.random_points(), lambda point: _random_house(site, point))
    elif choice == "tanks":
        site.place_targets(
            2 + site.random_count(7), site.points_around("center", 70), lambda point: _random_tank(site, point)
        )
    elif choice == "apron":
        _add_apron(site)


def _random_house(site: Site, point: Point) -> Building:
    length = site.uniform(12, 20) * site.unit
    return Building(*point, length, 0.7 * length, 4.5 * site.unit, site.uniform(0, pi))


def _random_tank(site: Site, point: Point) -> Tank:
    radius = site.uniform(7, 10) * site.unit
    return Tank(*point, radius, 0.5 * radius)


def _add_apron(site: Site) -> None:
    x, y = site.point_at(0.5, 0.5)
    size = 24 * site.unit
    apron = Rectangle(LandCover.ASPHALT, x, y, 4 * 1.35 * size, 2 * 1.35 * size, site.uniform(0, pi))
    site.ground.append(apron)
    heading = site.uniform(0, 2 * pi)
    points = iter(grid_points(site, apron, 4, 2, ordered=False))
    site.place_targets(site.random_count(8), points, lambda point: Aircraft(*point, size, 0.95 * size, heading), 1)
