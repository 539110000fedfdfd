"""Harbours: a quay with finger piers that stand out into the water."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin
from typing import ClassVar

from sarbench.simulate.canvas import Canvas
from sarbench.simulate.geometry import Extent, Sensor

QUAY = 6.0
PIER = 4.0
CRANE = 13.0
"""sigma0 in dB of the quay's edge, of the piers, and of the cranes at their heads."""


@dataclass(frozen=True, slots=True)
class Harbor:
    """A quay ``length`` metres long, centred on (x, y) and running at ``angle``, with ``piers`` fingers of ``depth``
    metres to its left-hand side (from +x towards +y)."""

    category: ClassVar[str] = "harbor"

    x: float
    y: float
    length: float
    depth: float
    angle: float
    piers: int = 3

    def _at(self, along: float, out: float) -> tuple[float, float]:
        c, s = cos(self.angle), sin(self.angle)
        return self.x + along * c - out * s, self.y + along * s + out * c

    @property
    def thickness(self) -> float:
        """Width of quay and piers in metres."""
        return self.length / (3 * self.piers)

    def outline(self, sensor: Sensor) -> Extent:
        """The box around quay and piers."""
        half, thick = self.length / 2, self.thickness / 2
        corners = [self._at(along, out) for along in (-half, half) for out in (0.0, self.depth)]
        return Extent.spanning(corners).grown(thick)

    def reach(self, sensor: Sensor) -> Extent:
        """The outline and the cranes' sidelobes."""
        return self.outline(sensor).grown(10 * sensor.spacing)

    def draw(self, canvas: Canvas) -> None:
        """The quay, then each pier with a crane at its head."""
        half, thick = self.length / 2, self.thickness
        canvas.bar(self._at(-half, 0), self._at(half, 0), thick, QUAY)
        for number in range(self.piers):
            along = -half + self.length * number / max(self.piers - 1, 1)
            canvas.bar(self._at(along, 0), self._at(along, self.depth), thick, PIER)
            canvas.point(*self._at(along, self.depth), CRANE)
