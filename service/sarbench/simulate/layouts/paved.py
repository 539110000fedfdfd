"""Paved sites with aircraft or cars."""

from __future__ import annotations

from math import cos, pi, sin

from sarbench.simulate.land_cover import LandCover
from sarbench.simulate.land_cover_shapes import Blob, Rectangle
from sarbench.simulate.layouts.site import SIDE_CENTERS, Point, Site
from sarbench.simulate.targets.aircraft import Aircraft
from sarbench.simulate.targets.building import Building
from sarbench.simulate.targets.car import Car
from sarbench.simulate.targets.tank import Tank


def grid_points(site: Site, rectangle: Rectangle, columns: int, rows: int, *, ordered: bool) -> list[Point]:
    """Return the centers of ``columns`` by ``rows`` cells that fill ``rectangle``, ordered or shuffled."""
    c, s = cos(rectangle.angle), sin(rectangle.angle)
    points = []
    for row in range(rows):
        for column in range(columns):
            along = ((column + 0.5) / columns - 0.5) * rectangle.length
            across = ((row + 0.5) / rows - 0.5) * rectangle.width
            points.append((rectangle.x + along * c - across * s, rectangle.y + along * s + across * c))
    return points if ordered else [points[int(index)] for index in site.content_rng.permutation(len(points))]


def build_airfield(site: Site) -> None:
    """Build a runway and an apron with up to ten aircraft, and hangars or fuel tanks."""
    site.add_background(LandCover.GRASS)
    runway = site.linear_feature("runway", LandCover.ASPHALT, site.layout_uniform(12, 18))
    count = site.random_count(10)
    columns, rows = (5, 2) if count > 5 else (3, 2)
    size = site.uniform(19, 23) if count > 5 else site.uniform(22, 32)
    length_m, width_m = columns * 1.32 * size * site.unit, rows * 1.32 * size * site.unit
    x, y = (fraction * site.side for fraction in SIDE_CENTERS[site.choose(*SIDE_CENTERS)])
    margin = 15 * site.unit
    x, y = (min(max(v, length_m / 2 + margin), site.side - length_m / 2 - margin) for v in (x, y))
    apron = Rectangle(
        LandCover.ASPHALT, x, y, length_m, width_m, site.choose(0.0, pi / 2) + site.layout_uniform(-0.1, 0.1)
    )
    site.ground += [runway, apron]
    common_heading, same_heading = site.uniform(0, 2 * pi), site.layout_rng.random() < 0.6
    points = grid_points(site, apron, columns, rows, ordered=site.layout_rng.random() < 0.4)

    def build(point: Point) -> Aircraft:
        length = size * site.unit * site.uniform(0.88, 1.0)
        heading = common_heading if same_heading else site.uniform(0, 2 * pi)
        return Aircraft(*point, length, length * site.uniform(0.88, 1.0), heading)

    site.place_targets(count, iter(points), build, 1)
    site.occupied.append(apron.draw_extent(site.sensor))

    def hangar_or_tank(point: Point) -> Building | Tank | None:
        if abs(runway.signed_distance(*point)) < runway.width / 2 + 18 * site.unit:
            return None
        if has_depot:
            radius = site.uniform(7, 9) * site.unit
            return Tank(*point, radius, 0.5 * radius)
        length = site.uniform(20, 34) * site.unit
        return Building(*point, length, 0.5 * length, 5 * site.unit, apron.angle)

    has_depot = site.layout_rng.random() < 0.35
    site.place_targets(site.random_count(5), site.random_points(), hangar_or_tank)


def build_parking(site: Site) -> None:
    """Build a parking lot with up to ten cars, trees around it, and up to two buildings."""
    site.add_background(LandCover.GRASS)
    size = 4.6 / site.unit
    columns, rows = (6, 3) if size > 17 else (7, 4)
    length_m, width_m = columns * 1.05 * size * site.unit, rows * 1.8 * size * site.unit
    side = site.choose(*SIDE_CENTERS)
    x, y = (fraction * site.side for fraction in SIDE_CENTERS[side])
    x = min(max(x, length_m / 2), site.side - length_m / 2)
    y = min(max(y, width_m / 2), site.side - width_m / 2)
    angle = site.choose(0.0, pi / 2) + site.layout_uniform(-0.12, 0.12)
    lot = Rectangle(LandCover.ASPHALT, x, y, 1.12 * length_m, 1.12 * width_m, angle)
    site.ground.append(lot)
    count = site.random_count(10)
    points = grid_points(
        site, Rectangle(LandCover.ASPHALT, x, y, length_m, width_m, angle), columns, rows, ordered=False
    )
    if site.layout_rng.random() < 0.4:
        points = sorted(points, key=lambda point: (point[0] - x) ** 2 + (point[1] - y) ** 2)
    vans = site.layout_rng.random() < 0.3

    def build(point: Point) -> Car:
        return Car(*point, angle + pi / 2 + site.uniform(-0.06, 0.06), 1.15 if vans else 1.0)

    site.place_targets(count, iter(points), build, 1.5)
    site.occupied.append(lot.draw_extent(site.sensor))
    _add_trees(site, site.random_count(9))
    site.place_targets(site.random_count(2), site.random_points(), lambda point: _random_building(site, point))


def _add_trees(site: Site, count: int) -> None:
    """Add round tree crowns at free positions."""
    for _, (x, y) in zip(range(count), site.random_points(), strict=False):
        crown = Blob(LandCover.FOREST, x, y, site.uniform(7, 12) * site.unit, ((0.15, site.uniform(0, 6)),))
        extent = crown.draw_extent(site.sensor)
        if site.is_free(extent, 1):
            site.ground.append(crown)
            site.occupied.append(extent)


def _random_building(site: Site, point: Point) -> Building:
    length = site.uniform(26, 44) * site.unit
    return Building(*point, length, 0.7 * length, 6 * site.unit, site.layout_uniform(-0.1, 0.1))
