"""Built-up sites: works with storage tanks, houses, city blocks."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, pi, sin

from sarbench.simulate.ground import Block, Strip
from sarbench.simulate.landcover import LandCover
from sarbench.simulate.layouts.pavement import stands
from sarbench.simulate.layouts.site import MIDDLES, Site, Spot
from sarbench.simulate.targets.building import Building
from sarbench.simulate.targets.tank import Tank
from sarbench.simulate.truth import Feature

PATTERNS = ("Grid pattern", "Rows", "Scattered", "Circular pattern")


def industrial(site: Site) -> None:
    """A works with up to ten storage tanks in a farm or scattered, sheds, a road and perhaps a basin."""
    site.plain(site.pick(LandCover.BARE, LandCover.GRASS))
    road = site.line("road", LandCover.ASPHALT, 8)
    site.ground.append(road)
    number = site.upto(10)
    radius = site.between(7, 9) if number > 5 else site.between(8, 12)

    def build(spot: Spot) -> Tank | None:
        if abs(road.across(*spot)) < (radius + 7) * site.unit:
            return None
        size = radius * site.between(0.9, 1.1) * site.unit
        return Tank(*spot, size, site.between(0.45, 0.6) * size)

    spots = site.anywhere()
    if site.form.random() < 0.7:
        x, y = (share * site.side for share in MIDDLES[site.pick(*MIDDLES)])
        columns, rows = (4, 3) if number > 6 else (3, 2)
        long, wide = columns * 3.8 * radius * site.unit, rows * 3.4 * radius * site.unit
        farm = Block(LandCover.BARE, x, y, long, wide, site.formed(-0.2, 0.2))
        spots = iter(stands(site, farm, columns, rows, in_order=site.form.random() < 0.5))
    site.scatter(number, spots, build)
    if site.form.random() < 0.5:
        site.patch("basin", LandCover.WATER, 24)

    def shed(spot: Spot) -> Building | None:
        length = site.between(24, 44) * site.unit
        if abs(road.across(*spot)) < 0.6 * length + 6 * site.unit:
            return None
        return Building(*spot, length, site.between(0.4, 0.6) * length, site.between(4, 7) * site.unit, road.angle)

    site.scatter(2 + site.upto(4), site.anywhere(), shed)


def residential(site: Site) -> None:
    """Houses among lawns in one of four patterns, with a park or pond here and there."""
    site.plain(LandCover.GRASS)
    pattern = site.pick(*PATTERNS)
    tilt = site.formed(-0.12, 0.12) + site.pick(0.0, pi / 2)
    if pattern == "Rows":
        _streets(site, tilt, pitch=58, crossing=False)
    if pattern == "Grid pattern":
        _streets(site, tilt, pitch=64, crossing=True)
    if site.form.random() < 0.6:
        site.patch(*site.pick(("pond", LandCover.WATER), ("wood", LandCover.FOREST)), 30)

    def house(spot: Spot) -> Building:
        length = site.between(12, 15) * site.unit
        angle = site.between(0, pi) if pattern == "Scattered" else tilt
        return Building(*spot, length, 0.75 * length, 4.5 * site.unit, angle)

    site.features.append(Feature("houses", pattern=pattern))
    number = 26 if pattern == "Scattered" else 200
    site.scatter(number, _plots(site, pattern, tilt), house, 6 if pattern == "Scattered" else 1.5)


def _streets(site: Site, tilt: float, *, pitch: float, crossing: bool) -> None:
    """Parallel streets ``pitch`` units apart through the middle, and others across them if ``crossing``."""
    for number in range(-2, 3):
        far = number * pitch * site.unit
        for turn in (tilt, tilt + pi / 2) if crossing else (tilt,):
            x, y = site.side / 2 - far * sin(turn), site.side / 2 + far * cos(turn)
            site.ground.append(Strip(LandCover.ASPHALT, x, y, turn, 7 * site.unit))


def _plots(site: Site, pattern: str, tilt: float) -> Iterator[Spot]:
    """Where houses stand: four to a block, along both sides of each street, in rings, or anyhow."""
    if pattern == "Scattered":
        return site.anywhere()
    if pattern == "Circular pattern":
        return _rings(site)
    pitch = 64 if pattern == "Grid pattern" else 58
    across = [number * pitch + side * 16 for number in range(-3, 4) for side in (1, -1)]
    along = across if pattern == "Grid pattern" else [float(place) for place in range(-130, 131, 26)]
    c, s = cos(tilt), sin(tilt)
    middle, unit = site.side / 2, site.unit
    return ((middle + (u * c - v * s) * unit, middle + (u * s + v * c) * unit) for u in along for v in across)


def _rings(site: Site) -> Iterator[Spot]:
    """Spots on rings around the middle, 24 units apart along each."""
    for radius in (34, 70, 106):
        number = int(2 * pi * radius / 24)
        for index in range(number):
            turn = 2 * pi * index / number
            yield (
                site.side / 2 + radius * site.unit * cos(turn),
                site.side / 2 + radius * site.unit * sin(turn),
            )


def urban(site: Site) -> None:
    """City blocks along a grid of streets with a park, a pond or a river among them."""
    site.plain(LandCover.BUILT)
    tilt, pitch = site.formed(-0.15, 0.15), site.formed(46, 60)
    _streets(site, tilt, pitch=pitch, crossing=True)
    if site.form.random() < 0.6:
        site.patch(*site.pick(("pond", LandCover.WATER), ("park", LandCover.GRASS)), 34)
    c, s = cos(tilt), sin(tilt)
    middle, unit = site.side / 2, site.unit
    places = [(number + 0.5) * pitch for number in range(-3, 3)]

    def block(spot: Spot) -> Building:
        length = pitch * site.between(0.5, 0.62) * unit
        return Building(*spot, length, length * site.between(0.6, 1.0), site.between(5, 9) * unit, tilt)

    spots = ((middle + (u * c - v * s) * unit, middle + (u * s + v * c) * unit) for u in places for v in places)
    site.scatter(40, spots, block, 1)
