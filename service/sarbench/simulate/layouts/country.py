"""Open country: farmland and forest."""

from __future__ import annotations

from math import pi

from sarbench.simulate.ground import Parcels
from sarbench.simulate.landcover import LandCover
from sarbench.simulate.layouts.site import Site, Spot
from sarbench.simulate.targets.building import Building


def farmland(site: Site) -> None:
    """Fields of different crops, a road, perhaps a wood or a pond, and a few farmhouses."""
    turn, crops = site.formed(0, pi), int(site.form.integers(1 << 16))
    site.ground.append(Parcels(0, 0, site.formed(34, 60) * site.unit, site.formed(22, 34) * site.unit, turn, crops))
    if site.form.random() < 0.6:
        site.ground.append(site.line("road", LandCover.ASPHALT, 7))
    if site.form.random() < 0.7:
        site.patch(*site.pick(("wood", LandCover.FOREST), ("pond", LandCover.WATER)), 32)

    def farmhouse(spot: Spot) -> Building:
        length = site.between(13, 20) * site.unit
        return Building(*spot, length, 0.6 * length, 4 * site.unit, turn)

    if site.form.random() < 0.5:
        site.scatter(1 + site.upto(4), site.anywhere(), farmhouse)


def forest(site: Site) -> None:
    """Trees, with a clearing or a lake and perhaps a road."""
    site.plain(LandCover.FOREST)
    if site.form.random() < 0.5:
        site.ground.append(site.line("road", LandCover.ASPHALT, 7, bend=site.pick(0.0, 4.0)))
    if site.form.random() < 0.8:
        site.patch(*site.pick(("pond", LandCover.WATER), ("clearing", LandCover.GRASS)), 36)
