"""Water sites: open sea, coasts with harbors, and rivers with bridges."""

from __future__ import annotations

from math import atan2, cos, inf, pi, sin

from sarbench.simulate.ground_truth import Feature
from sarbench.simulate.land_cover import LandCover
from sarbench.simulate.land_cover_shapes import Parcels, Strip
from sarbench.simulate.layouts.site import SIDE_CENTERS, Point, Site
from sarbench.simulate.targets.bridge import Bridge
from sarbench.simulate.targets.building import Building
from sarbench.simulate.targets.harbor import Harbor
from sarbench.simulate.targets.ship import Ship
from sarbench.simulate.targets.tank import Tank

MAX_SHIP_LENGTH_M = 390.0
"""Maximum ship length in meters."""
SHORES = {"bottom": (0.0, 1), "right": (-pi / 2, 1), "top": (pi, -1), "left": (pi / 2, -1)}
"""For each side with land: the heading of the shore, and the sign of the axis towards the land."""


def random_ship(site: Site, point: Point, heading: float, max_length: float = 40.0) -> Ship:
    """Return a ship of 15 to ``max_length`` units with two to four bright points along its deck."""
    length = min(site.uniform(15, max_length) * site.unit, MAX_SHIP_LENGTH_M)
    deck = [(site.uniform(-0.42, -0.25), site.uniform(13, 18))]
    deck += [(site.uniform(-0.2, 0.4), site.uniform(8, 14)) for _ in range(1 + site.random_count(2))]
    beam = max(length * site.uniform(0.16, 0.22), 3.4 * site.unit)
    return Ship(*point, length, beam, heading, tuple(deck), bool(site.ships_moving))


def build_sea(site: Site) -> None:
    """Build open water with up to ten ships: scattered, grouped, or in a row, and all under way or none."""
    site.add_background(LandCover.WATER, 2.0)
    if site.layout_rng.random() < 0.5:
        x, y = (site.side * site.layout_uniform(0.2, 0.8) for _ in range(2))
        calm_water = Strip(
            LandCover.WATER, x, y, site.layout_uniform(0, 2 * pi), inf, site.random_meander(14), site.uniform(0.7, 1.7)
        )
        site.ground.append(calm_water)
    count, lane_heading = site.random_count(10), site.layout_uniform(0, 2 * pi)
    site.ships_moving = bool(site.content_rng.integers(2)) if count else None
    arrangement = site.choose("scattered", "group", "group", "row")
    points = site.random_points()
    if arrangement == "group":
        points = site.points_around(site.choose(*SIDE_CENTERS), 52)
    if arrangement == "row":
        points = site.points_in_row(count, 22, lane_heading + pi / 2)

    def build(point: Point) -> Ship:
        heading = site.uniform(0, 2 * pi) if arrangement == "scattered" else lane_heading + site.uniform(-0.15, 0.15)
        return random_ship(site, point, heading, 40 if count < 6 and arrangement != "row" else 28)

    site.place_targets(count, points, build, 2 if arrangement == "row" else 7)


def build_coast(site: Site) -> None:
    """Build land on one side with harbors along the shore, ships at sea, and tanks or sheds inland."""
    site.add_background(LandCover.WATER, 1.5)
    side = site.choose(*SHORES)
    heading, sign = SHORES[side]
    center, depth = site.side / 2, site.side / 2 + sign * site.side * site.layout_uniform(0.17, 0.27)
    x, y = (center, depth) if side in ("top", "bottom") else (depth, center)
    land_cover = site.choose(LandCover.BUILT, LandCover.GRASS, LandCover.BARE, LandCover.FOREST)
    shore = Strip(
        land_cover, x, y, heading + site.layout_uniform(-0.12, 0.12), inf, site.random_meander(3.5), site.uniform(-1, 1)
    )
    site.ground.append(shore)
    site.features.append(Feature("coastline", direction="Horizontal" if side in ("top", "bottom") else "Vertical"))
    _add_harbors(site, shore)
    _add_inland_targets(site, shore)

    def build(point: Point) -> Ship | None:
        return (
            random_ship(site, point, site.uniform(0, 2 * pi), 26)
            if shore.signed_distance(*point) < -20 * site.unit
            else None
        )

    site.place_targets(site.random_count(10) if site.content_rng.random() < 0.75 else 0, site.random_points(), build, 6)


def _add_harbors(site: Site, shore: Strip) -> None:
    """Add up to six harbors with quays on the shore and piers in the water."""
    count = site.random_count(6)
    pitch = 240 * site.unit / max(count, site.choose(3, 5))
    slack = 240 * site.unit - pitch * count
    first = site.uniform(-0.5, 0.5) * slack - pitch * (count - 1) / 2
    for index in range(count):
        length = pitch * site.uniform(0.5, 0.66)
        piers = 2 + site.random_count(2) if length > 30 * site.unit else 2
        depth = site.uniform(16, 24) * site.unit
        site.try_add(Harbor(*shore.point_at(first + index * pitch), length, depth, shore.angle + pi, piers), 2)


def _add_inland_targets(site: Site, shore: Strip) -> None:
    """Add tanks or sheds on land."""
    tanks = site.content_rng.random() < 0.5

    def build(point: Point) -> Tank | Building | None:
        if shore.signed_distance(*point) < 22 * site.unit:
            return None
        if tanks:
            radius = site.uniform(6.5, 9) * site.unit
            return Tank(*point, radius, 0.5 * radius)
        length = site.uniform(14, 30) * site.unit
        return Building(*point, length, 0.5 * length, 4 * site.unit, site.uniform(-0.2, 0.2))

    site.place_targets(site.random_count(8), site.random_points(), build)


def build_river(site: Site) -> None:
    """Build a river between parcels, woods, or suburbs, with up to six bridges and occasional barges."""
    banks = site.choose("fields", "wood", "suburb")
    if banks == "fields":
        angle, crop_seed = site.layout_uniform(0, pi), int(site.layout_rng.integers(1 << 16))
        site.ground.append(Parcels(0, 0, 40 * site.unit, 26 * site.unit, angle, crop_seed))
    else:
        site.add_background(LandCover.FOREST if banks == "wood" else LandCover.GRASS)
    river = site.linear_feature("river", LandCover.WATER, site.layout_uniform(24, 38), bend=7.0)
    bridge_distances = _add_bridges(site, river, site.random_count(6))
    site.ground.append(river)
    if banks == "suburb":
        _add_suburb(site, river)
    if site.content_rng.random() < 0.4:
        _add_barges(site, river, bridge_distances)


def _add_bridges(site: Site, river: Strip, count: int) -> list[float]:
    """Add bridges perpendicular to the river with their roads, and return their distances along the river."""
    pitch = 215 * site.unit / max(count, 2)
    slack = 215 * site.unit - pitch * count
    first = site.uniform(-0.5, 0.5) * slack - pitch * (count - 1) / 2
    c, s = cos(river.angle), sin(river.angle)
    half_length = river.width / 2 + 4 * site.unit
    distances = []
    for index in range(count):
        along = first + (index + site.uniform(-0.08, 0.08)) * pitch
        x, y = river.point_at(along)
        width = site.uniform(5, 7) * site.unit
        if site.try_add(
            Bridge(
                (x + half_length * s, y - half_length * c),
                (x - half_length * s, y + half_length * c),
                width,
                0.4 * width,
            ),
            3,
        ):
            distances.append(along)
            site.ground.append(Strip(LandCover.ASPHALT, x, y, river.angle + pi / 2, 0.7 * width))
    return distances


def _add_suburb(site: Site, river: Strip) -> None:
    """Add houses on both banks, aligned with the river."""

    def build(point: Point) -> Building | None:
        if abs(river.signed_distance(*point)) < river.width / 2 + 16 * site.unit:
            return None
        size = site.uniform(8, 14) * site.unit
        return Building(*point, size, 0.7 * size, 3.5 * site.unit, river.angle)

    site.place_targets(12 + site.random_count(14), site.random_points(), build)


def _add_barges(site: Site, river: Strip, bridge_distances: list[float]) -> None:
    """Add one to three barges in midstream, clear of the bridges."""
    for _ in range(1 + site.random_count(2)):
        along = site.uniform(-110, 110) * site.unit
        if all(abs(along - bridge) > 24 * site.unit for bridge in bridge_distances):
            (x0, y0), (x1, y1) = river.point_at(along - site.unit), river.point_at(along + site.unit)
            site.try_add(random_ship(site, river.point_at(along), atan2(y1 - y0, x1 - x0), 20), 6)
