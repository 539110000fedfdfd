"""Ships: a bright hull with brighter superstructure, and a wake if under way."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin, tan
from typing import ClassVar

import numpy as np

from sarbench.simulate.canvas import SIDELOBE_EXTENT_PX, Canvas
from sarbench.simulate.geometry import Extent, Sensor

HULL_DB = 6.0
"""sigma0 of the deck in dB."""
KELVIN_TANGENT = tan(radians(19.47))
"""Half-width of a Kelvin wake per distance behind the ship: the tangent of 19.47 degrees."""
WAKE_LENGTH = 5.0
"""Length of the visible wake, in ship lengths."""


@dataclass(frozen=True, slots=True)
class Ship:
    """A ship centered on (x, y), ``length`` by ``beam`` meters, bow at ``heading`` radians (from +x towards +y).

    ``deck_scatterers`` holds the strongest scatterers: fraction of the length ahead of the center, and sigma0 in dB.
    """

    category: ClassVar[str] = "ship"

    x: float
    y: float
    length: float
    beam: float
    heading: float
    deck_scatterers: tuple[tuple[float, float], ...] = ((-0.3, 16.0),)
    under_way: bool = False

    def box_extent(self, sensor: Sensor) -> Extent:
        """Return the bounding box of the hull."""
        return Extent.around_rectangle(self.x, self.y, self.length, self.beam, self.heading)

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the extent of hull, sidelobes, and wake."""
        near = self.box_extent(sensor).expanded(SIDELOBE_EXTENT_PX * sensor.pixel_spacing_m)
        if not self.under_way:
            return near
        wake = self._wake_extent()
        return Extent.from_points((near[:2], near[2:], wake[:2], wake[2:]))

    def _wake_extent(self) -> Extent:
        far = WAKE_LENGTH * self.length
        end = self.x - far * cos(self.heading), self.y - far * sin(self.heading)
        return Extent.from_points(((self.x, self.y), end)).expanded(far * KELVIN_TANGENT + self.beam)

    def draw(self, canvas: Canvas) -> None:
        """Draw the wake, the hull, and its bright points."""
        if self.under_way:
            self._draw_wake(canvas)
        c, s = cos(self.heading), sin(self.heading)
        view = canvas.view(self.box_extent(canvas.sensor).expanded(canvas.sensor.pixel_spacing_m), (self.x, self.y))
        if view is not None:
            ahead, abeam = view.x * c + view.y * s, view.y * c - view.x * s
            bow = np.clip((self.length / 2 - ahead) / (0.3 * self.length), 0, 1)
            outside = np.maximum(np.abs(abeam) - bow * np.float32(self.beam / 2), np.abs(ahead) - self.length / 2)
            canvas.add_scatterers(view, canvas.pixel_coverage(outside), HULL_DB)
        for position, sigma0_db in self.deck_scatterers:
            canvas.add_point(self.x + position * self.length * c, self.y + position * self.length * s, sigma0_db)

    def _draw_wake(self, canvas: Canvas) -> None:
        """Draw a dark turbulent core and two bright Kelvin arms that fade astern."""
        if (view := canvas.view(self._wake_extent(), (self.x, self.y))) is None:
            return
        c, s = np.float32(cos(self.heading)), np.float32(sin(self.heading))
        astern = -(view.x * c + view.y * s) - np.float32(self.length / 2)
        abeam = np.abs(view.y * c - view.x * s)
        fade = np.clip(1 - astern / np.float32((WAKE_LENGTH - 0.5) * self.length), 0, 1) * (astern > 0)
        spacing = canvas.sensor.pixel_spacing_m
        core = canvas.pixel_coverage(abeam - np.float32(max(0.5 * self.beam, spacing)))
        arm_half = np.float32(max(0.18 * self.beam, 0.8 * spacing))
        arms = canvas.pixel_coverage(np.abs(abeam - KELVIN_TANGENT * astern - np.float32(self.beam / 2)) - arm_half)
        view.clutter[...] *= (1 - np.float32(0.8) * fade * core) * (1 + np.float32(3) * fade * arms)
