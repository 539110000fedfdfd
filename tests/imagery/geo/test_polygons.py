"""Densified, clipped, repaired and split polygons."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from sarlens.errors import BadRequest
from sarlens.imagery.geo.polygons import clip_box, densify, repair, to_geojson

COORDINATES = st.tuples(st.integers(-3, 13), st.integers(-3, 13))


def zigzag(teeth: int) -> shapely.Polygon:
    """A valid comb of four vertices a tooth, whose teeth are as long as the unit square."""
    y = np.linspace(0, 1, 4 * teeth + 1)
    rows = [[(0.1, y[at]), (1, y[at + 1]), (1, y[at + 2]), (0.11, y[at + 3])] for at in range(0, 4 * teeth, 4)]
    return shapely.Polygon([(0, 0), *(point for row in rows for point in row), (0.1, 1), (0, 1)])


def star(points: list[tuple[int, int]]) -> shapely.Polygon | None:
    """The polygon that visits points by their direction from the middle; None if it isn't valid."""
    x, y = np.mean(points, axis=0)
    ring = sorted(set(points), key=lambda point: math.atan2(point[1] - y, point[0] - x))
    polygon = shapely.Polygon(ring) if len(ring) > 2 else shapely.Polygon()
    return polygon if polygon.is_valid and polygon.area else None


def test_densify_inserts_equal_steps() -> None:
    """An edge of 10 is cut into 4 pieces of 2.5 by a step of 3, and one of 4 into 2; corners stay where they are."""
    (ring,) = densify(shapely.Polygon([(0, 0), (10, 0), (10, 4), (0, 4)]), np.array([3.0, 2.0]))
    bottom = [[0, 0], [2.5, 0], [5, 0], [7.5, 0]]
    right = [[10, 0], [10, 2]]
    top = [[10, 4], [7.5, 4], [5, 4], [2.5, 4]]
    assert ring.tolist() == [*bottom, *right, *top, [0, 4], [0, 2], [0, 0]]


def test_densify_bounds_the_points_of_a_zigzag() -> None:
    """A comb whose 1,000 edges span the image gets 8,192 points in place of 64,000, and holes count too."""
    comb = zigzag(249)
    (ring,) = densify(comb, np.array([1 / 64, 1 / 64]))
    assert 8192 < len(ring) < 8192 + 2 * shapely.get_num_coordinates(comb)
    holed = shapely.Polygon([(-1, -1), (2, -1), (2, 2), (-1, 2)], [comb.exterior.coords])
    outer, hole = densify(holed, np.array([1 / 64, 1 / 64]))
    assert len(outer) < 8192 * 12 / 250  # its share of the length
    assert 8192 < len(outer) + len(hole) < 8192 + 2 * shapely.get_num_coordinates(comb) + 8


def test_a_concave_polygon_is_clipped_into_parts() -> None:
    """A U whose bottom is outside the box leaves its two arms, without the edges between them."""
    u = shapely.Polygon([(0, -5), (10, -5), (10, 8), (7, 8), (7, -2), (3, -2), (3, 8), (0, 8)])
    parts = clip_box(u, np.zeros(2), np.array([10.0, 10.0]))
    assert sorted(part.bounds for part in parts) == [(0, 0, 3, 8), (7, 0, 10, 8)]
    assert [part.area for part in parts] == [24, 24]


@pytest.mark.parametrize("box", [(10, 0, 20, 10), (10, 10, 20, 20), (30, 0, 40, 10)])
def test_what_only_touches_a_box_shares_nothing(box: tuple[float, float, float, float]) -> None:
    """A shared edge, a shared corner and a box elsewhere leave no polygon."""
    low, high = np.array(box[:2], float), np.array(box[2:], float)
    assert clip_box(shapely.box(0, 0, 10, 10), low, high) == []


@given(st.lists(COORDINATES, min_size=3, max_size=9))
def test_parts_of_a_partition_add_up(points: list[tuple[int, int]]) -> None:
    """The four quadrants around (5, 5) share all of a polygon, also if its vertices are on their edges."""
    polygon = star(points)
    if polygon is None:
        return
    corners = [(-5, -5), (5, -5), (-5, 5), (5, 5)]
    shares = [
        sum(part.area for part in clip_box(polygon, np.array(corner, float), np.array(corner) + 10.0))
        for corner in corners
    ]
    assert sum(shares) == pytest.approx(polygon.area, abs=1e-9)


def test_a_bow_tie_becomes_its_two_triangles() -> None:
    """A ring that crosses itself once covers the same area after the repair: two triangles of 25."""
    whole = repair(shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)]))
    assert sorted(part.area for part in shapely.get_parts(whole)) == [25, 25]
    square = shapely.box(0, 0, 1, 1)
    assert repair(square) is square


def test_a_scribble_is_rejected_instead_of_repaired() -> None:
    """A ring of 4,000 random points has some million crossings, of which only the first few hundred are counted."""
    scribble = shapely.Polygon(np.random.default_rng(0).uniform(size=(4000, 2)))
    started_at = time.process_time()
    with pytest.raises(BadRequest, match="too many edges close to each other"):
        repair(scribble)
    assert time.process_time() - started_at < 1


def rings(shape: dict[str, Any]) -> list[list[list[float]]]:
    """The exterior rings of a MultiPolygon, the westernmost first."""
    return sorted(polygon[0] for polygon in shape["coordinates"])


def test_a_ring_across_the_antimeridian_is_split_there() -> None:
    """Ten degrees around 180 become five on either side, counterclockwise, with longitudes within 180."""
    ring = np.array([[175, 0], [175, 10], [185, 10], [185, 0], [175, 0]], float)
    shape = to_geojson(ring)
    assert shape["type"] == "MultiPolygon"
    west, east = rings(shape)
    assert {tuple(point) for point in west} == {(-180, 0), (-175, 0), (-175, 10), (-180, 10)}
    assert {tuple(point) for point in east} == {(175, 0), (180, 0), (180, 10), (175, 10)}
    assert all(shapely.is_ccw(shapely.linearrings(part)) for part in (west, east))
    assert all(part[0] == part[-1] for part in (west, east))


def test_a_ring_beyond_the_antimeridian_is_moved_back() -> None:
    """A ring between 181 and 182 degrees is one Polygon between -179 and -178, its first point still the first."""
    shape = to_geojson(np.array([[181, 0], [182, 0], [182, 1], [181, 1], [181, 0]], float))
    assert shape == {"type": "Polygon", "coordinates": [[[-179, 0], [-178, 0], [-178, 1], [-179, 1], [-179, 0]]]}
