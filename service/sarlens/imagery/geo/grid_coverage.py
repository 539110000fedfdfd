"""The cells of a grid that share area with a region, by the area in each cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from sarlens.errors import BadRequest
from sarlens.imagery.geo.polygons import MIN_SHARED_AREA, Ring

Values: TypeAlias = NDArray[np.float64]
Indexes: TypeAlias = NDArray[np.intp]
Spans: TypeAlias = Values
"""Starts and ends of the cells along one side of the grid, with shape (index, 2), ascending. Spans can overlap."""
Lines: TypeAlias = Values
"""Directed lines with shape (line; x0, y0, x1 and y1)."""

_MAX_CELLS = 65_536
"""Cells in memory at a time, or one row of the grid."""
_MAX_PIECES = 131_072
"""Pieces of lines in memory at a time, or those of one line."""
_MAX_CUTS = 4_000_000
"""Pieces into which rows and cells may cut the edges of a region."""


def covered_cells(region: BaseGeometry, cols: Spans, rows: Spans) -> Iterator[tuple[int, int]]:
    """The (row, col) of the cells that share more than ``MIN_SHARED_AREA`` with a valid geometry, row by row.

    Raises:
        BadRequest: rows and cells cut the edges into more than ``_MAX_CUTS`` pieces.
    """
    lines = _directed_edges(region)
    cuts_left = _MAX_CUTS
    group = max(1, _MAX_CELLS // len(cols))
    for first in range(0, len(rows), group):
        areas = np.zeros((min(group, len(rows) - first), len(cols)))
        for pieces, row in _cut_into_rows(lines, rows[first : first + group]):
            cuts_left -= len(pieces) + _add_areas(areas, pieces, row, cols, cuts_left)
        for at_row, at_col in np.argwhere(areas > MIN_SHARED_AREA).tolist():
            yield first + at_row, at_col


def _directed_edges(region: BaseGeometry) -> Lines:
    """The edges that aren't horizontal: counterclockwise in exterior rings, and clockwise in holes."""
    rings = [
        _with_direction(ring, ccw=number == 0)
        for polygon in shapely.get_parts(region)
        for number, ring in enumerate((polygon.exterior, *polygon.interiors))
    ]
    edges: Lines = np.concatenate([np.hstack([ring[:-1], ring[1:]]) for ring in rings])
    return np.compress(edges[:, 1] != edges[:, 3], edges, axis=0)


def _with_direction(ring: shapely.LinearRing, *, ccw: bool) -> Ring:
    points: Ring = shapely.get_coordinates(ring)
    return points if ring.is_ccw == ccw else points[::-1]


def _cut_into_rows(lines: Lines, rows: Spans) -> Iterator[tuple[Lines, Indexes]]:
    """The pieces of lines within each row, and their rows."""
    first, last = _touched(rows, lines[:, 1], lines[:, 3])
    for line, row in _pairs(first, last):
        x0, y0, x1, y1 = lines[line].T
        ends = [
            (x0 + (y - y0) / (y1 - y0) * (x1 - x0), y) for y in (np.clip(y0, *rows[row].T), np.clip(y1, *rows[row].T))
        ]
        yield np.column_stack([*ends[0], *ends[1]]), row


def _add_areas(areas: Values, pieces: Lines, row: Indexes, cols: Spans, max_cuts: int) -> int:
    """Add the area between each piece and the left side of each cell in its row; negative where a piece goes down.

    The areas of all pieces of a closed ring add up to the area that each cell shares with the ring.

    Returns:
        Number of parts into which the cells cut the pieces.
    """
    height = pieces[:, 3] - pieces[:, 1]
    first, last = _touched(cols, pieces[:, 0], pieces[:, 2])
    cuts = int((last - first).clip(0).sum())
    if cuts + len(pieces) > max_cuts:
        raise BadRequest("The polygon has too many edges for this number of tiles. Simplify it, or use larger tiles.")
    count = areas.shape[1] + 1
    passed = np.bincount(row * count + first, height, len(areas) * count).reshape(len(areas), count)
    heights = passed[:, ::-1].cumsum(axis=1)[:, -2::-1]  # of the pieces right of each cell
    areas += heights * (cols[:, 1] - cols[:, 0])
    for piece, col in _pairs(first, last):
        widths = _mean_width(pieces[piece], cols[col])
        areas += np.bincount(row[piece] * areas.shape[1] + col, widths * height[piece], areas.size).reshape(areas.shape)
    return cuts


def _mean_width(pieces: Lines, cells: Spans) -> Values:
    """The mean distance between the left side of a cell and a piece, cut off at both sides of the cell."""
    start, stop = cells.T
    low, high = np.minimum(pieces[:, 0], pieces[:, 2]), np.maximum(pieces[:, 0], pieces[:, 2])
    enters, leaves = np.clip(low, start, stop), np.clip(high, start, stop)
    inside = (leaves - enters) * ((enters - start + leaves - start) / 2)
    beyond = (high - np.maximum(low, stop)).clip(0) * (stop - start)
    extent = high - low
    return np.where(extent > 0, (inside + beyond) / np.where(extent > 0, extent, 1), enters - start)


def _touched(spans: Spans, one: Values, other: Values) -> tuple[Indexes, Indexes]:
    """The first span that ends beyond the lower value, and the first that starts at or beyond the higher one."""
    first = np.searchsorted(spans[:, 1], np.minimum(one, other), "right")
    return first, np.searchsorted(spans[:, 0], np.maximum(one, other), "left")


def _pairs(first: Indexes, stop: Indexes) -> Iterator[tuple[Indexes, Indexes]]:
    """Every index with each number from its ``first`` to its ``stop``, in chunks of about ``_MAX_PIECES``."""
    counts = (stop - first).clip(0)
    chunks = np.cumsum(counts) // _MAX_PIECES
    for chunk in np.unique(chunks[counts > 0]):
        (index,) = np.nonzero((chunks == chunk) & (counts > 0))
        repeated = counts[index]
        within = np.arange(repeated.sum()) - np.repeat(np.cumsum(repeated) - repeated, repeated)
        yield np.repeat(index, repeated), np.repeat(first[index], repeated) + within
