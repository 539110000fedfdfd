"""Harbors: a quay with finger piers."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin
from typing import ClassVar

from sarbench.simulate.canvas import Canvas
from sarbench.simulate.geometry import Extent, Sensor

QUAY_DB = 6.0
PIER_DB = 4.0
CRANE_DB = 13.0
"""sigma0 in dB of the quay, the piers, and the cranes at the pier heads."""


@dataclass(frozen=True, slots=True)
class Harbor:
    """A quay of ``length`` meters centered on (x, y) at ``angle`` radians, with ``piers`` fingers of ``depth`` meters.

    The piers are on the left-hand side of the quay (from +x towards +y).
    """

    category: ClassVar[str] = "harbor"

    x: float
    y: float
    length: float
    depth: float
    angle: float
    piers: int = 3

    def _to_ground(self, along: float, out: float) -> tuple[float, float]:
        c, s = cos(self.angle), sin(self.angle)
        return self.x + along * c - out * s, self.y + along * s + out * c

    @property
    def thickness(self) -> float:
        """Width of quay and piers in meters."""
        return self.length / (3 * self.piers)

    def box_extent(self, sensor: Sensor) -> Extent:
        """Return the extent of quay and piers."""
        half, thick = self.length / 2, self.thickness / 2
        corners = [self._to_ground(along, out) for along in (-half, half) for out in (0.0, self.depth)]
        return Extent.from_points(corners).expanded(thick)

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the box and the sidelobes of the cranes."""
        return self.box_extent(sensor).expanded(10 * sensor.pixel_spacing_m)

    def draw(self, canvas: Canvas) -> None:
        """Draw the quay, and each pier with a crane at its head."""
        half, thick = self.length / 2, self.thickness
        canvas.add_line(self._to_ground(-half, 0), self._to_ground(half, 0), thick, QUAY_DB)
        for index in range(self.piers):
            along = -half + self.length * index / max(self.piers - 1, 1)
            canvas.add_line(self._to_ground(along, 0), self._to_ground(along, self.depth), thick, PIER_DB)
            canvas.add_point(*self._to_ground(along, self.depth), CRANE_DB)
