"""The direction of rows and columns on the ground, and the turn that brings north up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import NotGeoreferenced
from sarlens.imagery.core.turn import Turn
from sarlens.imagery.geo.georeference import Georeference

_EQUATORIAL_RADIUS_M, _ECCENTRICITY_SQUARED = 6_378_137.0, 0.0066943799901413165
"""Ellipsoid of WGS 84."""


def ground_steps_m(georeference: Georeference) -> NDArray[np.float64]:
    """Return the steps to the next column and to the next row at the center, of shape (step, east and north), in m.

    Raises:
        NotGeoreferenced: the center has no position.
    """
    col, row = georeference.width / 2, georeference.height / 2
    lon, lat = georeference.pixel_to_lonlat(np.array([col, col + 1, col]), np.array([row, row, row + 1]))
    east = (lon[1:] - lon[0] + 180) % 360 - 180
    root = np.sqrt(1 - _ECCENTRICITY_SQUARED * np.sin(np.radians(lat[0])) ** 2)
    normal_m = _EQUATORIAL_RADIUS_M / root
    meridional_m = _EQUATORIAL_RADIUS_M * (1 - _ECCENTRICITY_SQUARED) / root**3
    return np.column_stack(
        [np.radians(east) * normal_m * np.cos(np.radians(lat[0])), np.radians(lat[1:] - lat[0]) * meridional_m]
    )


def turn_to_north(georeference: Georeference) -> Turn | None:
    """Return the turn after which rows go south and columns go east, within 45 degrees; None without a position."""
    try:
        (col_east, col_north), (row_east, row_north) = ground_steps_m(georeference).tolist()
    except NotGeoreferenced:
        return None
    if not np.isfinite([col_east, col_north, row_east, row_north]).all():
        return None
    if abs(col_east) >= abs(col_north):
        return Turn(False, row_north > 0, col_east < 0)
    return Turn(True, col_north > 0, row_east < 0)
