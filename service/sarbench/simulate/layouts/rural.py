"""Rural sites: farmland and forest."""

from __future__ import annotations

from math import pi

from sarbench.simulate.land_cover import LandCover
from sarbench.simulate.land_cover_shapes import Parcels
from sarbench.simulate.layouts.site import Point, Site
from sarbench.simulate.targets.building import Building


def build_farmland(site: Site) -> None:
    """Build parcels with different crops, with optional road, wood or pond, and farmhouses."""
    angle, crop_seed = site.layout_uniform(0, pi), int(site.layout_rng.integers(1 << 16))
    site.ground.append(
        Parcels(
            0, 0, site.layout_uniform(34, 60) * site.unit, site.layout_uniform(22, 34) * site.unit, angle, crop_seed
        )
    )
    if site.layout_rng.random() < 0.6:
        site.ground.append(site.linear_feature("road", LandCover.ASPHALT, 7))
    if site.layout_rng.random() < 0.7:
        site.add_area_feature(*site.choose(("wood", LandCover.FOREST), ("pond", LandCover.WATER)), 32)

    def farmhouse(point: Point) -> Building:
        length = site.uniform(13, 20) * site.unit
        return Building(*point, length, 0.6 * length, 4 * site.unit, angle)

    if site.layout_rng.random() < 0.5:
        site.place_targets(1 + site.random_count(4), site.random_points(), farmhouse)


def build_forest(site: Site) -> None:
    """Build forest, with optional road, clearing, or pond."""
    site.add_background(LandCover.FOREST)
    if site.layout_rng.random() < 0.5:
        site.ground.append(site.linear_feature("road", LandCover.ASPHALT, 7, bend=site.choose(0.0, 4.0)))
    if site.layout_rng.random() < 0.8:
        site.add_area_feature(*site.choose(("pond", LandCover.WATER), ("clearing", LandCover.GRASS)), 36)
