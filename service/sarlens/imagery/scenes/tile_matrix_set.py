"""Tile matrix sets: those of maps, and the tile matrix set of an image's own pixels.

Source: OGC 17-083r4, Two Dimensional Tile Matrix Set. Definitions of maps are those of morecantile.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil, log2
from typing import Any, NamedTuple

from sarlens.errors import BadRequest, NotFound

TILE_SIDE = 256
"""Rows and columns of a tile."""
WEB_MERCATOR, ARCTIC, ANTARCTIC = "WebMercatorQuad", "UPSArcticWGS84Quad", "UPSAntarcticWGS84Quad"
MAP_SETS = (WEB_MERCATOR, ARCTIC, ANTARCTIC)
"""Tile matrix sets of maps."""
_PIXEL_M = 0.00028
"""Standardized size of a rendering pixel in meters (OGC 17-083r4, 6.1)."""
PIXELS = "pixels"
"""Grid of the pixels of one image: the origin is its upper left corner, and rows go down."""


class TileIndex(NamedTuple):
    """A tile of a tile matrix set."""

    zoom: int
    """Zoom level: the tile matrix."""
    col: int
    """Column, from 0 at the left."""
    row: int
    """Row, from 0 at the top."""


class Box(NamedTuple):
    """A rectangle in the coordinates of a tile matrix set."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class TileMatrixSet:
    """Square tiles of ``TILE_SIDE`` pixels in zoom levels, each with half the cell size of the one before."""

    id: str
    """Id of the tile matrix set."""
    epsg: int | None
    """CRS of the coordinates, or None if they are columns and rows of an image."""
    left: float
    """Coordinate of the left edge."""
    top: float
    """Coordinate of the upper edge."""
    cell_size: float
    """Units of the coordinates in a pixel of zoom level 0."""
    max_zoom: int
    """Highest zoom level."""

    @property
    def down(self) -> int:
        """Sign of a step down: coordinates of a map rise to the north, and rows of an image rise to the bottom."""
        return 1 if self.epsg is None else -1

    def resolution(self, zoom: int) -> float:
        """Units of the coordinates in a pixel."""
        return self.cell_size / float(2**zoom)

    def box(self, tile: TileIndex) -> Box:
        """Return the edges of a tile.

        Raises:
            BadRequest: the tile matrix set has no such tile.
        """
        zoom, col, row = tile
        if not 0 <= zoom <= self.max_zoom:
            raise BadRequest(f"{self.id} has the zoom levels 0 to {self.max_zoom}, and not {zoom}.", param="z")
        if not (0 <= col < 2**zoom and 0 <= row < 2**zoom):
            raise BadRequest(f"Zoom level {zoom} of {self.id} has columns and rows from 0 to {2**zoom - 1}.", param="x")
        side = TILE_SIDE * self.resolution(zoom)
        left, top = self.left + col * side, self.top + self.down * row * side
        return Box(left, top, left + side, top + self.down * side)


@cache
def map_matrix_set(name: str) -> TileMatrixSet:
    """Return the tile matrix set of a map; the first call loads PROJ, so call it in a thread.

    Raises:
        NotFound: the gateway has no such set.
    """
    if name not in MAP_SETS:
        raise NotFound(f"Tile matrix set {name[:64]!r} doesn't exist. Known are {', '.join((*MAP_SETS, PIXELS))}.")
    found = _definition(name)
    first = found.matrix(0)
    epsg = int(str(found.crs.root).rpartition("/")[2])
    left, top = first.pointOfOrigin
    return TileMatrixSet(name, epsg, left, top, first.cellSize, found.maxzoom)


def pixel_matrix_set(width: int, height: int) -> TileMatrixSet:
    """Return the tile matrix set of an image, whose highest zoom level has its full resolution."""
    max_zoom = max(0, ceil(log2(max(width, height) / TILE_SIDE)))
    return TileMatrixSet(PIXELS, None, 0.0, 0.0, float(2**max_zoom), max_zoom)


@cache
def definition(name: str) -> dict[str, Any]:
    """Return the definition of a map as the JSON of OGC 17-083r4; raises as ``map_matrix_set``."""
    map_matrix_set(name)
    document: dict[str, Any] = _definition(name).model_dump(mode="json", exclude_none=True)
    return document


def pixel_definition(width: int, height: int) -> dict[str, Any]:
    """Return the definition of the tile matrix set of an image's pixels, in its columns and rows."""
    tms = pixel_matrix_set(width, height)
    matrices = [
        {
            "id": str(zoom),
            "scaleDenominator": tms.resolution(zoom) / _PIXEL_M,
            "cellSize": tms.resolution(zoom),
            "cornerOfOrigin": "topLeft",
            "pointOfOrigin": [tms.left, tms.top],
            "tileWidth": TILE_SIDE,
            "tileHeight": TILE_SIDE,
            "matrixWidth": 2**zoom,
            "matrixHeight": 2**zoom,
        }
        for zoom in range(tms.max_zoom + 1)
    ]
    return {"id": PIXELS, "title": "Columns and rows of the image", "tileMatrices": matrices}


def _definition(name: str) -> Any:
    from morecantile import tms  # noqa: PLC0415  takes 0.3 s

    return tms.get(name)
