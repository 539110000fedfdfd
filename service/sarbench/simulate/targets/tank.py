"""Storage tanks: a bright crescent at the foot, a rim laid over towards the radar, a dark roof and a shadow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sarbench.simulate.canvas import Canvas
from sarbench.simulate.geometry import Extent, Sensor

FOOT = 13.0
RIM = 6.0
ROOF = -14.0
"""sigma0 in dB of the corner between wall and ground, of the roof's edge, and of the roof."""


@dataclass(frozen=True, slots=True)
class Tank:
    """An upright cylinder at (x, y), ``radius`` and ``height`` in metres."""

    category: ClassVar[str] = "tank"

    x: float
    y: float
    radius: float
    height: float

    def _lean(self, sensor: Sensor) -> float:
        """Metres along x from the foot to the image of the roof."""
        return -sensor.away * self.height * sensor.layover

    def outline(self, sensor: Sensor) -> Extent:
        """Foot and laid-over roof."""
        lean = self._lean(sensor)
        return Extent(self.x + min(lean, 0), self.y, self.x + max(lean, 0), self.y).grown(self.radius)

    def reach(self, sensor: Sensor) -> Extent:
        """Outline and shadow."""
        return self.outline(sensor).grown(self.height * sensor.shadow + 2 * sensor.spacing)

    def draw(self, canvas: Canvas) -> None:
        """Shadow first, then roof, rim and foot."""
        sensor = canvas.sensor
        if (patch := canvas.patch(self.reach(sensor), (self.x, self.y))) is None:
            return
        behind = patch.x * sensor.away
        cast = np.float32(self.height * sensor.shadow)
        nearest = np.clip(behind, 0, cast)
        canvas.shade(patch, np.float32(0.95) * canvas.coverage(np.hypot(behind - nearest, patch.y) - self.radius))
        top = np.hypot(patch.x - np.float32(self._lean(sensor)), patch.y) - np.float32(self.radius)
        roof = canvas.coverage(top)
        canvas.shade(patch, roof)
        patch.clutter[...] += roof * np.float32(10 ** (ROOF / 10))
        line = np.float32(max(0.8 * sensor.spacing, 0.05 * self.radius))
        canvas.shine(patch, canvas.coverage(np.abs(top) - line), RIM)
        foot = np.hypot(patch.x, patch.y)
        facing = np.clip(-behind / np.maximum(foot, np.float32(1e-3)), 0, 1) ** 2
        canvas.shine(patch, canvas.coverage(np.abs(foot - np.float32(self.radius)) - 1.3 * line) * facing, FOOT)
