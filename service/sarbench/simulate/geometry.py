"""Ground extents and the imaging geometry of the sensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import cos, sin
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

SLANT_RANGE_M = 850e3
"""Slant range of a spaceborne SAR in meters. It only sets the change of incidence across the scene."""


class Extent(NamedTuple):
    """A rectangle on the ground in meters; x increases with columns and y with rows."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around_rectangle(cls, x: float, y: float, length: float, width: float, angle: float) -> Extent:
        """Return the extent of a rectangle around (x, y), ``length`` by ``width``, its length at ``angle`` radians."""
        c, s = abs(cos(angle)), abs(sin(angle))
        half_x, half_y = (length * c + width * s) / 2, (length * s + width * c) / 2
        return cls(x - half_x, y - half_y, x + half_x, y + half_y)

    @classmethod
    def from_points(cls, points: Iterable[tuple[float, float]]) -> Extent:
        """Return the extent of ``points``."""
        xs, ys = zip(*points, strict=True)
        return cls(min(xs), min(ys), max(xs), max(ys))

    def expanded(self, margin: float) -> Extent:
        """Return the extent expanded by ``margin`` meters on every side."""
        return Extent(self.left - margin, self.top - margin, self.right + margin, self.bottom + margin)

    def intersects(self, other: Extent) -> bool:
        """Whether the two extents share any area."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


@dataclass(frozen=True, slots=True)
class Sensor:
    """A SAR sensor that looks along the columns of a scene.

    ``looks`` is the equivalent number of looks, ``incidence_deg`` the incidence angle at the left edge, and ``nesz_db``
    the noise-equivalent sigma0. ``range_sign`` is 1 if range increases with columns and -1 otherwise.
    """

    pixel_spacing_m: float
    looks: float = 4.0
    incidence_deg: float = 36.0
    range_sign: Literal[1, -1] = 1
    nesz_db: float = -27.0

    def incidence_deg_at(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the incidence angle in degrees at ground position ``x`` in meters, clipped to 18 to 55 degrees."""
        slope_deg_per_m = np.degrees(np.cos(np.radians(self.incidence_deg)) / SLANT_RANGE_M)
        return np.asarray(np.clip(self.incidence_deg + self.range_sign * slope_deg_per_m * x, 18.0, 55.0))

    @property
    def layover_ratio(self) -> float:
        """Layover displacement towards the sensor per meter of height: cot θ."""
        return float(1 / np.tan(np.radians(self.incidence_deg)))

    @property
    def shadow_ratio(self) -> float:
        """Shadow length per meter of height: tan θ."""
        return float(np.tan(np.radians(self.incidence_deg)))
