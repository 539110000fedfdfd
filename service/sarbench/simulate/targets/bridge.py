"""Bridges: a bright deck over dark water, and its echoes by way of the water."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import ClassVar

from sarbench.simulate.canvas import Canvas
from sarbench.simulate.geometry import Extent, Sensor

DECK = 3.0
RAIL = 9.0
ECHO = -2.0
"""sigma0 in dB of the roadway, of its rails, and of the echo that bounces off the water."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """A straight bridge from bank to bank, ``width`` and ``height`` in metres."""

    category: ClassVar[str] = "bridge"

    start: tuple[float, float]
    end: tuple[float, float]
    width: float
    height: float = 12.0

    def outline(self, sensor: Sensor) -> Extent:
        """The deck's bounding box."""
        return Extent.spanning((self.start, self.end)).grown(self.width / 2)

    def reach(self, sensor: Sensor) -> Extent:
        """Deck and echo."""
        return self.outline(sensor).grown(self._delay(sensor) + 2 * sensor.spacing)

    def _delay(self, sensor: Sensor) -> float:
        """Metres behind the deck at which the double bounce appears: the deck's layover, at least its width."""
        return max(self.height * sensor.layover, self.width)

    def draw(self, canvas: Canvas) -> None:
        """The echo behind, the deck, and a bright rail on either side of it."""
        (x0, y0), (x1, y1) = self.start, self.end
        length = max(hypot(x1 - x0, y1 - y0), 1e-6)
        across_x, across_y = -(y1 - y0) / length * self.width / 2, (x1 - x0) / length * self.width / 2
        shift = canvas.sensor.away * self._delay(canvas.sensor) * abs(y1 - y0) / length
        canvas.bar((x0 + shift, y0), (x1 + shift, y1), self.width / 3, ECHO)
        canvas.bar(self.start, self.end, self.width, DECK)
        rail = max(self.width / 5, canvas.sensor.spacing)
        for side in (1, -1):
            canvas.bar(
                (x0 + side * across_x, y0 + side * across_y), (x1 + side * across_x, y1 + side * across_y), rail, RAIL
            )
