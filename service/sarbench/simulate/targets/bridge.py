"""Bridges: a bright deck over dark water, and its double-bounce echo."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import ClassVar

from sarbench.simulate.canvas import Canvas
from sarbench.simulate.geometry import Extent, Sensor

DECK_DB = 3.0
RAIL_DB = 9.0
ECHO_DB = -2.0
"""sigma0 in dB of the deck, its rails, and the double bounce from the water."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """A straight bridge between two banks, ``width`` and ``height`` in meters."""

    category: ClassVar[str] = "bridge"

    start: tuple[float, float]
    end: tuple[float, float]
    width: float
    height: float = 12.0

    def box_extent(self, sensor: Sensor) -> Extent:
        """Return the bounding box of the deck."""
        return Extent.from_points((self.start, self.end)).expanded(self.width / 2)

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the extent of deck and echo."""
        return self.box_extent(sensor).expanded(self._echo_distance(sensor) + 2 * sensor.pixel_spacing_m)

    def _echo_distance(self, sensor: Sensor) -> float:
        """Return the distance in meters from the deck to its echo: the layover of the deck, at least its width."""
        return max(self.height * sensor.layover_ratio, self.width)

    def draw(self, canvas: Canvas) -> None:
        """Draw the echo, the deck, and a bright rail on either side."""
        (x0, y0), (x1, y1) = self.start, self.end
        length = max(hypot(x1 - x0, y1 - y0), 1e-6)
        across_x, across_y = -(y1 - y0) / length * self.width / 2, (x1 - x0) / length * self.width / 2
        shift = canvas.sensor.range_sign * self._echo_distance(canvas.sensor) * abs(y1 - y0) / length
        canvas.add_line((x0 + shift, y0), (x1 + shift, y1), self.width / 3, ECHO_DB)
        canvas.add_line(self.start, self.end, self.width, DECK_DB)
        rail = max(self.width / 5, canvas.sensor.pixel_spacing_m)
        for side in (1, -1):
            canvas.add_line(
                (x0 + side * across_x, y0 + side * across_y),
                (x1 + side * across_x, y1 + side * across_y),
                rail,
                RAIL_DB,
            )
