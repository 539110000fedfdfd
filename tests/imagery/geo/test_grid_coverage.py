"""Cells of a grid that share area with a region."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from sarlens.errors import BadRequest
from sarlens.imagery.geo.grid_coverage import Spans, covered_cells
from sarlens.imagery.geo.polygons import MIN_SHARED_AREA

POINTS = st.lists(st.tuples(st.integers(-3, 13), st.integers(-3, 13)), min_size=3, max_size=12)
FRACTIONS = st.lists(st.tuples(st.floats(-3, 13), st.floats(-3, 13)), min_size=3, max_size=12)


def spans(stop: int, side: int, stride: int) -> Spans:
    """Cells of ``side`` every ``stride``, the last of them narrower."""
    return np.array([(start, min(start + side, stop)) for start in range(0, stop, stride)], float)


def expected_cells(region: BaseGeometry, cols: Spans, rows: Spans) -> list[tuple[int, int]]:
    """The cells whose own intersection with the region has an area."""
    return [
        (row, col)
        for row, (top, bottom) in enumerate(rows)
        for col, (left, right) in enumerate(cols)
        if region.intersection(shapely.box(left, top, right, bottom)).area > MIN_SHARED_AREA
    ]


def star(points: list[tuple[float, float]]) -> BaseGeometry:
    """The valid geometry of a ring that visits points by their direction from their mean."""
    x, y = np.mean(points, axis=0)
    ring = sorted(set(points), key=lambda point: math.atan2(point[1] - y, point[0] - x))
    if len(ring) < 3:
        return shapely.Polygon()
    return shapely.make_valid(shapely.Polygon(ring), method="structure", keep_collapsed=False)


@given(st.one_of(POINTS, FRACTIONS), POINTS, st.integers(1, 7), st.integers(0, 3))
def test_cells_are_those_that_shapely_finds(
    outer: list[tuple[float, float]], hole: list[tuple[float, float]], side: int, overlap: int
) -> None:
    """The cells equal those whose intersection in GEOS has an area, with holes, parts, touching edges and overlap."""
    region = shapely.difference(star(outer), star(hole))
    if region.area < 0.01:
        return
    cols, rows = spans(10, side, max(1, side - overlap)), spans(9, side, max(1, side - overlap))
    areas = [region.intersection(shapely.box(x, y, v, w)).area for x, v in cols for y, w in rows]
    if any(MIN_SHARED_AREA / 2 < area < 2 * MIN_SHARED_AREA for area in areas):
        return  # rounding decides
    assert list(covered_cells(region, cols, rows)) == expected_cells(region, cols, rows)


@pytest.mark.parametrize("seed", range(3))
def test_a_detailed_outline_far_from_the_origin_is_exact(seed: int) -> None:
    """A ring of 1,000 rough vertices at 60,000 pixels, and its mirror image, have the cells that shapely finds."""
    rng = np.random.default_rng(seed)
    turn = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    radius = 3000 + np.cumsum(rng.normal(size=1000)) * 20
    ring = 60_000 + radius[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
    sides = np.column_stack([np.arange(56_000, 64_000, 200), np.arange(56_000, 64_000, 200) + 256]).astype(float)
    for points in (ring, ring[::-1]):
        region = shapely.Polygon(points)
        assert region.is_valid
        assert list(covered_cells(region, sides, sides)) == expected_cells(region, sides, sides)


def test_cells_in_a_hole_are_left_out() -> None:
    """Of 100 x 100 cells, those of the 50 x 50 in the hole are left out, in groups of rows as well."""
    region = shapely.box(0, 0, 4000, 4000) - shapely.box(1000, 1000, 3000, 3000)
    cells = spans(4000, 10, 10)
    assert len(list(covered_cells(region, cells, cells))) == 400 * 400 - 200 * 200


def test_the_pieces_of_edges_are_bounded() -> None:
    """A comb with 2,000 edges across 4,000 columns is rejected before it is cut into 8 million pieces."""
    y = np.linspace(0, 4000, 2001)
    teeth = np.column_stack([np.resize([1.0, 4000.0, 4000.0, 2.0], 2001), y])
    comb = shapely.Polygon([(0, 0), *teeth, (0, 4000)])
    with pytest.raises(BadRequest, match="too many edges for this number of tiles"):
        list(covered_cells(comb, spans(4000, 1, 1), spans(4000, 4000, 4000)))
