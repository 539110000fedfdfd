"""Site types of chips. The variant of a type determines its layout; the seed determines its contents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sarbench.dataset.release_files import Split
from sarbench.simulate.layouts.built_up import build_industrial, build_residential, build_urban
from sarbench.simulate.layouts.paved import build_airfield, build_parking
from sarbench.simulate.layouts.rural import build_farmland, build_forest
from sarbench.simulate.layouts.site import Site
from sarbench.simulate.layouts.water import build_coast, build_river, build_sea

LAYOUT_VARIANTS: dict[Split, range] = {"train": range(4000), "test": range(4000, 5000)}
"""Disjoint layout variants of each split."""


@dataclass(frozen=True, slots=True)
class SiteType:
    """One site type: its builder, its range of sides in meters, its area type, and its land use.

    If ``marker_category`` is set and the site has no such target, the area type is ``area_without_marker`` and the land
    use is unknown.
    """

    build: Callable[[Site], None]
    side_range_m: tuple[float, float]
    area: str
    land_use: str | None
    marker_category: str | None = None
    area_without_marker: str = ""


SITE_TYPES: tuple[SiteType, ...] = (
    SiteType(build_sea, (1600, 6000), "Sea", "Shipping", "ship", "Sea"),
    SiteType(build_coast, (2500, 6400), "Port", "Shipping", "harbor", "Coast"),
    SiteType(build_river, (1200, 4000), "River", "River crossing", "bridge", "River"),
    SiteType(build_airfield, (330, 700), "Airport", "Air transport"),
    SiteType(build_industrial, (350, 900), "Industrial", "Fuel storage", "tank", "Industrial"),
    SiteType(build_parking, (48, 80), "Parking area", "Parking"),
    SiteType(build_residential, (220, 330), "Residential", "Housing"),
    SiteType(build_urban, (350, 700), "Urban", "Commerce"),
    SiteType(build_farmland, (900, 3000), "Agricultural field", "Agriculture"),
    SiteType(build_forest, (900, 3000), "Forest", "Forestry"),
)
"""Site types of chips, equally frequent."""
