"""Where things are on the ground, and how the radar looks at them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import cos, sin
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

SLANT_RANGE = 850e3
"""Metres from sensor to ground of a spaceborne radar; it only sets how fast the incidence angle changes."""


class Extent(NamedTuple):
    """A rectangle on the ground in metres; x grows with columns and y with rows."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, x: float, y: float, length: float, width: float, angle: float) -> Extent:
        """What a rectangle of ``length`` by ``width`` around (x, y) fits in, its length at ``angle`` radians."""
        c, s = abs(cos(angle)), abs(sin(angle))
        half_x, half_y = (length * c + width * s) / 2, (length * s + width * c) / 2
        return cls(x - half_x, y - half_y, x + half_x, y + half_y)

    @classmethod
    def spanning(cls, points: Iterable[tuple[float, float]]) -> Extent:
        """What ``points`` fit in."""
        xs, ys = zip(*points, strict=True)
        return cls(min(xs), min(ys), max(xs), max(ys))

    def grown(self, margin: float) -> Extent:
        """The same rectangle with ``margin`` metres more on every side."""
        return Extent(self.left - margin, self.top - margin, self.right + margin, self.bottom + margin)

    def meets(self, other: Extent) -> bool:
        """Whether the two share any ground."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


@dataclass(frozen=True, slots=True)
class Sensor:
    """The radar: pixel ``spacing`` in metres, effective number of ``looks``, ``incidence`` in degrees at the left
    edge of the scene, ``away`` = 1 if the wave travels towards larger columns and -1 if towards smaller ones, and
    ``noise``, the noise-equivalent sigma0 in dB."""

    spacing: float
    looks: float = 4.0
    incidence: float = 36.0
    away: Literal[1, -1] = 1
    noise: float = -27.0

    def incidence_at(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Incidence angle in degrees at ground position ``x`` in metres, within what radars use."""
        tilt = np.degrees(np.cos(np.radians(self.incidence)) / SLANT_RANGE)
        return np.asarray(np.clip(self.incidence + self.away * tilt * x, 18.0, 55.0))

    @property
    def layover(self) -> float:
        """Metres by which a point one metre high moves towards the radar: cot θ."""
        return float(1 / np.tan(np.radians(self.incidence)))

    @property
    def shadow(self) -> float:
        """Metres of shadow behind one metre of height: tan θ."""
        return float(np.tan(np.radians(self.incidence)))
