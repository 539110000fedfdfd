"""Paved sites, where aircraft and cars stand."""

from __future__ import annotations

from math import cos, pi, sin

from sarbench.simulate.ground import Blob, Block
from sarbench.simulate.landcover import LandCover
from sarbench.simulate.layouts.site import MIDDLES, Site, Spot
from sarbench.simulate.targets.aircraft import Aircraft
from sarbench.simulate.targets.building import Building
from sarbench.simulate.targets.car import Car
from sarbench.simulate.targets.tank import Tank


def stands(site: Site, block: Block, columns: int, rows: int, *, in_order: bool) -> list[Spot]:
    """The middles of ``columns`` by ``rows`` stands that fill ``block``, in order or shuffled."""
    c, s = cos(block.angle), sin(block.angle)
    spots = []
    for row in range(rows):
        for column in range(columns):
            along = ((column + 0.5) / columns - 0.5) * block.length
            across = ((row + 0.5) / rows - 0.5) * block.width
            spots.append((block.x + along * c - across * s, block.y + along * s + across * c))
    return spots if in_order else [spots[int(number)] for number in site.rng.permutation(len(spots))]


def airfield(site: Site) -> None:
    """A runway and, beside it, an apron with up to ten aircraft; hangars, and sometimes a fuel depot."""
    site.plain(LandCover.GRASS)
    runway = site.line("runway", LandCover.ASPHALT, site.formed(12, 18))
    number = site.upto(10)
    columns, rows = (5, 2) if number > 5 else (3, 2)
    size = site.between(19, 23) if number > 5 else site.between(22, 32)
    long, wide = columns * 1.32 * size * site.unit, rows * 1.32 * size * site.unit
    x, y = (share * site.side for share in MIDDLES[site.pick(*MIDDLES)])
    shift = 15 * site.unit
    x, y = (min(max(v, long / 2 + shift), site.side - long / 2 - shift) for v in (x, y))
    apron = Block(LandCover.ASPHALT, x, y, long, wide, site.pick(0.0, pi / 2) + site.formed(-0.1, 0.1))
    site.ground += [runway, apron]
    nose, same = site.between(0, 2 * pi), site.form.random() < 0.6
    spots = stands(site, apron, columns, rows, in_order=site.form.random() < 0.4)

    def build(spot: Spot) -> Aircraft:
        length = size * site.unit * site.between(0.88, 1.0)
        heading = nose if same else site.between(0, 2 * pi)
        return Aircraft(*spot, length, length * site.between(0.88, 1.0), heading)

    site.scatter(number, iter(spots), build, 1)
    site.taken.append(apron.reach(site.sensor))

    def beside(spot: Spot) -> Building | Tank | None:
        if abs(runway.across(*spot)) < runway.width / 2 + 18 * site.unit:
            return None
        if depot:
            radius = site.between(7, 9) * site.unit
            return Tank(*spot, radius, 0.5 * radius)
        length = site.between(20, 34) * site.unit
        return Building(*spot, length, 0.5 * length, 5 * site.unit, apron.angle)

    depot = site.form.random() < 0.35
    site.scatter(site.upto(5), site.anywhere(), beside)


def parking(site: Site) -> None:
    """A parking area with up to ten cars, lawns and trees around it, perhaps a building."""
    site.plain(LandCover.GRASS)
    size = 4.6 / site.unit
    columns, rows = (6, 3) if size > 17 else (7, 4)
    long, wide = columns * 1.05 * size * site.unit, rows * 1.8 * size * site.unit
    focus = site.pick(*MIDDLES)
    x, y = (share * site.side for share in MIDDLES[focus])
    x = min(max(x, long / 2), site.side - long / 2)
    y = min(max(y, wide / 2), site.side - wide / 2)
    tilt = site.pick(0.0, pi / 2) + site.formed(-0.12, 0.12)
    lot = Block(LandCover.ASPHALT, x, y, 1.12 * long, 1.12 * wide, tilt)
    site.ground.append(lot)
    number = site.upto(10)
    spots = stands(site, Block(LandCover.ASPHALT, x, y, long, wide, tilt), columns, rows, in_order=False)
    if site.form.random() < 0.4:
        spots = sorted(spots, key=lambda spot: (spot[0] - x) ** 2 + (spot[1] - y) ** 2)
    van = site.form.random() < 0.3

    def build(spot: Spot) -> Car:
        return Car(*spot, tilt + pi / 2 + site.between(-0.06, 0.06), 1.15 if van else 1.0)

    site.scatter(number, iter(spots), build, 1.5)
    site.taken.append(lot.reach(site.sensor))
    _trees(site, site.upto(9))
    site.scatter(site.upto(2), site.anywhere(), lambda spot: _kiosk(site, spot))


def _trees(site: Site, number: int) -> None:
    """Round tree crowns where there is room."""
    for _, (x, y) in zip(range(number), site.anywhere(), strict=False):
        crown = Blob(LandCover.FOREST, x, y, site.between(7, 12) * site.unit, ((0.15, site.between(0, 6)),))
        extent = crown.reach(site.sensor)
        if site.free(extent, 1):
            site.ground.append(crown)
            site.taken.append(extent)


def _kiosk(site: Site, spot: Spot) -> Building:
    length = site.between(26, 44) * site.unit
    return Building(*spot, length, 0.7 * length, 6 * site.unit, site.formed(-0.1, 0.1))
