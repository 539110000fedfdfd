"""Cars at decimeter spacing: a bright near side, a fainter body, and a short shadow."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin
from typing import ClassVar

import numpy as np

from sarbench.simulate.canvas import Array, Canvas
from sarbench.simulate.geometry import Extent, Sensor

BODY_DB = 2.0
NEAR_SIDE_DB = 11.0
"""sigma0 in dB of the body, and of the double bounce at the near side."""
LENGTH_M, WIDTH_M, HEIGHT_M = 4.6, 1.9, 1.5
"""Dimensions of a passenger car in meters."""


@dataclass(frozen=True, slots=True)
class Car:
    """A car at (x, y) facing ``heading`` radians. ``scale`` is 1 for a passenger car and 1.3 for a van."""

    category: ClassVar[str] = "car"

    x: float
    y: float
    heading: float
    scale: float = 1.0

    def box_extent(self, sensor: Sensor) -> Extent:
        """Return the bounding box of the body."""
        return Extent.around_rectangle(self.x, self.y, self.scale * LENGTH_M, self.scale * WIDTH_M, self.heading)

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the extent of body and shadow."""
        return self.box_extent(sensor).expanded(
            HEIGHT_M * self.scale * sensor.shadow_ratio + 2 * sensor.pixel_spacing_m
        )

    def draw(self, canvas: Canvas) -> None:
        """Draw the shadow, the body, and the bright near side."""
        sensor = canvas.sensor
        if (view := canvas.view(self.draw_extent(sensor), (self.x, self.y))) is None:
            return
        c, s = np.float32(cos(self.heading)), np.float32(sin(self.heading))
        half_length, half_width = np.float32(self.scale * LENGTH_M / 2), np.float32(self.scale * WIDTH_M / 2)

        def signed_distance(shift: float) -> Array:
            x = view.x - np.float32(shift * sensor.range_sign)
            return np.maximum(np.abs(x * c + view.y * s) - half_length, np.abs(view.y * c - x * s) - half_width)

        shadow_length = HEIGHT_M * self.scale * sensor.shadow_ratio
        shadow = np.maximum(
            canvas.pixel_coverage(signed_distance(shadow_length)),
            canvas.pixel_coverage(signed_distance(shadow_length / 2)),
        )
        canvas.add_shadow(view, np.float32(0.9) * shadow)
        body = canvas.pixel_coverage(signed_distance(0.0))
        canvas.add_scatterers(view, body, BODY_DB)
        canvas.add_scatterers(view, body * (1 - canvas.pixel_coverage(signed_distance(0.4 * self.scale))), NEAR_SIDE_DB)
