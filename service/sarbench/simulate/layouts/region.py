"""A stretch of coast of any size: sea with ships, a shore with harbours, farmland with woods, towns and a river."""

from __future__ import annotations

from itertools import product
from math import ceil, cos, inf, pi, sin

import numpy as np

from sarbench.simulate.canvas import Drawn
from sarbench.simulate.geometry import Sensor
from sarbench.simulate.ground import Block, Parcels, Strip, Wave
from sarbench.simulate.landcover import LandCover
from sarbench.simulate.layouts.pavement import stands
from sarbench.simulate.layouts.site import Site, Spot
from sarbench.simulate.layouts.water import ship
from sarbench.simulate.scene import Scene
from sarbench.simulate.targets.aircraft import Aircraft
from sarbench.simulate.targets.bridge import Bridge
from sarbench.simulate.targets.building import Building
from sarbench.simulate.targets.harbor import Harbor
from sarbench.simulate.targets.ship import Ship
from sarbench.simulate.targets.tank import Tank

CELL = 256
"""Pixels to the side of the squares that are filled one by one."""
FINE = {"village": 3.0, "tanks": 3.5, "apron": 2.7}
"""The coarsest spacing in metres at which a radar makes out the objects of each."""


def region(seed: int, rows: int, cols: int, spacing: float) -> Scene:
    """A scene of ``rows`` by ``cols`` pixels at ``spacing`` metres, with the sea at its left."""
    rng = np.random.default_rng(seed)
    side, width, height = CELL * spacing, cols * spacing, rows * spacing
    tilt, slope = rng.uniform(-0.1, 0.1), rng.uniform(-0.2, 0.2)
    sea = Strip(LandCover.WATER, 0.4 * width, height / 2, pi / 2 + tilt, inf, _bends(rng, 0.4 * side))
    stream = Strip(LandCover.WATER, width / 2, height / 2, slope, 0.13 * side, _bends(rng, 0.3 * side))
    sensor = Sensor(spacing, looks=4.4)
    sites = []
    for row, col in product(range(ceil(height / side)), range(ceil(width / side))):
        cell = np.random.default_rng((seed, row, col))
        sites.append(Site(side, sensor, cell, cell, origin=(col * side, row * side)))
        _fill(sites[-1], sea, stream)
    fields = Parcels(0.0, 0.0, 0.2 * side, 0.12 * side, rng.uniform(0, pi), seed)
    ground: list[Drawn] = [fields, *(layer for site in sites for layer in site.ground), stream, sea]
    targets = [target for site in sites for target in site.targets]
    return Scene(seed, rows, cols, sensor, ground, targets)


def _bends(rng: np.random.Generator, size: float) -> tuple[Wave, ...]:
    return tuple((size / order, 12 * size / order, float(rng.uniform(0, 2 * pi))) for order in (1, 2, 4))


def _fill(site: Site, sea: Strip, stream: Strip) -> None:
    """Put on a square what belongs there: by its middle it is at sea, on the shore, on the river or on land."""
    middle = site.at(0.5, 0.5)
    offshore, from_river = sea.across(*middle), abs(stream.across(*middle))
    if offshore > 0.9 * site.side:
        _ships(site)
    elif offshore > -0.5 * site.side:
        _shore(site, sea)
    elif from_river < 0.5 * site.side:
        _crossing(site, stream)
    elif from_river > 0.8 * site.side and offshore < -0.9 * site.side:
        _land(site)


def _ships(site: Site) -> None:
    site.moving = site.rng.random() < 0.4

    def build(spot: Spot) -> Ship:
        return ship(site, spot, site.between(0, 2 * pi), 34)

    site.scatter(max(site.upto(5) - 2, 0), site.anywhere(), build, 8)


def _shore(site: Site, sea: Strip) -> None:
    """A harbour where the shore passes through the middle of the square."""
    x, y = site.at(0.5, 0.5)
    along = (x - sea.x) * cos(sea.angle) + (y - sea.y) * sin(sea.angle)
    length = site.between(40, 70) * site.unit
    site.add(Harbor(*sea.at(along), length, site.between(16, 24) * site.unit, sea.angle, 2 + site.upto(2)))


def _crossing(site: Site, stream: Strip) -> None:
    """A bridge in every third square of the river, its road on both banks."""
    if site.upto(2):
        return
    x, y = site.at(0.5, 0.5)
    along = (x - stream.x) * cos(stream.angle) + (y - stream.y) * sin(stream.angle)
    x, y = stream.at(along)
    half, wide = stream.width / 2 + 4 * site.unit, site.between(5, 7) * site.unit
    c, s = cos(stream.angle), sin(stream.angle)
    if site.add(Bridge((x + half * s, y - half * c), (x - half * s, y + half * c), wide, 0.4 * wide)):
        site.ground.append(Block(LandCover.ASPHALT, x, y, site.side, 0.7 * wide, stream.angle + pi / 2))


def _land(site: Site) -> None:
    """A wood, a pond, or what the spacing can show: a village, storage tanks, an apron with aircraft."""
    fine = [name for name, coarsest in FINE.items() if site.sensor.spacing <= coarsest]
    choice = site.pick("wood", "wood", "pond", "fields", *fine)
    if choice == "wood":
        site.patch("wood", LandCover.FOREST, site.between(40, 60))
    elif choice == "pond":
        site.patch("pond", LandCover.WATER, site.between(25, 45))
    elif choice == "village":
        site.scatter(15, site.anywhere(), lambda spot: _house(site, spot))
    elif choice == "tanks":
        site.scatter(2 + site.upto(7), site.around("center", 70), lambda spot: _tank(site, spot))
    elif choice == "apron":
        _apron(site)


def _house(site: Site, spot: Spot) -> Building:
    length = site.between(12, 20) * site.unit
    return Building(*spot, length, 0.7 * length, 4.5 * site.unit, site.between(0, pi))


def _tank(site: Site, spot: Spot) -> Tank:
    radius = site.between(7, 10) * site.unit
    return Tank(*spot, radius, 0.5 * radius)


def _apron(site: Site) -> None:
    x, y = site.at(0.5, 0.5)
    size = 24 * site.unit
    apron = Block(LandCover.ASPHALT, x, y, 4 * 1.35 * size, 2 * 1.35 * size, site.between(0, pi))
    site.ground.append(apron)
    heading = site.between(0, 2 * pi)
    spots = iter(stands(site, apron, 4, 2, in_order=False))
    site.scatter(site.upto(8), spots, lambda spot: Aircraft(*spot, size, 0.95 * size, heading), 1)
