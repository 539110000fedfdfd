"""Tile matrix sets: those of maps, and the tile matrix set of an image's own pixels.

Source: OGC 17-083r4, Two Dimensional Tile Matrix Set, and its registry of definitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2
from typing import Any, NamedTuple

from sarlens.errors import BadRequest, NotFound

TILE_SIDE = 256
"""Rows and columns of a tile."""
WEB_MERCATOR, ARCTIC, ANTARCTIC = "WebMercatorQuad", "UPSArcticWGS84Quad", "UPSAntarcticWGS84Quad"
MAP_SETS = (WEB_MERCATOR, ARCTIC, ANTARCTIC)
"""Tile matrix sets of maps."""
_MAX_ZOOM = 24
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


_WEB_MERCATOR_EDGE = 20037508.342789244  # π times the radius of the sphere, 6,378,137 m
_SETS = {
    WEB_MERCATOR: TileMatrixSet(
        WEB_MERCATOR, 3857, -_WEB_MERCATOR_EDGE, _WEB_MERCATOR_EDGE, 2 * _WEB_MERCATOR_EDGE / TILE_SIDE, _MAX_ZOOM
    ),
    ARCTIC: TileMatrixSet(ARCTIC, 5041, -14440759.350252, 18440759.350252, 128443.4324, _MAX_ZOOM),
    ANTARCTIC: TileMatrixSet(ANTARCTIC, 5042, -14440759.350252, 18440759.350252, 128443.4324, _MAX_ZOOM),
}
_TITLES = {
    WEB_MERCATOR: "Google Maps Compatible for the World",
    ARCTIC: "Universal Polar Stereographic WGS 84 Quad for Arctic",
    ANTARCTIC: "Universal Polar Stereographic WGS 84 Quad for Antarctic",
}


def map_matrix_set(name: str) -> TileMatrixSet:
    """Return the tile matrix set of a map.

    Raises:
        NotFound: the gateway has no such set.
    """
    if name not in _SETS:
        raise NotFound(f"Tile matrix set {name[:64]!r} doesn't exist. Known are {', '.join((*MAP_SETS, PIXELS))}.")
    return _SETS[name]


def pixel_matrix_set(width: int, height: int) -> TileMatrixSet:
    """Return the tile matrix set of an image, whose highest zoom level has its full resolution."""
    max_zoom = max(0, ceil(log2(max(width, height) / TILE_SIDE)))
    return TileMatrixSet(PIXELS, None, 0.0, 0.0, float(2**max_zoom), max_zoom)


def definition(name: str) -> dict[str, Any]:
    """Return the definition of a map as the JSON of OGC 17-083r4; raises as ``map_matrix_set``."""
    tms = map_matrix_set(name)
    is_mercator = name == WEB_MERCATOR
    scale_set = {"wellKnownScaleSet": "http://www.opengis.net/def/wkss/OGC/1.0/GoogleMapsCompatible"}
    return {
        "id": name,
        "title": _TITLES[name],
        "uri": f"http://www.opengis.net/def/tilematrixset/OGC/1.0/{name}",
        "orderedAxes": ["X", "Y"] if is_mercator else ["E", "N"],
        "crs": f"http://www.opengis.net/def/crs/EPSG/0/{tms.epsg}",
        **(scale_set if is_mercator else {}),
        "tileMatrices": _matrices(tms),
    }


def pixel_definition(width: int, height: int) -> dict[str, Any]:
    """Return the definition of the tile matrix set of an image's pixels, in its columns and rows."""
    matrices = _matrices(pixel_matrix_set(width, height))
    return {"id": PIXELS, "title": "Columns and rows of the image", "tileMatrices": matrices}


def _matrices(tms: TileMatrixSet) -> list[dict[str, Any]]:
    return [
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
