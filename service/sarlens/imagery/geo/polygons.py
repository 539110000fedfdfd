"""Polygons as shapely geometries: densify edges, clip to a rectangle, split at the antimeridian."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from sarlens.errors import BadRequest

Ring: TypeAlias = NDArray[np.float64]
"""Points with shape (point, x and y); the last point equals the first."""

_MAX_INSERTED_POINTS = 8192
"""Points that ``densify`` inserts, at most, so that a zigzag can't multiply the work."""
_MAX_CROSSINGS = 256
"""Crossings of edges that ``repair`` resolves; the time that GEOS takes rises with their number."""
_MAX_CLOSE_PAIRS = 100_000
"""Pairs of edges with overlapping bounding boxes; the time that GEOS takes rises with their number."""
_CHUNK = 64
_TOO_COMPLEX = "The polygon has too many edges close to each other. Simplify it."
_NOT_PROJECTABLE = "The bbox or polygon crosses itself when it is projected to the image. Simplify it."
MIN_SHARED_AREA = 5e-7
"""Square pixels; geometries that share less only touch."""
_DECIMALS = 9
"""Decimals of GeoJSON coordinates in degrees: 0.1 mm."""


def densify(polygon: shapely.Polygon, step: NDArray[np.float64]) -> list[Ring]:
    """The rings of a polygon, exterior first, with points inserted at most ``step`` apart along either axis.

    If this takes more than ``_MAX_INSERTED_POINTS`` points, all steps grow by the same factor.
    """
    rings = [shapely.get_coordinates(ring) for ring in (polygon.exterior, *polygon.interiors)]
    lengths = [(np.abs(np.diff(ring, axis=0)) / step).max(axis=1) for ring in rings]
    scale = min(1.0, _MAX_INSERTED_POINTS / max(sum(float(edges.sum()) for edges in lengths), 1.0))
    return [_subdivide(ring, np.ceil(edges * scale)) for ring, edges in zip(rings, lengths, strict=True)]


def _subdivide(ring: Ring, pieces: NDArray[np.float64]) -> Ring:
    """Cut each edge into equal pieces, at least one."""
    counts = np.maximum(1, pieces.astype(int))
    share = np.concatenate([np.arange(count) / count for count in counts])[:, None]
    points = np.repeat(ring[:-1], counts, axis=0) + share * np.repeat(np.diff(ring, axis=0), counts, axis=0)
    return np.concatenate([points, ring[-1:]])


def clip_box(geometry: BaseGeometry, low: NDArray[np.float64], high: NDArray[np.float64]) -> list[shapely.Polygon]:
    """The polygons that a valid geometry shares with a rectangle, without the points and lines where they touch.

    Raises:
        BadRequest: rounding makes the geometry invalid.
    """
    shared = _intersection(geometry, shapely.box(*low, *high))
    return [part for part in shapely.get_parts(shared) if isinstance(part, shapely.Polygon) and not part.is_empty]


def _intersection(geometry: BaseGeometry, boxes: Any) -> Any:
    try:
        return shapely.intersection(geometry, boxes)
    except shapely.errors.GEOSException:
        raise BadRequest(_NOT_PROJECTABLE) from None


def repair(polygon: shapely.Polygon) -> BaseGeometry:
    """A valid geometry that covers the same area.

    Raises:
        BadRequest: edges cross more than ``_MAX_CROSSINGS`` times, or as ``check_complexity``.
    """
    check_complexity(polygon)
    if polygon.is_valid:
        return polygon
    if _count_pairs(polygon, _MAX_CROSSINGS, "intersects") > _MAX_CROSSINGS:
        raise BadRequest(_NOT_PROJECTABLE)
    return shapely.make_valid(polygon, method="structure", keep_collapsed=False)


def check_complexity(polygon: shapely.Polygon) -> None:
    """Reject a polygon that costs too much to validate, clip or repair.

    Raises:
        BadRequest: more than ``_MAX_CLOSE_PAIRS`` pairs of edges have overlapping bounding boxes.
    """
    if _count_pairs(polygon, _MAX_CLOSE_PAIRS) > _MAX_CLOSE_PAIRS:
        raise BadRequest(_TOO_COMPLEX)


def _count_pairs(polygon: shapely.Polygon, limit: int, predicate: str | None = None) -> int:
    """Pairs of edges that aren't neighbors and that meet, or whose boxes meet; the count ends beyond ``limit``."""
    rings = [shapely.get_coordinates(ring) for ring in (polygon.exterior, *polygon.interiors)]
    lines = shapely.linestrings(np.concatenate([np.stack([ring[:-1], ring[1:]], axis=1) for ring in rings]))
    tree = shapely.STRtree(lines)
    pairs = 0
    for start in range(0, len(lines), _CHUNK):
        chunk = lines[start : start + _CHUNK]
        pairs += tree.query(chunk, predicate=predicate).shape[1] - 3 * len(chunk)
        if pairs > 2 * limit:
            break
    return pairs // 2


def close_around_pole(lon: NDArray[np.float64], lat: NDArray[np.float64], pole: float) -> Ring:
    """Return the ring of an outline that goes around the globe once, from -180 to 180 and back over a pole.

    Args:
        lon: longitudes in degrees without jumps; the last one is a turn away from the first.
        lat: latitudes in degrees.
        pole: 90 or -90.
    """
    if lon[-1] < lon[0]:
        lon, lat = lon[::-1], lat[::-1]
    seam = 360 * np.ceil((lon[0] + 180) / 360) - 180
    after = int(np.argmax(lon >= seam))
    seam_lat = np.interp(seam, lon[max(after - 1, 0) : after + 1], lat[max(after - 1, 0) : after + 1])
    lon = np.concatenate([[seam], lon[after:], lon[1:after] + 360, [seam + 360]]) - seam - 180
    lat = np.concatenate([[seam_lat], lat[after:], lat[1:after], [seam_lat]])
    closing = [(180.0, pole), (-180.0, pole), (-180.0, seam_lat)]
    return np.concatenate([np.column_stack([lon, lat]), closing])


def to_geojson(ring: Ring) -> dict[str, Any]:
    """A GeoJSON Polygon of a ring in longitude and latitude, or a MultiPolygon split at the antimeridian.

    Longitudes of ``ring`` may go beyond 180. Exterior rings run counterclockwise (RFC 7946, 3.1.6 and 3.1.9).
    """
    west, east = ring[:, 0].min(), ring[:, 0].max()
    turns = range(int(np.floor((west + 180) / 360)), int(np.ceil((east + 180) / 360)))
    if len(turns) == 1:
        pieces = [(turns[0], ring)]
    else:
        outline = shapely.make_valid(shapely.Polygon(ring), method="structure")
        worlds = {turn: (np.array([360 * turn - 180, -90]), np.array([360 * turn + 180, 90])) for turn in turns}
        pieces = [
            (turn, shapely.get_coordinates(part.exterior))
            for turn, (low, high) in worlds.items()
            for part in clip_box(outline, low, high)
        ]
    coordinates = [[(_counterclockwise(piece) - (360 * turn, 0)).round(_DECIMALS).tolist()] for turn, piece in pieces]
    if len(coordinates) == 1:
        return {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "MultiPolygon", "coordinates": coordinates}


def _counterclockwise(ring: Ring) -> Ring:
    return ring if shapely.is_ccw(shapely.linearrings(ring)) else ring[::-1]
