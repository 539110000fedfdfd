"""Sites on the water: open sea, coasts with harbours, rivers with bridges."""

from __future__ import annotations

from math import atan2, cos, inf, pi, sin

from sarbench.simulate.ground import Parcels, Strip
from sarbench.simulate.landcover import LandCover
from sarbench.simulate.layouts.site import MIDDLES, Site, Spot
from sarbench.simulate.targets.bridge import Bridge
from sarbench.simulate.targets.building import Building
from sarbench.simulate.targets.harbor import Harbor
from sarbench.simulate.targets.ship import Ship
from sarbench.simulate.targets.tank import Tank
from sarbench.simulate.truth import Feature

LONGEST = 390.0
"""Metres of the longest ship."""
SHORES = {"bottom": (0.0, 1), "right": (-pi / 2, 1), "top": (pi, -1), "left": (pi / 2, -1)}
"""For each side that land may lie on: the shore's heading, and whether the side is where x or y grows."""


def ship(site: Site, spot: Spot, heading: float, most: float = 40.0) -> Ship:
    """A ship of 15 to ``most`` units with two to four bright places along its deck."""
    length = min(site.between(15, most) * site.unit, LONGEST)
    deck = [(site.between(-0.42, -0.25), site.between(13, 18))]
    deck += [(site.between(-0.2, 0.4), site.between(8, 14)) for _ in range(1 + site.upto(2))]
    beam = max(length * site.between(0.16, 0.22), 3.4 * site.unit)
    return Ship(*spot, length, beam, heading, tuple(deck), bool(site.moving))


def sea(site: Site) -> None:
    """Open water with up to ten ships: scattered, in a group or in a row; all under way or none."""
    site.plain(LandCover.WATER, 2.0)
    if site.form.random() < 0.5:
        x, y = (site.side * site.formed(0.2, 0.8) for _ in range(2))
        calm = Strip(LandCover.WATER, x, y, site.formed(0, 2 * pi), inf, site.meander(14), site.between(0.7, 1.7))
        site.ground.append(calm)
    number, lane = site.upto(10), site.formed(0, 2 * pi)
    site.moving = bool(site.rng.integers(2)) if number else None
    manner = site.pick("scattered", "group", "group", "row")
    spots = site.anywhere()
    if manner == "group":
        spots = site.around(site.pick(*MIDDLES), 52)
    if manner == "row":
        spots = site.abreast(number, 22, lane + pi / 2)

    def build(spot: Spot) -> Ship:
        heading = site.between(0, 2 * pi) if manner == "scattered" else lane + site.between(-0.15, 0.15)
        return ship(site, spot, heading, 40 if number < 6 and manner != "row" else 28)

    site.scatter(number, spots, build, 2 if manner == "row" else 7)


def coast(site: Site) -> None:
    """Land on one side with harbours along the shore, ships on the water, and sheds or tanks inland."""
    site.plain(LandCover.WATER, 1.5)
    side = site.pick(*SHORES)
    heading, towards = SHORES[side]
    middle, depth = site.side / 2, site.side / 2 + towards * site.side * site.formed(0.17, 0.27)
    x, y = (middle, depth) if side in ("top", "bottom") else (depth, middle)
    cover = site.pick(LandCover.BUILT, LandCover.GRASS, LandCover.BARE, LandCover.FOREST)
    shore = Strip(cover, x, y, heading + site.formed(-0.12, 0.12), inf, site.meander(3.5), site.between(-1, 1))
    site.ground.append(shore)
    site.features.append(Feature("coastline", direction="Horizontal" if side in ("top", "bottom") else "Vertical"))
    _harbors(site, shore)
    _inland(site, shore)

    def build(spot: Spot) -> Ship | None:
        return ship(site, spot, site.between(0, 2 * pi), 26) if shore.across(*spot) < -20 * site.unit else None

    site.scatter(site.upto(10) if site.rng.random() < 0.75 else 0, site.anywhere(), build, 6)


def _harbors(site: Site, shore: Strip) -> None:
    """Up to six harbours, quays on the shore and piers out into the water."""
    number = site.upto(6)
    pitch = 240 * site.unit / max(number, site.pick(3, 5))
    slack = 240 * site.unit - pitch * number
    first = site.between(-0.5, 0.5) * slack - pitch * (number - 1) / 2
    for index in range(number):
        length = pitch * site.between(0.5, 0.66)
        piers = 2 + site.upto(2) if length > 30 * site.unit else 2
        depth = site.between(16, 24) * site.unit
        site.add(Harbor(*shore.at(first + index * pitch), length, depth, shore.angle + pi, piers), 2)


def _inland(site: Site, shore: Strip) -> None:
    """Tanks or sheds on the land side."""
    tanks = site.rng.random() < 0.5

    def build(spot: Spot) -> Tank | Building | None:
        if shore.across(*spot) < 22 * site.unit:
            return None
        if tanks:
            radius = site.between(6.5, 9) * site.unit
            return Tank(*spot, radius, 0.5 * radius)
        length = site.between(14, 30) * site.unit
        return Building(*spot, length, 0.5 * length, 4 * site.unit, site.between(-0.2, 0.2))

    site.scatter(site.upto(8), site.anywhere(), build)


def river(site: Site) -> None:
    """A river between fields, woods or suburbs, with up to six bridges and the odd barge."""
    banks = site.pick("fields", "wood", "suburb")
    if banks == "fields":
        turn, crops = site.formed(0, pi), int(site.form.integers(1 << 16))
        site.ground.append(Parcels(0, 0, 40 * site.unit, 26 * site.unit, turn, crops))
    else:
        site.plain(LandCover.FOREST if banks == "wood" else LandCover.GRASS)
    stream = site.line("river", LandCover.WATER, site.formed(24, 38), bend=7.0)
    spans = _bridges(site, stream, site.upto(6))
    site.ground.append(stream)
    if banks == "suburb":
        _suburb(site, stream)
    if site.rng.random() < 0.4:
        _barges(site, stream, spans)


def _bridges(site: Site, stream: Strip, number: int) -> list[float]:
    """Bridges square to the river and spread along it, each with its road; where along the river they stand."""
    pitch = 215 * site.unit / max(number, 2)
    slack = 215 * site.unit - pitch * number
    first = site.between(-0.5, 0.5) * slack - pitch * (number - 1) / 2
    c, s = cos(stream.angle), sin(stream.angle)
    half = stream.width / 2 + 4 * site.unit
    places = []
    for index in range(number):
        along = first + (index + site.between(-0.08, 0.08)) * pitch
        x, y = stream.at(along)
        wide = site.between(5, 7) * site.unit
        if site.add(Bridge((x + half * s, y - half * c), (x - half * s, y + half * c), wide, 0.4 * wide), 3):
            places.append(along)
            site.ground.append(Strip(LandCover.ASPHALT, x, y, stream.angle + pi / 2, 0.7 * wide))
    return places


def _suburb(site: Site, stream: Strip) -> None:
    """Houses on both banks, in line with the river."""

    def build(spot: Spot) -> Building | None:
        if abs(stream.across(*spot)) < stream.width / 2 + 16 * site.unit:
            return None
        size = site.between(8, 14) * site.unit
        return Building(*spot, size, 0.7 * size, 3.5 * site.unit, stream.angle)

    site.scatter(12 + site.upto(14), site.anywhere(), build)


def _barges(site: Site, stream: Strip, bridges: list[float]) -> None:
    """One to three barges in midstream, clear of the bridges."""
    for _ in range(1 + site.upto(2)):
        along = site.between(-110, 110) * site.unit
        if all(abs(along - bridge) > 24 * site.unit for bridge in bridges):
            (x0, y0), (x1, y1) = stream.at(along - site.unit), stream.at(along + site.unit)
            site.add(ship(site, stream.at(along), atan2(y1 - y0, x1 - x0), 20), 6)
