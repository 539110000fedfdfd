"""CPU time of the most expensive polygons that the limits allow, and of those just beyond them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import from_origin

from sarlens.errors import BadRequest, PayloadTooLarge
from sarlens.imagery.geo.geometry_window import window_for_geometry
from sarlens.imagery.geo.georeference import Georeference, ImageExtent
from sarlens.imagery.geo.polygons import Ring
from sarlens.surveys.planner import plan_tiles
from sarlens.surveys.tile_grid import TileGrid
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window

SIDE = 20_000
MAX_TILES = 20_000
MAX_WINDOW_S = 3 * 0.2
"""CPU time of one window, three times what the slowest takes on one core of 2025."""
MAX_PLAN_S = 3 * 1.0
"""CPU time of the tiles of one survey, three times what the slowest takes."""
BOX = np.array([(-0.5, -0.5), (1.5, -0.5), (1.5, 1.5), (-0.5, 1.5), (-0.5, -0.5)])


def closed(points: Any) -> Ring:
    """A ring from its vertices."""
    return np.vstack([points, points[:1]])


def turned(points: Ring, degrees: float) -> Ring:
    """Points around the middle of the unit square."""
    angle = math.radians(degrees)
    matrix = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return np.asarray((points - 0.5) @ matrix + 0.5)


def comb(teeth: int, height: float = 1.0) -> Ring:
    """A valid ring whose teeth span the unit square, all of them within ``height``."""
    y = 0.5 + height * (np.linspace(0, 1, 4 * teeth) - 0.5)
    x = np.resize([0.01, 1.0, 1.0, 0.011], 4 * teeth)
    return closed(np.vstack([[(0, y[0])], np.column_stack([x, y]), [(0, y[-1])]]))


def circle(radius: float, x: float = 0.5, y: float = 0.5, inner: float = 1.0) -> Ring:
    """A ring of 1,000 vertices; every other one is nearer to the middle by ``inner``."""
    turn = np.linspace(0, 2 * np.pi, 998, endpoint=False)
    radii = radius * np.resize([1.0, inner], 998)
    return closed(np.column_stack([x + radii * np.cos(turn), y + radii * np.sin(turn)]))


def stacked(number: int, of: int, degrees: float) -> Ring:
    """One of several combs, each in a strip of its own."""
    ring = comb(249)
    return turned(np.column_stack([ring[:, 0], (number + 0.05 + 0.9 * ring[:, 1]) / of]), degrees)


SCRIBBLE = np.random.default_rng(0).uniform(size=(16, 999, 2))
EARTH = closed(np.array([(x, y) for y in (-200, 200) for x in np.linspace(-500, 500, 499)[:: 1 if y < 0 else -1]]))
CELLS = [((number % 4 + 0.5) / 4, (number // 4 + 0.5) / 4) for number in range(15)]
POLYGONS: dict[str, Callable[[], list[Ring]]] = {
    "comb": lambda: [comb(249)],
    "slanted comb": lambda: [turned(comb(249), 30)],
    "slanted comb at the limit of close edges": lambda: [turned(comb(150), 45)],
    "comb within a pixel": lambda: [comb(249, 1e-6)],
    "slanted comb within a pixel": lambda: [turned(comb(249, 1e-6), 45)],
    "slanted comb at the resolution of floats": lambda: [turned(comb(249, 1e-12), 45)],
    "spikes": lambda: [circle(0.5, inner=0.02)],
    "15 holes of combs": lambda: [BOX, *(stacked(number, 15, 0) for number in range(15))],
    "15 holes of slanted combs": lambda: [BOX, *(stacked(number, 15, 45) for number in range(15))],
    "15 round holes": lambda: [BOX, *(circle(0.1, *cell) for cell in CELLS)],
    "15 spiky holes": lambda: [BOX, *(circle(0.1, *cell, inner=0.1) for cell in CELLS)],
    "16 equal rings": lambda: [circle(0.4)] * 16,
    "16 nearly equal rings": lambda: [circle(0.4 - number * 1e-13) for number in range(16)],
    "random rings": lambda: [closed(points) for points in SCRIBBLE],
    "points within 1e-14 degrees": lambda: [closed(0.5 + 1e-14 * SCRIBBLE[0])],
    "rings around the Earth": lambda: [EARTH],
}


@cache
def image(kind: str) -> Georeference:
    """An image of one degree, also across the antimeridian and at a pole."""
    if kind == "degrees":
        return Georeference(SIDE, SIDE, CRS.from_epsg(4326), from_origin(10, 50, 1 / SIDE, 1 / SIDE))
    if kind == "polar":
        return Georeference(SIDE, SIDE, CRS.from_epsg(3995), from_origin(100_000, 400_000, 10, 10))
    steps = np.linspace(0, SIDE, 32)
    row, col = (values.ravel() for values in np.meshgrid(steps, steps, indexing="ij"))
    bend = 0.02 * np.sin(col / SIDE * 9) * np.cos(row / SIDE * 7)
    lonlat = np.column_stack([179.5 + (col + 0.1 * row) / SIDE + bend, 50 + (0.1 * col - row) / SIDE])
    spline = Georeference.from_gcps(SIDE, SIDE, np.column_stack([row, col]), lonlat)
    spline.lonlat_to_pixel(lonlat[:1, 0], lonlat[:1, 1])  # the spline is solved once for an image
    return spline


def request(kind: str, name: str) -> RenderParams:
    """A polygon in proportion to the box around an image."""
    outline = image(kind).boundary(Window(0, 0, SIDE, SIDE))
    low, high = outline.min(axis=0), outline.max(axis=0)
    rings = [np.clip(low + ring * (high - low), [-540, -90], [540, 90]) for ring in POLYGONS[name]()]
    coordinates = [closed(ring[:-1]).tolist() for ring in rings]
    return RenderParams.model_validate({"polygon": {"type": "Polygon", "coordinates": coordinates}})


def cpu_seconds(work: Callable[[], object]) -> float:
    """The CPU time of work in this thread, also if it rejects the polygon: the least of three runs."""
    seconds = []
    for _ in range(3):
        started_at = time.thread_time()
        with suppress(BadRequest, PayloadTooLarge):
            work()
        seconds.append(time.thread_time() - started_at)
    return min(seconds)


@pytest.mark.parametrize("kind", ["degrees", "polar", "spline"])
@pytest.mark.parametrize("name", POLYGONS)
def test_a_hostile_polygon_costs_little(kind: str, name: str) -> None:
    """The window of a polygon costs less than 0.6 s of CPU time, and up to 20,000 tiles of a survey less than 3 s."""
    render = request(kind, name)
    assert cpu_seconds(lambda: window_for_geometry(image(kind), render)) < MAX_WINDOW_S
    extent, spec = (
        ImageExtent(SIDE, SIDE, image(kind)),
        cast("Any", SimpleNamespace(render=render, grid=TileGrid(142, 0))),
    )
    assert cpu_seconds(lambda: plan_tiles(extent, spec, MAX_TILES)) < MAX_PLAN_S


def test_polygons_within_the_limits_are_accepted() -> None:
    """A comb of 998 edges, 15 holes with 15,000 edges, and a slanted comb have a window and their tiles."""
    for name, tiles in (
        ("comb", 19_881),
        ("15 round holes", 11_369),
        ("slanted comb at the limit of close edges", 16_601),
    ):
        render = request("degrees", name)
        spec = cast("Any", SimpleNamespace(render=render, grid=TileGrid(142, 0)))
        assert len(plan_tiles(ImageExtent(SIDE, SIDE, image("degrees")), spec, MAX_TILES)) == tiles


def test_close_edges_are_counted_before_geos_works() -> None:
    """15 slanted combs with 15,000 edges, valid but with millions of close pairs, are rejected with advice."""
    render = request("degrees", "15 holes of slanted combs")
    with pytest.raises(BadRequest, match="too many edges close to each other"):
        window_for_geometry(image("degrees"), render)
