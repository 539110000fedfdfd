"""Storage tanks: a bright crescent at the foot, layover of the rim, a dark roof, and a shadow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sarbench.simulate.canvas import Canvas
from sarbench.simulate.geometry import Extent, Sensor

FOOT_DB = 13.0
RIM_DB = 6.0
ROOF_DB = -14.0
"""sigma0 in dB of the double bounce at the foot, the rim of the roof, and the roof."""


@dataclass(frozen=True, slots=True)
class Tank:
    """An upright cylinder at (x, y), ``radius`` and ``height`` in meters."""

    category: ClassVar[str] = "tank"

    x: float
    y: float
    radius: float
    height: float

    def _layover_shift(self, sensor: Sensor) -> float:
        """Return the displacement in meters along x from the foot to the image of the roof."""
        return -sensor.range_sign * self.height * sensor.layover_ratio

    def box_extent(self, sensor: Sensor) -> Extent:
        """Return the extent of the foot and the roof's layover."""
        layover = self._layover_shift(sensor)
        return Extent(self.x + min(layover, 0), self.y, self.x + max(layover, 0), self.y).expanded(self.radius)

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the extent of the box and the shadow."""
        return self.box_extent(sensor).expanded(self.height * sensor.shadow_ratio + 2 * sensor.pixel_spacing_m)

    def draw(self, canvas: Canvas) -> None:
        """Draw the shadow, the roof, the rim, and the foot."""
        sensor = canvas.sensor
        if (view := canvas.view(self.draw_extent(sensor), (self.x, self.y))) is None:
            return
        range_m = view.x * sensor.range_sign
        shadow_length = np.float32(self.height * sensor.shadow_ratio)
        nearest = np.clip(range_m, 0, shadow_length)
        canvas.add_shadow(
            view, np.float32(0.95) * canvas.pixel_coverage(np.hypot(range_m - nearest, view.y) - self.radius)
        )
        top = np.hypot(view.x - np.float32(self._layover_shift(sensor)), view.y) - np.float32(self.radius)
        roof = canvas.pixel_coverage(top)
        canvas.add_shadow(view, roof)
        view.clutter[...] += roof * np.float32(10 ** (ROOF_DB / 10))
        line = np.float32(max(0.8 * sensor.pixel_spacing_m, 0.05 * self.radius))
        canvas.add_scatterers(view, canvas.pixel_coverage(np.abs(top) - line), RIM_DB)
        foot = np.hypot(view.x, view.y)
        facing = np.clip(-range_m / np.maximum(foot, np.float32(1e-3)), 0, 1) ** 2
        canvas.add_scatterers(
            view, canvas.pixel_coverage(np.abs(foot - np.float32(self.radius)) - 1.3 * line) * facing, FOOT_DB
        )
