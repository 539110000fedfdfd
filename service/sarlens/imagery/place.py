"""From a place on the map to the window of pixels that covers it."""

from __future__ import annotations

import re
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError

from sarlens.errors import BadRequest, WindowOutside
from sarlens.imagery.georeference import WGS84, Georeference, geodesy, warped
from sarlens.imagery.rings import Ring, area, clip, crosses_itself, densified
from sarlens.request import Render, Window

_CRS84 = re.compile(r"(?:OGC:|https?://www\.opengis\.net/def/crs/OGC/[\d.]+/|urn:ogc:def:crs:OGC:[\d.]*:)?CRS84")
_EPSG = re.compile(r"(?:EPSG:|https?://www\.opengis\.net/def/crs/EPSG/[\d.]+/|urn:ogc:def:crs:EPSG:[\d.]*:)(\d{4,6})")
_STEPS = 64
_MARGIN = 0.1
_TOUCH = 1e-6
"""Square pixels, twice: what shares less than this with an image touches it at most."""
_SNAP = 0.05
"""Parts of a pixel by which a window may fail to cover a place, so that rounding adds no row or column."""

Bounds: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]


def window_of(image: Georeference, render: Render) -> Window:
    """The window of whole pixels around what of a bbox or polygon lies in an image.

    Edges of a bbox are straight in its own CRS, those of a polygon in longitude and latitude (RFC 7946, 3.1.1).

    Raises:
        WindowOutside: nothing of it lies in the image.
        BadRequest: the CRS is unknown, the bbox is none in it, or the polygon crosses itself.
        NotGeoreferenced: as the methods of ``image``.
    """
    inside = np.concatenate(parts_of(image, render))
    size = np.array([image.width, image.height])
    first = np.clip(np.floor(inside.min(axis=0) + _SNAP), 0, size - 1).astype(int)
    last = np.clip(np.ceil(inside.max(axis=0) - _SNAP), first + 1, size).astype(int)
    return Window(*map(int, first), *map(int, last - first))


def parts_of(image: Georeference, render: Render) -> list[Ring]:
    """What of a bbox or polygon lies in an image: rings in pixels, of which there is at least one.

    Raises:
        WindowOutside, BadRequest, NotGeoreferenced: as ``window_of``.
    """
    ring, param = (_polygon(render)[0], "sar.polygon") if render.polygon else (_bbox(render), "sar.bbox")
    parts = _everywhere(image, ring)
    if not parts:
        low, high = _extent(image)
        raise WindowOutside(
            f"The {param.removeprefix('sar.')} lies outside the image, which lies between longitudes {low[0]:.5f} and "
            f"{high[0]:.5f}, latitudes {low[1]:.5f} and {high[1]:.5f}.",
            param=param,
        )
    return parts


def holes_of(image: Georeference, render: Render) -> list[Ring]:
    """The holes of the polygon as rings in pixels, as far as they lie in the image; raises as ``window_of``."""
    rings = _polygon(render)[1:] if render.polygon else []
    return [part for ring in rings for part in _everywhere(image, ring)]


def _everywhere(image: Georeference, ring: Ring) -> list[Ring]:
    """The parts of a ring that lie in an image, however its longitudes are written."""
    low, high = _extent(image)
    margin = _MARGIN * (high - low)
    parts = [_pixels(image, ring + np.array([turn, 0]), (low - margin, high + margin)) for turn in (-360, 0, 360)]
    return [part for part in parts if len(part)]


def _extent(image: Georeference) -> Bounds:
    outline = image.boundary(Window(0, 0, image.width, image.height))
    return outline.min(axis=0), outline.max(axis=0)


def _pixels(image: Georeference, ring: Ring, near: Bounds) -> Ring:
    """What of a ring of longitudes and latitudes lies in the image, in pixels; empty where nothing does.

    It is cut twice: to the neighbourhood of the image, beyond which splines and projections mean nothing, with points
    set in between so that the image may be bent, and then to the pixels of the image.
    """
    around = clip(ring, *near)
    if not len(around) or area(around) == 0:
        return around[:0]
    around = densified(around, (near[1] - near[0]) / _STEPS)
    pixels = np.column_stack(image.pixels(around[:, 0], around[:, 1]))
    if not np.isfinite(pixels).all():
        return around[:0]
    inside = clip(pixels, np.zeros(2), np.array([image.width, image.height], dtype=float))
    return inside if len(inside) and abs(area(inside)) > _TOUCH else inside[:0]


def _polygon(render: Render) -> list[Ring]:
    assert render.polygon is not None  # noqa: S101  for the type checker
    rings = [np.array([position[:2] for position in ring], dtype=float) for ring in render.polygon.coordinates]
    for ring in rings:
        if (np.abs(np.diff(ring[:, 0])) > 180).any():
            raise BadRequest(
                "An edge of the polygon spans more than 180 degrees. Across the antimeridian write longitudes beyond "
                '180, such as 179 to 181, or use a "bbox" whose west is greater than its east.',
                param="sar.polygon",
            )
        if area(ring) == 0 or crosses_itself(ring):
            raise BadRequest("A ring of the polygon crosses itself or has no area.", param="sar.polygon")
    return rings


def _bbox(render: Render) -> Ring:
    assert render.bbox is not None  # noqa: S101  for the type checker
    crs = known_crs(render.bbox_crs)
    west, south, east, north = render.bbox
    if crs.is_geographic and east < west:
        east += 360
    if not (west < east and south < north):
        raise BadRequest("bbox is [west, south, east, north], with west before east.", param="sar.bbox")
    corners = np.array([[west, south], [east, south], [east, north], [west, north], [west, south]])
    if crs == WGS84:
        return corners
    edges = densified(corners, np.array([east - west, north - south]) / _STEPS)
    try:
        lon, lat = warped(crs, WGS84, edges[:, 0], edges[:, 1])
    except (RasterioError, CPLE_BaseError, ValueError):
        lon = lat = np.array([np.nan])
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise BadRequest(f"The bbox reaches over what {render.bbox_crs} can place.", param="sar.bbox")
    return np.column_stack([np.unwrap(lon, period=360), lat])


def known_crs(name: str) -> CRS:
    """The CRS that an OGC URI, a URN or ``EPSG:n`` names; whatever else PROJ understands, such as files, is refused.

    Raises:
        BadRequest: there is none of that name, or it is neither geographic nor projected.
    """
    if _CRS84.fullmatch(name):
        return WGS84
    number = _EPSG.fullmatch(name)
    try:
        with geodesy():
            crs = CRS.from_epsg(int(number[1])) if number else None
    except (RasterioError, CPLE_BaseError, ValueError):
        crs = None
    if crs is None or not (crs.is_geographic or crs.is_projected):
        raise BadRequest(
            "bbox_crs names no coordinate reference system that is known here. Write it like EPSG:32631, or like "
            "http://www.opengis.net/def/crs/OGC/1.3/CRS84.",
            param="sar.bbox_crs",
        )
    return crs
