"""Which pixels of a scene a tile shows: a mesh of quadrilaterals, each bilinear, as precise as a tenth of a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.scenes.placement import Placement
from sarlens.imagery.scenes.tile_matrix_set import TILE_SIDE, Box, TileIndex

Values: TypeAlias = NDArray[np.float64]

_FIRST_CELLS = 2
_MAX_CELLS = 32
"""Quadrilaterals along each axis."""
_MAX_ERROR_PX = 0.1
"""Deviation of a quadrilateral from the true position, in pixels of the tile."""


class Span(NamedTuple):
    """Pixels of a tile along one axis."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Mesh:
    """Positions in an image of a lattice of points in a tile."""

    xs: NDArray[np.int_]
    """Columns of the tile, ascending, with shape (node,)."""
    ys: NDArray[np.int_]
    """Rows of the tile, ascending, with shape (node,)."""
    cols: Values
    """Columns of the image, of shape (row, column of nodes)."""
    rows: Values
    """Rows of the image, of the same shape."""


def tile_meshes(placement: Placement, tile: TileIndex) -> list[Mesh]:
    """Return a mesh for each part of a tile that the bounds of the scene overlap.

    Raises:
        BadRequest: the tile matrix set has no such tile.
        NotGeoreferenced: positions can't be transformed.
    """
    frame, resolution = placement.tms.box(tile), placement.tms.resolution(tile.zoom)
    meshes = []
    for box in placement.boxes:
        across = _overlap(frame.left, box.left, box.right, resolution)
        down = _overlap(frame.top, box.top, box.bottom, placement.tms.down * resolution)
        if across and down:
            meshes.append(_mesh(placement, frame, resolution, across, down))
    return meshes


def _overlap(start: float, first: float, last: float, step: float) -> Span | None:
    """Return the pixels of a tile between two coordinates, with a pixel more on each side."""
    begin = max(0, int(np.floor((first - start) / step)) - 1)
    end = min(TILE_SIDE, int(np.ceil((last - start) / step)) + 1)
    return Span(begin, end) if begin < end else None


def _mesh(placement: Placement, frame: Box, resolution: float, across: Span, down: Span) -> Mesh:
    cells = _FIRST_CELLS
    fine = _nodes(placement, frame, resolution, across, down, cells)
    while True:
        coarse, fine = fine, _nodes(placement, frame, resolution, across, down, 2 * cells)
        if _error_px(placement, coarse, fine, resolution) <= _MAX_ERROR_PX or 2 * cells >= _MAX_CELLS:
            return fine
        cells *= 2


def _nodes(placement: Placement, frame: Box, resolution: float, across: Span, down: Span, cells: int) -> Mesh:
    xs = np.unique(np.rint(np.linspace(*across, cells + 1)).astype(int))
    ys = np.unique(np.rint(np.linspace(*down, cells + 1)).astype(int))
    x, y = np.meshgrid(frame.left + xs * resolution, frame.top + placement.tms.down * ys * resolution)
    cols, rows = placement.to_pixels(x.ravel(), y.ravel())
    return Mesh(xs, ys, cols.reshape(x.shape), rows.reshape(x.shape))


def _error_px(placement: Placement, coarse: Mesh, fine: Mesh, resolution: float) -> float:
    """Return the largest distance between the fine nodes and the coarse mesh, in pixels of the tile."""
    scale = max(placement.pixels_per_unit) * resolution
    errors = []
    for coarse_values, fine_values in ((coarse.cols, fine.cols), (coarse.rows, fine.rows)):
        by_row = np.array([np.interp(fine.xs, coarse.xs, line) for line in coarse_values])
        both = np.array([np.interp(fine.ys, coarse.ys, line) for line in by_row.T]).T
        errors.append(np.abs(both - fine_values))
    distance = np.hypot(*errors)
    return float(distance.max() / scale) if np.isfinite(distance).all() else np.inf
