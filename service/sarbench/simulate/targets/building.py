"""Buildings: the facade laid over towards the radar, the bright corner at its foot, the roof and the shadow."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin
from typing import ClassVar

import numpy as np

from sarbench.simulate.canvas import Array, Canvas
from sarbench.simulate.geometry import Extent, Sensor

FACADE = -2.0
ROOF = -7.0
CORNER = 12.0
"""sigma0 in dB of walls, of roofs, and of the double bounce where a wall that faces the radar meets the ground."""


@dataclass(frozen=True, slots=True)
class Building:
    """A block of ``length`` by ``width`` by ``height`` metres around (x, y), its length at ``angle`` (radians)."""

    category: ClassVar[str] = "building"

    x: float
    y: float
    length: float
    width: float
    height: float
    angle: float = 0.0

    def outline(self, sensor: Sensor) -> Extent:
        """The footprint's bounding box with the facade that is laid over in front of it."""
        foot = Extent.around(self.x, self.y, self.length, self.width, self.angle)
        lean = -sensor.away * self.height * sensor.layover
        return Extent(foot.left + min(lean, 0), foot.top, foot.right + max(lean, 0), foot.bottom)

    def reach(self, sensor: Sensor) -> Extent:
        """The outline and the shadow."""
        return self.outline(sensor).grown(self.height * sensor.shadow + 2 * sensor.spacing)

    def _walls(self, y: Array) -> tuple[Array, Array]:
        """Where each row of constant ``y`` enters and leaves the footprint along x; enters after it leaves outside."""
        c, s = cos(self.angle), sin(self.angle)
        low, high = np.full_like(y, -np.inf), np.full_like(y, np.inf)
        for cx, cy, half in ((c, s, self.length / 2), (-s, c, self.width / 2)):
            steep = np.sign(cx) * max(abs(cx), 1e-4) if cx else 1e-4
            a, b = (-half - y * cy) / steep, (half - y * cy) / steep
            low, high = np.maximum(low, np.minimum(a, b)), np.minimum(high, np.maximum(a, b))
        return low, high

    def draw(self, canvas: Canvas) -> None:
        """Shadow behind, then roof, facade in front and the corner line between them."""
        sensor = canvas.sensor
        if (patch := canvas.patch(self.reach(sensor), (self.x, self.y))) is None:
            return
        low, high = self._walls(patch.y)
        near, far = (low, high) if sensor.away == 1 else (-high, -low)
        behind = patch.x * np.float32(sensor.away)
        inside_rows = (near < far).astype(np.float32)

        def between(start: Array, end: Array) -> Array:
            return np.asarray(inside_rows * np.minimum(canvas.coverage(start - behind), canvas.coverage(behind - end)))

        lean, cast = np.float32(self.height * sensor.layover), np.float32(self.height * sensor.shadow)
        canvas.shade(patch, between(near, far + cast))
        patch.clutter[...] += between(near, far) * np.float32(canvas.gain * 10 ** (ROOF / 10))
        patch.clutter[...] += between(near - lean, near) * np.float32(canvas.gain * 10 ** (FACADE / 10))
        step = np.float32(sensor.spacing)
        facing = max(abs(cos(self.angle)), abs(sin(self.angle))) ** 8
        canvas.shine(patch, between(near - step, near + step), CORNER + 10 * float(np.log10(facing)))
