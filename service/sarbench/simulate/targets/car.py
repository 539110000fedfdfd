"""Cars, seen at decimetre spacing: a bright side facing the radar, a fainter body, a short shadow."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin
from typing import ClassVar

import numpy as np

from sarbench.simulate.canvas import Array, Canvas
from sarbench.simulate.geometry import Extent, Sensor

BODY = 2.0
SIDE = 11.0
"""sigma0 in dB of roof and bonnet, and of the corner between the near side and the ground."""
LENGTH, WIDTH, HEIGHT = 4.6, 1.9, 1.5
"""Metres of an ordinary car."""


@dataclass(frozen=True, slots=True)
class Car:
    """A car at (x, y) that faces ``heading`` (radians); ``scale`` is 1 for a family car, 1.3 for a van."""

    category: ClassVar[str] = "car"

    x: float
    y: float
    heading: float
    scale: float = 1.0

    def outline(self, sensor: Sensor) -> Extent:
        """The body's bounding box."""
        return Extent.around(self.x, self.y, self.scale * LENGTH, self.scale * WIDTH, self.heading)

    def reach(self, sensor: Sensor) -> Extent:
        """Body and shadow."""
        return self.outline(sensor).grown(HEIGHT * self.scale * sensor.shadow + 2 * sensor.spacing)

    def draw(self, canvas: Canvas) -> None:
        """The shadow behind, the body, and the bright side towards the radar."""
        sensor = canvas.sensor
        if (patch := canvas.patch(self.reach(sensor), (self.x, self.y))) is None:
            return
        c, s = np.float32(cos(self.heading)), np.float32(sin(self.heading))
        half_length, half_width = np.float32(self.scale * LENGTH / 2), np.float32(self.scale * WIDTH / 2)

        def outside(shift: float) -> Array:
            x = patch.x - np.float32(shift * sensor.away)
            return np.maximum(np.abs(x * c + patch.y * s) - half_length, np.abs(patch.y * c - x * s) - half_width)

        cast = HEIGHT * self.scale * sensor.shadow
        shadow = np.maximum(canvas.coverage(outside(cast)), canvas.coverage(outside(cast / 2)))
        canvas.shade(patch, np.float32(0.9) * shadow)
        body = canvas.coverage(outside(0.0))
        canvas.shine(patch, body, BODY)
        canvas.shine(patch, body * (1 - canvas.coverage(outside(0.4 * self.scale))), SIDE)
