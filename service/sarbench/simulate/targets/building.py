"""Buildings: layover of the facade, double bounce at its foot, roof, and shadow."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin
from typing import ClassVar

import numpy as np

from sarbench.simulate.canvas import Array, Canvas
from sarbench.simulate.geometry import Extent, Sensor

FACADE_DB = -2.0
ROOF_DB = -7.0
CORNER_DB = 12.0
"""sigma0 in dB of the facade, the roof, and the double bounce at the foot of the facade."""


@dataclass(frozen=True, slots=True)
class Building:
    """A block of ``length`` by ``width`` by ``height`` meters around (x, y), its length at ``angle`` radians."""

    category: ClassVar[str] = "building"

    x: float
    y: float
    length: float
    width: float
    height: float
    angle: float = 0.0

    def box_extent(self, sensor: Sensor) -> Extent:
        """Return the bounding box of the footprint and the facade's layover."""
        footprint = Extent.around_rectangle(self.x, self.y, self.length, self.width, self.angle)
        layover = -sensor.range_sign * self.height * sensor.layover_ratio
        return Extent(
            footprint.left + min(layover, 0), footprint.top, footprint.right + max(layover, 0), footprint.bottom
        )

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the extent of the box and the shadow."""
        return self.box_extent(sensor).expanded(self.height * sensor.shadow_ratio + 2 * sensor.pixel_spacing_m)

    def _footprint_limits(self, y: Array) -> tuple[Array, Array]:
        """Return the x limits of the footprint for each row of constant ``y``. Outside, low exceeds high."""
        c, s = cos(self.angle), sin(self.angle)
        low, high = np.full_like(y, -np.inf), np.full_like(y, np.inf)
        for cx, cy, half in ((c, s, self.length / 2), (-s, c, self.width / 2)):
            steep = np.sign(cx) * max(abs(cx), 1e-4) if cx else 1e-4
            a, b = (-half - y * cy) / steep, (half - y * cy) / steep
            low, high = np.maximum(low, np.minimum(a, b)), np.minimum(high, np.maximum(a, b))
        return low, high

    def draw(self, canvas: Canvas) -> None:
        """Draw the shadow, the roof, the facade's layover, and the double bounce."""
        sensor = canvas.sensor
        if (view := canvas.view(self.draw_extent(sensor), (self.x, self.y))) is None:
            return
        low, high = self._footprint_limits(view.y)
        near, far = (low, high) if sensor.range_sign == 1 else (-high, -low)
        range_m = view.x * np.float32(sensor.range_sign)
        inside_rows = (near < far).astype(np.float32)

        def between(start: Array, end: Array) -> Array:
            return np.asarray(
                inside_rows * np.minimum(canvas.pixel_coverage(start - range_m), canvas.pixel_coverage(range_m - end))
            )

        layover, shadow = np.float32(self.height * sensor.layover_ratio), np.float32(self.height * sensor.shadow_ratio)
        canvas.add_shadow(view, between(near, far + shadow))
        view.clutter[...] += between(near, far) * np.float32(canvas.target_gain * 10 ** (ROOF_DB / 10))
        view.clutter[...] += between(near - layover, near) * np.float32(canvas.target_gain * 10 ** (FACADE_DB / 10))
        step = np.float32(sensor.pixel_spacing_m)
        facing = max(abs(cos(self.angle)), abs(sin(self.angle))) ** 8
        canvas.add_scatterers(view, between(near - step, near + step), CORNER_DB + 10 * float(np.log10(facing)))
