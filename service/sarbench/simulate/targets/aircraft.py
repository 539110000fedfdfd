"""Parked aircraft: fuselage, swept wings, and tail, with bright engines, nose, and fin."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin
from typing import ClassVar

from sarbench.simulate.canvas import Canvas
from sarbench.simulate.geometry import Extent, Sensor

FUSELAGE_DB = 2.0
WING_DB = 0.0
CORNER_DB = 14.0
"""sigma0 in dB of the fuselage, the wings, and the corner reflectors."""

WING_ROOT, WING_TIP, TAIL_ROOT, TAIL_TIP = 0.12, -0.16, -0.38, -0.49
BRIGHT_POINTS = ((0.02, 0.17), (0.02, -0.17), (-0.46, 0.0), (0.42, 0.0))
"""Positions as fractions of the length, ahead of the center and to the right of the axis."""


@dataclass(frozen=True, slots=True)
class Aircraft:
    """An aircraft centered on (x, y), ``length`` by ``span`` meters, nose at ``heading`` radians."""

    category: ClassVar[str] = "aircraft"

    x: float
    y: float
    length: float
    span: float
    heading: float

    def _to_ground(self, ahead: float, right: float) -> tuple[float, float]:
        """Convert meters ahead of the center and right of the axis to ground coordinates."""
        c, s = cos(self.heading), sin(self.heading)
        return self.x + ahead * c - right * s, self.y + ahead * s + right * c

    def box_extent(self, sensor: Sensor) -> Extent:
        """Return the extent of nose, tail, and wing tips."""
        wing, tail = WING_TIP * self.length, TAIL_TIP * self.length
        corners = [self._to_ground(self.length / 2, 0), self._to_ground(-self.length / 2, 0)]
        corners += [self._to_ground(wing, side * self.span / 2) for side in (1, -1)]
        corners += [self._to_ground(tail, side * self.span / 5) for side in (1, -1)]
        return Extent.from_points(corners).expanded(0.03 * self.length)

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the box and the sidelobes of the bright points."""
        return self.box_extent(sensor).expanded(10 * sensor.pixel_spacing_m)

    def draw(self, canvas: Canvas) -> None:
        """Draw fuselage, wings, and tail as lines, and engines, nose, and fin as points."""
        length = self.length
        canvas.add_line(self._to_ground(0.5 * length, 0), self._to_ground(-0.5 * length, 0), 0.11 * length, FUSELAGE_DB)
        for side in (1, -1):
            canvas.add_line(
                self._to_ground(WING_ROOT * length, 0),
                self._to_ground(WING_TIP * length, side * self.span / 2),
                0.10 * length,
                WING_DB,
            )
            canvas.add_line(
                self._to_ground(TAIL_ROOT * length, 0),
                self._to_ground(TAIL_TIP * length, side * self.span / 5),
                0.06 * length,
                WING_DB,
            )
        for ahead, right in BRIGHT_POINTS:
            canvas.add_point(*self._to_ground(ahead * length, right * length), CORNER_DB)
