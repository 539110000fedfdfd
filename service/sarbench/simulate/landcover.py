"""How much each land cover scatters back, at C band."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Polarisation = Literal["VV", "VH"]

REFERENCE_INCIDENCE = 35.0
"""Degrees from the vertical at which the table below holds."""


class LandCover(IntEnum):
    """What the ground is made of; the value is the label in a scene's cover map."""

    WATER = 0
    FOREST = 1
    CROP = 2
    GRASS = 3
    BARE = 4
    BUILT = 5
    ASPHALT = 6


@dataclass(frozen=True, slots=True)
class Backscatter:
    """The statistics of one land cover.

    ``vv`` and ``vh`` are sigma0 in dB at ``REFERENCE_INCIDENCE``; ``slope`` is its change in dB per degree.
    ``order`` is the shape of the K distribution's gamma texture: the smaller, the spikier; infinity is pure speckle.
    ``drift`` is the standard deviation in dB of slow changes such as wind, moisture and biomass.
    """

    vv: float
    vh: float
    slope: float
    order: float
    drift: float


BACKSCATTER: dict[LandCover, Backscatter] = {
    LandCover.WATER: Backscatter(vv=-18.5, vh=-27.5, slope=-0.35, order=40.0, drift=0.5),
    LandCover.FOREST: Backscatter(vv=-7.5, vh=-13.0, slope=-0.10, order=5.0, drift=0.5),
    LandCover.CROP: Backscatter(vv=-11.5, vh=-18.5, slope=-0.15, order=60.0, drift=0.4),
    LandCover.GRASS: Backscatter(vv=-13.0, vh=-20.0, slope=-0.15, order=30.0, drift=0.5),
    LandCover.BARE: Backscatter(vv=-14.5, vh=-23.5, slope=-0.20, order=40.0, drift=0.6),
    LandCover.BUILT: Backscatter(vv=-9.0, vh=-16.0, slope=-0.05, order=3.0, drift=0.7),
    LandCover.ASPHALT: Backscatter(vv=-19.5, vh=-28.0, slope=-0.30, order=80.0, drift=0.3),
}
"""Mid-range values of the C-band statistics in Ulaby and Dobson, Handbook of Radar Scattering Statistics for
Terrain (1989), with water as CMOD gives it for a wind of some 5 m/s."""


def sigma0(
    cover: LandCover, incidence: NDArray[np.float64], polarisation: Polarisation = "VV", offset: float = 0.0
) -> NDArray[np.float32]:
    """Mean linear sigma0 at ``incidence`` in degrees (any shape), ``offset`` dB over the table's value."""
    entry = BACKSCATTER[cover]
    level = entry.vv if polarisation == "VV" else entry.vh
    decibel = level + offset + entry.slope * (incidence - REFERENCE_INCIDENCE)
    return (10.0 ** (decibel / 10.0)).astype(np.float32)
