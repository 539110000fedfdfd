"""The window of pixels that covers a bbox or polygon on the map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from shapely.geometry.base import BaseGeometry

from sarlens.errors import BadRequest, WindowOutOfBounds
from sarlens.imagery.geo.crs import WGS84, parse_crs, transform_coords
from sarlens.imagery.geo.georeference import Georeference
from sarlens.imagery.geo.polygons import (
    MIN_SHARED_AREA,
    check_complexity,
    clip_box,
    close_around_pole,
    densify,
    repair,
)
from sarlens.types.area import Rings
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window

_EDGE_STEPS = 64
"""Pieces into which an edge as long as the image is cut before it is projected."""
_MARGIN = 0.1
"""Share of the image's extent by which a geometry may reach beyond the image when it is projected."""
_POLAR_STEP = 0.5
"""Degrees between inserted points around a pole, where parallels are circles."""
_SAME_PX = 1e-6
"""Pixels between two points that count as one."""
_PIXEL_TOLERANCE = 0.05
"""Share of a pixel by which a window may fail to cover a geometry, so that rounding adds no row or column."""

Bounds: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
"""West and south, then east and north, in degrees."""


def window_for_geometry(image: Georeference, render: RenderParams) -> Window:
    """The smallest window of whole pixels that covers the part of a bbox or polygon inside an image.

    Edges of a bbox are straight in the CRS of the bbox; edges of a polygon are straight in longitude and latitude
    (RFC 7946, 3.1.1). Holes of a polygon don't change the window.

    Raises:
        WindowOutOfBounds: the bbox or polygon is outside the image.
        BadRequest: the CRS is unknown, the bbox is empty, or the polygon isn't valid.
        NotGeoreferenced: coordinates can't be transformed, as in the methods of ``image``.
    """
    areas = [shapely.Polygon(polygon.exterior) for polygon in _polygons(render)] if render.polygon else [_bbox(render)]
    bounds = shapely.total_bounds(_clip_to_image(image, areas, render))
    size = np.array([image.width, image.height])
    first = np.clip(np.floor(bounds[:2] + _PIXEL_TOLERANCE), 0, size - 1).astype(int)
    last = np.clip(np.ceil(bounds[2:] - _PIXEL_TOLERANCE), first + 1, size).astype(int)
    return Window(*map(int, first), *map(int, last - first))


def region_for_geometry(image: Georeference, render: RenderParams) -> BaseGeometry:
    """The part of a bbox or polygon inside an image, without holes, in pixels (col, row).

    Raises:
        WindowOutOfBounds, BadRequest, NotGeoreferenced: as ``window_for_geometry``.
    """
    parts = _clip_to_image(image, _polygons(render) if render.polygon else [_bbox(render)], render)
    region = shapely.MultiPolygon(parts)
    return region if len(parts) == 1 or region.is_valid else shapely.union_all(parts)


def _clip_to_image(
    image: Georeference, geometries: Sequence[BaseGeometry], render: RenderParams
) -> list[shapely.Polygon]:
    """Clip to the pixels of an image; longitudes of 190 and -170 degrees are the same.

    Raises:
        WindowOutOfBounds: no part is left.
    """
    param = "sar.polygon" if render.polygon else "sar.bbox"
    if (pixels := _own_bbox(image, render)) is not None:
        parts = clip_box(pixels, np.zeros(2), np.array([image.width, image.height], dtype=float))
        if sum(part.area for part in parts) <= MIN_SHARED_AREA:
            raise WindowOutOfBounds("The bbox is outside the image.", param=param)
        return parts
    outline = image.boundary(Window(0, 0, image.width, image.height))
    low, high = outline.min(axis=0), outline.max(axis=0)
    margin = _MARGIN * (high - low)
    step = (high - low + 2 * margin) / _EDGE_STEPS
    if high[0] - low[0] >= 360:
        step = np.minimum(step, _POLAR_STEP)
    parts = [
        part
        for geometry in geometries
        for turn in (-360, 0, 360)
        for near in clip_box(_shift(geometry, turn), low - margin, high + margin)
        for part in _to_pixels(image, near, step)
    ]
    if not parts:
        raise WindowOutOfBounds(
            f"The {param.removeprefix('sar.')} is outside the image, which is between longitudes {low[0]:.5f} and "
            f"{high[0]:.5f}, latitudes {low[1]:.5f} and {high[1]:.5f}.",
            param=param,
        )
    return parts


def _own_bbox(image: Georeference, render: RenderParams) -> shapely.Polygon | None:
    """Return a bbox in pixels if its projected CRS is that of the geotransform, which then is exact, also at a pole."""
    if render.bbox is None or image.affine is None or not image.crs.is_projected:
        return None
    if parse_crs(render.bbox_crs) != image.crs:
        return None
    west, south, east, north = _ordered(render.bbox)
    corners = np.array([(west, south), (east, south), (east, north), (west, north)])
    cols, rows = ~image.affine @ (corners[:, 0], corners[:, 1])
    return shapely.Polygon(np.column_stack([cols, rows]))


def _shift(geometry: BaseGeometry, degrees: float) -> BaseGeometry:
    return shapely.transform(geometry, lambda points: points + np.array([degrees, 0.0]))


def _to_pixels(image: Georeference, polygon: shapely.Polygon, step: NDArray[np.float64]) -> list[shapely.Polygon]:
    """Project a polygon near an image to pixels and clip it to the image; empty if they share no area.

    Points inserted every ``step`` degrees let straight edges bend as the projection does.
    """
    pixels = [np.column_stack(image.lonlat_to_pixel(ring[:, 0], ring[:, 1])) for ring in densify(polygon, step)]
    if not all(np.isfinite(ring).all() for ring in pixels):
        return []
    # The edge of a box along a pole is one point of the image.
    exterior, *holes = (ring[np.append(True, np.abs(np.diff(ring, axis=0)).max(axis=1) > _SAME_PX)] for ring in pixels)
    if len(exterior) < 4:
        return []
    projected = repair(shapely.Polygon(exterior, [hole for hole in holes if len(hole) > 3]))
    parts = clip_box(projected, np.zeros(2), np.array([image.width, image.height], dtype=float))
    return parts if sum(part.area for part in parts) > MIN_SHARED_AREA else []


def _polygons(render: RenderParams) -> list[shapely.Polygon]:
    assert render.polygon is not None  # noqa: S101  for the type checker
    return [_polygon(rings) for rings in render.polygon.polygons]


def _polygon(coordinates: Rings) -> shapely.Polygon:
    rings = [np.array([position[:2] for position in ring], dtype=float) for ring in coordinates]
    if any((np.abs(np.diff(ring[:, 0])) > 180).any() for ring in rings):
        raise BadRequest(
            "An edge of the polygon spans more than 180 degrees. Across the antimeridian, write longitudes beyond "
            '180, such as 179 to 181, or use a "bbox" whose west is greater than its east.',
            param="sar.polygon",
        )
    polygon = shapely.Polygon(rings[0], rings[1:])
    check_complexity(polygon)
    if (reason := shapely.is_valid_reason(polygon)) != "Valid Geometry":
        raise BadRequest(
            f"The polygon isn't valid: {reason}. Rings must not cross, and holes must be inside the exterior ring.",
            param="sar.polygon",
        )
    return polygon


def _bbox(render: RenderParams) -> BaseGeometry:
    assert render.bbox is not None  # noqa: S101  for the type checker
    crs = parse_crs(render.bbox_crs)
    west, south, east, north = render.bbox
    if crs.is_geographic and east < west:
        east += 360
    west, south, east, north = _ordered((west, south, east, north))
    box = shapely.Polygon([(west, south), (east, south), (east, north), (west, north)])
    if crs == WGS84:
        return box
    (edges,) = densify(box, np.array([east - west, north - south]) / _EDGE_STEPS)
    try:
        lon, lat = transform_coords(crs, WGS84, edges[:, 0], edges[:, 1])
    except (RasterioError, CPLE_BaseError, ValueError):
        lon = lat = np.array([np.nan])
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise BadRequest(f"The bbox reaches beyond the area that {render.bbox_crs} covers.", param="sar.bbox")
    lon = np.unwrap(lon, period=360)
    if abs(lon[-1] - lon[0]) > 180:
        return repair(shapely.Polygon(close_around_pole(lon, lat, 90.0 if lat.mean() > 0 else -90.0)))
    return repair(shapely.Polygon(np.column_stack([lon, lat])))


def _ordered(bbox: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Return a bbox.

    Raises:
        BadRequest: the bbox is empty, or its sides are in another order.
    """
    west, south, east, north = bbox
    if not (west < east and south < north):
        raise BadRequest(
            "bbox must be [west, south, east, north], with west less than east and south less than north.",
            param="sar.bbox",
        )
    return bbox
