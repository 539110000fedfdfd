"""The place of a scene in a tile matrix set, and the pixels at positions there."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.geo.crs import WGS84, epsg_crs, transform_coords
from sarlens.imagery.geo.georeference import Georeference
from sarlens.imagery.scenes.tile_matrix_set import ANTARCTIC, ARCTIC, WEB_MERCATOR, Box, TileIndex, TileMatrixSet

Values: TypeAlias = NDArray[np.float64]

_EDGE_STEPS = 64
"""Points along each edge of the scene."""
_MAX_MERCATOR_LATITUDE = 85.0511287798
"""Latitude in degrees of the upper edge of WebMercatorQuad."""
_MIN_POLAR_LATITUDE = 60.0
"""Latitude in degrees from which on a polar one fits."""


@dataclass(frozen=True)
class Placement:
    """A scene in the coordinates of a tile matrix set."""

    tms: TileMatrixSet
    """The tile matrix set."""
    boxes: tuple[Box, ...]
    """Bounds of the scene: two across the antimeridian of WebMercatorQuad, else one."""
    pixels_per_unit: tuple[float, float]
    """Columns and rows of the image in a unit of the coordinates, at the center of the scene."""
    georeference: Georeference | None = None
    """Georeference; None in the tile matrix set of the image's own pixels."""
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def overlaps(self, tile: TileIndex) -> bool:
        """Whether a tile and the bounds of the scene share a point.

        Raises:
            BadRequest: the tile matrix set has no such tile.
        """
        frame = self.tms.box(tile)
        low, high = sorted((frame.top, frame.bottom))
        return any(
            frame.left <= box.right
            and frame.right >= box.left
            and low <= max(box.top, box.bottom)
            and high >= min(box.top, box.bottom)
            for box in self.boxes
        )

    def to_pixels(self, x: Values, y: Values) -> tuple[Values, Values]:
        """Return columns and rows of positions, also outside the image; values without a position aren't finite.

        Raises:
            NotGeoreferenced: PROJ or the spline fails for these positions.
        """
        if self.georeference is None:
            return x, y
        with self._lock:  # GDAL's spline doesn't promise to serve several threads
            return self.georeference.lonlat_to_pixel(*_to_lonlat(self.tms, x, y))


def place_on_pixels(tms: TileMatrixSet, width: int, height: int) -> Placement:
    """Return the placement of an image in the tile matrix set of its own pixels."""
    return Placement(tms, (Box(0.0, 0.0, float(width), float(height)),), (1.0, 1.0))


def place_on_map(tms: TileMatrixSet, georeference: Georeference) -> Placement | None:
    """Return the placement of a scene on a map; None if the tile matrix set doesn't cover the scene.

    Raises:
        NotGeoreferenced: a point of the outline has no position.
    """
    width, height = georeference.width, georeference.height
    cols, rows = _outline(width, height)
    lon, lat = georeference.pixel_to_lonlat(cols, rows)
    found = np.isfinite(lon) & np.isfinite(lat)
    if not found.all():
        return None
    boxes = _boxes(tms, lon, lat)
    if not boxes:
        return None
    placement = Placement(tms, boxes, (1.0, 1.0), georeference)
    center = georeference.pixel_to_lonlat(np.array([width / 2]), np.array([height / 2]))
    x, y = _from_lonlat(tms, *center)
    step = max(abs(boxes[0].right - boxes[0].left), abs(boxes[0].bottom - boxes[0].top)) / max(width, height)
    moved_x, moved_y = x + step * np.array([0, 1, 0]), y + step * np.array([0, 0, 1])
    at_cols, at_rows = placement.to_pixels(moved_x, moved_y)
    per_unit = [float(np.hypot(*(values[1:] - values[0]))) / step for values in (at_cols, at_rows)]
    if not (np.isfinite(per_unit).all() and min(per_unit) > 0):
        return None
    return Placement(tms, boxes, (per_unit[0], per_unit[1]), georeference)


def _outline(width: int, height: int) -> tuple[Values, Values]:
    """Return columns and rows of points along the edges, in order, the first one twice."""
    share = np.linspace(0, 1, _EDGE_STEPS, endpoint=False)
    zero, one = np.zeros(_EDGE_STEPS), np.ones(_EDGE_STEPS)
    cols = np.concatenate([zero, share, one, 1 - share, [0.0]]) * width
    rows = np.concatenate([share, one, 1 - share, zero, [0.0]]) * height
    return cols, rows


def _boxes(tms: TileMatrixSet, lon: Values, lat: Values) -> tuple[Box, ...]:
    if tms.id == WEB_MERCATOR:
        return _mercator_boxes(tms, lon, lat)
    covered = (tms.id == ARCTIC and lat.min() >= _MIN_POLAR_LATITUDE) or (
        tms.id == ANTARCTIC and lat.max() <= -_MIN_POLAR_LATITUDE
    )
    if not covered:
        return ()
    x, y = _from_lonlat(tms, lon, lat)
    return (Box(float(x.min()), float(y.max()), float(x.max()), float(y.min())),)


def _mercator_boxes(tms: TileMatrixSet, lon: Values, lat: Values) -> tuple[Box, ...]:
    lon = np.unwrap(lon, period=360).astype(np.float64)
    west, east, south, north = float(lon.min()), float(lon.max()), float(lat.min()), float(lat.max())
    if abs(lon[-1] - lon[0]) > 180:  # the outline goes around a pole
        west, east = -180.0, 180.0
        south, north = (south, 90.0) if north > 0 else (-90.0, north)
    south, north = max(south, -_MAX_MERCATOR_LATITUDE), min(north, _MAX_MERCATOR_LATITUDE)
    if south >= north or west >= east:
        return ()
    turns = (0.0, 360.0, -360.0)
    parts = [(max(west + turn, -180.0), min(east + turn, 180.0)) for turn in turns]
    boxes = []
    for left, right in parts:
        if left < right:
            x, y = _from_lonlat(tms, np.array([left, right]), np.array([north, south]))
            boxes.append(Box(float(x[0]), float(y[0]), float(x[1]), float(y[1])))
    return tuple(boxes)


def _from_lonlat(tms: TileMatrixSet, lon: Values, lat: Values) -> tuple[Values, Values]:
    return transform_coords(WGS84, epsg_crs(tms.epsg or 0), lon, lat)


def _to_lonlat(tms: TileMatrixSet, x: Values, y: Values) -> tuple[Values, Values]:
    return transform_coords(epsg_crs(tms.epsg or 0), WGS84, x, y)
