"""The position of a scene on the ground: footprint, bounds and size of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import NotGeoreferenced
from sarlens.imagery.geo.georeference import Georeference
from sarlens.types.window import Window

Values: TypeAlias = NDArray[np.float64]
Bounds: TypeAlias = tuple[float, float, float, float]
"""West, south, east and north in degrees."""

_MESH_CELLS = 16
"""Cells of a mesh along each side."""
_MESH_DECIMALS = 8
"""Decimals of a degree in a mesh: 1 mm."""
_EQUATORIAL_RADIUS_M, _ECCENTRICITY_SQUARED = 6_378_137.0, 0.0066943799901413165
"""Ellipsoid of WGS 84."""


@dataclass(frozen=True, slots=True)
class ScenePosition:
    """Footprint and bounds in CRS84: longitude and latitude in degrees."""

    crs: str | None
    """CRS of the geotransform or of the control points, such as ``EPSG:32631``; None if it has no code."""
    kind: str
    """``affine`` or ``gcps``."""
    footprint: dict[str, Any] | None
    """Outline as a GeoJSON geometry; None if a part of it has no position."""
    bounds: Bounds | None
    """West, south, east and north; west is greater than east across the antimeridian."""
    pixel_size_m: tuple[float, float] | None
    """Meters on the ground between neighboring columns and between neighboring rows, at the center."""
    is_north_up: bool
    """Whether rows go south and columns go east, within 45 degrees."""
    mesh: dict[str, Any] | None
    """``cols``, ``rows`` and ``lonlat`` (row, col, longitude and latitude) where they cross; None if a crossing has no
    position. Bilinear interpolation between the crossings places any pixel on a map."""


def locate(georeference: Georeference) -> ScenePosition:
    """Return the position of an image. Blocks."""
    whole = Window(0, 0, georeference.width, georeference.height)
    footprint: dict[str, Any] | None = None
    bounds: Bounds | None
    try:
        bounds = _bounds(georeference.boundary(whole))
        footprint = georeference.footprint(whole)
    except NotGeoreferenced:
        bounds = None
    steps = _steps_m(georeference)
    size = (float(np.hypot(*steps[0])), float(np.hypot(*steps[1])))
    return ScenePosition(
        _crs_name(georeference),
        "gcps" if georeference.affine is None else "affine",
        footprint,
        bounds,
        size if np.isfinite(size).all() else None,
        is_north_up=bool(steps[0][0] > abs(steps[0][1]) and -steps[1][1] > abs(steps[1][0])),
        mesh=_mesh(georeference),
    )


def _mesh(georeference: Georeference) -> dict[str, Any] | None:
    cols, rows = (np.linspace(0, side, _MESH_CELLS + 1) for side in (georeference.width, georeference.height))
    try:
        lon, lat = georeference.pixel_to_lonlat(*(grid.ravel() for grid in np.meshgrid(cols, rows)))
    except NotGeoreferenced:
        return None
    lonlat = np.stack([lon, lat], axis=-1).reshape(len(rows), len(cols), 2)
    if not np.isfinite(lonlat).all():
        return None
    return {"cols": cols.tolist(), "rows": rows.tolist(), "lonlat": lonlat.round(_MESH_DECIMALS).tolist()}


def _bounds(outline: Values) -> Bounds:
    (west, south), (east, north) = outline.min(axis=0), outline.max(axis=0)
    if east - west >= 360:
        return -180.0, float(south), 180.0, float(north)
    return _wrap(float(west)), float(south), _wrap(float(east)), float(north)


def _wrap(longitude: float) -> float:
    return longitude if -180 <= longitude <= 180 else (longitude + 180) % 360 - 180


def _steps_m(georeference: Georeference) -> Values:
    """Return the steps to the next column and to the next row at the center, as (step, east and north) in meters."""
    col, row = georeference.width / 2, georeference.height / 2
    lon, lat = georeference.pixel_to_lonlat(np.array([col, col + 1, col]), np.array([row, row, row + 1]))
    east = (lon[1:] - lon[0] + 180) % 360 - 180
    root = np.sqrt(1 - _ECCENTRICITY_SQUARED * np.sin(np.radians(lat[0])) ** 2)
    normal_m = _EQUATORIAL_RADIUS_M / root
    meridional_m = _EQUATORIAL_RADIUS_M * (1 - _ECCENTRICITY_SQUARED) / root**3
    return np.column_stack(
        [np.radians(east) * normal_m * np.cos(np.radians(lat[0])), np.radians(lat[1:] - lat[0]) * meridional_m]
    )


def _crs_name(georeference: Georeference) -> str | None:
    epsg = georeference.crs.to_epsg()
    return None if epsg is None else f"EPSG:{epsg}"
