"""Built-up sites: industrial, residential, and urban."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, pi, sin

from sarbench.simulate.ground_truth import Feature
from sarbench.simulate.land_cover import LandCover
from sarbench.simulate.land_cover_shapes import Rectangle, Strip
from sarbench.simulate.layouts.paved import grid_points
from sarbench.simulate.layouts.site import SIDE_CENTERS, Point, Site
from sarbench.simulate.targets.building import Building
from sarbench.simulate.targets.tank import Tank

HOUSE_PATTERNS = ("Grid pattern", "Rows", "Scattered", "Circular pattern")


def build_industrial(site: Site) -> None:
    """Build an industrial site with up to ten storage tanks, sheds, a road, and an optional basin."""
    site.add_background(site.choose(LandCover.BARE, LandCover.GRASS))
    road = site.linear_feature("road", LandCover.ASPHALT, 8)
    site.ground.append(road)
    count = site.random_count(10)
    radius = site.uniform(7, 9) if count > 5 else site.uniform(8, 12)

    def build(point: Point) -> Tank | None:
        if abs(road.signed_distance(*point)) < (radius + 7) * site.unit:
            return None
        size = radius * site.uniform(0.9, 1.1) * site.unit
        return Tank(*point, size, site.uniform(0.45, 0.6) * size)

    points = site.random_points()
    if site.layout_rng.random() < 0.7:
        x, y = (fraction * site.side for fraction in SIDE_CENTERS[site.choose(*SIDE_CENTERS)])
        columns, rows = (4, 3) if count > 6 else (3, 2)
        length_m, width_m = columns * 3.8 * radius * site.unit, rows * 3.4 * radius * site.unit
        tank_farm = Rectangle(LandCover.BARE, x, y, length_m, width_m, site.layout_uniform(-0.2, 0.2))
        points = iter(grid_points(site, tank_farm, columns, rows, ordered=site.layout_rng.random() < 0.5))
    site.place_targets(count, points, build)
    if site.layout_rng.random() < 0.5:
        site.add_area_feature("basin", LandCover.WATER, 24)

    def shed(point: Point) -> Building | None:
        length = site.uniform(24, 44) * site.unit
        if abs(road.signed_distance(*point)) < 0.6 * length + 6 * site.unit:
            return None
        return Building(*point, length, site.uniform(0.4, 0.6) * length, site.uniform(4, 7) * site.unit, road.angle)

    site.place_targets(2 + site.random_count(4), site.random_points(), shed)


def build_residential(site: Site) -> None:
    """Build houses in one of four patterns, with an optional pond or wood."""
    site.add_background(LandCover.GRASS)
    pattern = site.choose(*HOUSE_PATTERNS)
    street_angle = site.layout_uniform(-0.12, 0.12) + site.choose(0.0, pi / 2)
    if pattern == "Rows":
        _add_streets(site, street_angle, pitch=58, crossing=False)
    if pattern == "Grid pattern":
        _add_streets(site, street_angle, pitch=64, crossing=True)
    if site.layout_rng.random() < 0.6:
        site.add_area_feature(*site.choose(("pond", LandCover.WATER), ("wood", LandCover.FOREST)), 30)

    def house(point: Point) -> Building:
        length = site.uniform(12, 15) * site.unit
        angle = site.uniform(0, pi) if pattern == "Scattered" else street_angle
        return Building(*point, length, 0.75 * length, 4.5 * site.unit, angle)

    site.features.append(Feature("houses", pattern=pattern))
    count = 26 if pattern == "Scattered" else 200
    site.place_targets(count, _house_points(site, pattern, street_angle), house, 6 if pattern == "Scattered" else 1.5)


def _add_streets(site: Site, street_angle: float, *, pitch: float, crossing: bool) -> None:
    """Add parallel streets ``pitch`` units apart, and perpendicular ones if ``crossing``."""
    for index in range(-2, 3):
        distance = index * pitch * site.unit
        for angle in (street_angle, street_angle + pi / 2) if crossing else (street_angle,):
            x, y = site.side / 2 - distance * sin(angle), site.side / 2 + distance * cos(angle)
            site.ground.append(Strip(LandCover.ASPHALT, x, y, angle, 7 * site.unit))


def _house_points(site: Site, pattern: str, street_angle: float) -> Iterator[Point]:
    """Return candidate house positions: four per block, along both sides of streets, in rings, or random."""
    if pattern == "Scattered":
        return site.random_points()
    if pattern == "Circular pattern":
        return _ring_points(site)
    pitch = 64 if pattern == "Grid pattern" else 58
    across = [index * pitch + side * 16 for index in range(-3, 4) for side in (1, -1)]
    along = across if pattern == "Grid pattern" else [float(offset) for offset in range(-130, 131, 26)]
    c, s = cos(street_angle), sin(street_angle)
    center, unit = site.side / 2, site.unit
    return ((center + (u * c - v * s) * unit, center + (u * s + v * c) * unit) for u in along for v in across)


def _ring_points(site: Site) -> Iterator[Point]:
    """Yield points on rings around the center, about 24 units apart along each ring."""
    for radius in (34, 70, 106):
        count = int(2 * pi * radius / 24)
        for index in range(count):
            azimuth = 2 * pi * index / count
            yield (
                site.side / 2 + radius * site.unit * cos(azimuth),
                site.side / 2 + radius * site.unit * sin(azimuth),
            )


def build_urban(site: Site) -> None:
    """Build city blocks on a street grid, with an optional pond or park."""
    site.add_background(LandCover.BUILT)
    street_angle, pitch = site.layout_uniform(-0.15, 0.15), site.layout_uniform(46, 60)
    _add_streets(site, street_angle, pitch=pitch, crossing=True)
    if site.layout_rng.random() < 0.6:
        site.add_area_feature(*site.choose(("pond", LandCover.WATER), ("park", LandCover.GRASS)), 34)
    c, s = cos(street_angle), sin(street_angle)
    center, unit = site.side / 2, site.unit
    offsets = [(index + 0.5) * pitch for index in range(-3, 3)]

    def block(point: Point) -> Building:
        length = pitch * site.uniform(0.5, 0.62) * unit
        return Building(*point, length, length * site.uniform(0.6, 1.0), site.uniform(5, 9) * unit, street_angle)

    points = ((center + (u * c - v * s) * unit, center + (u * s + v * c) * unit) for u in offsets for v in offsets)
    site.place_targets(40, points, block, 1)
