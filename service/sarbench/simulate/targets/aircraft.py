"""Parked aircraft: fuselage, swept wings and tail, with bright engines, nose and tail."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin
from typing import ClassVar

from sarbench.simulate.canvas import Canvas
from sarbench.simulate.geometry import Extent, Sensor

SKIN = 2.0
WING = 0.0
ENGINE = 14.0
"""sigma0 in dB of the fuselage, of the wings, and of the points where metal meets at right angles."""

WING_ROOT, WING_TIP, TAIL_ROOT, TAIL_TIP = 0.12, -0.16, -0.38, -0.49
ENGINES = ((0.02, 0.17), (0.02, -0.17), (-0.46, 0.0), (0.42, 0.0))
"""Places in lengths ahead of the centre, and in lengths to the right of the axis."""


@dataclass(frozen=True, slots=True)
class Aircraft:
    """An airliner centred on (x, y), ``length`` metres long and ``span`` metres wide, nose at ``heading`` (radians)."""

    category: ClassVar[str] = "aircraft"

    x: float
    y: float
    length: float
    span: float
    heading: float

    def _at(self, ahead: float, right: float) -> tuple[float, float]:
        """A place in metres ahead of the centre and to the right of the axis, on the ground."""
        c, s = cos(self.heading), sin(self.heading)
        return self.x + ahead * c - right * s, self.y + ahead * s + right * c

    def outline(self, sensor: Sensor) -> Extent:
        """The box around nose, tail and wing tips."""
        wing, tail = WING_TIP * self.length, TAIL_TIP * self.length
        corners = [self._at(self.length / 2, 0), self._at(-self.length / 2, 0)]
        corners += [self._at(wing, side * self.span / 2) for side in (1, -1)]
        corners += [self._at(tail, side * self.span / 5) for side in (1, -1)]
        return Extent.spanning(corners).grown(0.03 * self.length)

    def reach(self, sensor: Sensor) -> Extent:
        """The outline and the points' sidelobes."""
        return self.outline(sensor).grown(10 * sensor.spacing)

    def draw(self, canvas: Canvas) -> None:
        """Bars for body, wings and tail; points for engines, nose and fin."""
        length = self.length
        canvas.bar(self._at(0.5 * length, 0), self._at(-0.5 * length, 0), 0.11 * length, SKIN)
        for side in (1, -1):
            canvas.bar(
                self._at(WING_ROOT * length, 0),
                self._at(WING_TIP * length, side * self.span / 2),
                0.10 * length,
                WING,
            )
            canvas.bar(
                self._at(TAIL_ROOT * length, 0), self._at(TAIL_TIP * length, side * self.span / 5), 0.06 * length, WING
            )
        for ahead, right in ENGINES:
            canvas.point(*self._at(ahead * length, right * length), ENGINE)
