"""The position of a scene on the ground: footprint, bounds and size of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import NotGeoreferenced
from sarlens.imagery.geo.georeference import Georeference
from sarlens.imagery.geo.orientation import ground_steps_m
from sarlens.types.window import Window

Values: TypeAlias = NDArray[np.float64]
Bounds: TypeAlias = tuple[float, float, float, float]
"""West, south, east and north in degrees."""

_MESH_CELLS = 16
"""Cells of a mesh along each side."""
_MESH_DECIMALS = 8
"""Decimals of a degree in a mesh: 1 mm."""


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
    return ScenePosition(
        _crs_name(georeference),
        "gcps" if georeference.affine is None else "affine",
        footprint,
        bounds,
        _pixel_size_m(georeference),
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


def _pixel_size_m(georeference: Georeference) -> tuple[float, float] | None:
    try:
        steps = ground_steps_m(georeference)
    except NotGeoreferenced:
        return None
    size = (float(np.hypot(*steps[0])), float(np.hypot(*steps[1])))
    return size if np.isfinite(size).all() else None


def window_bounds(georeference: Georeference, window: Window | None) -> Bounds | None:
    """West, south, east and north of a window, or of the whole image, in degrees. Blocks.

    The west is greater than the east across the antimeridian. None if a part of the window has no position.
    """
    try:
        return _bounds(georeference.boundary(window or Window(0, 0, georeference.width, georeference.height)))
    except NotGeoreferenced:
        return None


def _bounds(outline: Values) -> Bounds:
    (west, south), (east, north) = outline.min(axis=0), outline.max(axis=0)
    if east - west >= 360:
        return -180.0, float(south), 180.0, float(north)
    return _wrap(float(west)), float(south), _wrap(float(east)), float(north)


def _wrap(longitude: float) -> float:
    return longitude if -180 <= longitude <= 180 else (longitude + 180) % 360 - 180


def _crs_name(georeference: Georeference) -> str | None:
    epsg = georeference.crs.to_epsg()
    return None if epsg is None else f"EPSG:{epsg}"
