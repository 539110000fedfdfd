"""Backscatter of land covers at C band."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Polarization = Literal["VV", "VH"]

REFERENCE_INCIDENCE_DEG = 35.0
"""Incidence angle of the sigma0 values in ``BACKSCATTER``."""


class LandCover(IntEnum):
    """Land cover class. The value is the label in a canvas."""

    WATER = 0
    FOREST = 1
    CROP = 2
    GRASS = 3
    BARE = 4
    BUILT = 5
    ASPHALT = 6


@dataclass(frozen=True, slots=True)
class Backscatter:
    """Backscatter statistics of one land cover.

    ``vv_db`` and ``vh_db`` are sigma0 at ``REFERENCE_INCIDENCE_DEG``. ``texture_order`` is the shape parameter of the
    K distribution's gamma texture: smaller is spikier, infinity is pure speckle. ``drift_db`` is the standard deviation
    of slow variations from wind, moisture, or biomass.
    """

    vv_db: float
    vh_db: float
    slope_db_per_deg: float
    texture_order: float
    drift_db: float


BACKSCATTER: dict[LandCover, Backscatter] = {
    LandCover.WATER: Backscatter(vv_db=-18.5, vh_db=-27.5, slope_db_per_deg=-0.35, texture_order=40.0, drift_db=0.5),
    LandCover.FOREST: Backscatter(vv_db=-7.5, vh_db=-13.0, slope_db_per_deg=-0.10, texture_order=5.0, drift_db=0.5),
    LandCover.CROP: Backscatter(vv_db=-11.5, vh_db=-18.5, slope_db_per_deg=-0.15, texture_order=60.0, drift_db=0.4),
    LandCover.GRASS: Backscatter(vv_db=-13.0, vh_db=-20.0, slope_db_per_deg=-0.15, texture_order=30.0, drift_db=0.5),
    LandCover.BARE: Backscatter(vv_db=-14.5, vh_db=-23.5, slope_db_per_deg=-0.20, texture_order=40.0, drift_db=0.6),
    LandCover.BUILT: Backscatter(vv_db=-9.0, vh_db=-16.0, slope_db_per_deg=-0.05, texture_order=3.0, drift_db=0.7),
    LandCover.ASPHALT: Backscatter(vv_db=-19.5, vh_db=-28.0, slope_db_per_deg=-0.30, texture_order=80.0, drift_db=0.3),
}
"""Mid-range C-band values from Ulaby and Dobson, Handbook of Radar Scattering Statistics for Terrain (1989).
Water follows CMOD for a wind speed of about 5 m/s."""


def mean_sigma0(
    land_cover: LandCover, incidence_deg: NDArray[np.float64], polarization: Polarization = "VV", offset_db: float = 0.0
) -> NDArray[np.float32]:
    """Return mean linear sigma0 at ``incidence_deg`` (any shape), with ``offset_db`` added to the table's value."""
    entry = BACKSCATTER[land_cover]
    level_db = entry.vv_db if polarization == "VV" else entry.vh_db
    sigma0_db = level_db + offset_db + entry.slope_db_per_deg * (incidence_deg - REFERENCE_INCIDENCE_DEG)
    return (10.0 ** (sigma0_db / 10.0)).astype(np.float32)
