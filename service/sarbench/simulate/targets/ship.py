"""Ships: a bright hull with brighter superstructure, and a wake if under way."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin, tan
from typing import ClassVar

import numpy as np

from sarbench.simulate.canvas import SIDELOBES, Canvas
from sarbench.simulate.geometry import Extent, Sensor

HULL = 6.0
"""sigma0 of the deck in dB."""
KELVIN = tan(radians(19.47))
"""Half-width of a Kelvin wake over the distance behind the ship."""
WAKE_LENGTH = 5.0
"""Ship lengths over which the wake is seen."""


@dataclass(frozen=True, slots=True)
class Ship:
    """A ship centred on (x, y), ``length`` by ``beam`` metres, bow at ``heading`` (radians from +x towards +y).

    ``deck`` holds its strongest scatterers: share of the length ahead of the centre and sigma0 in dB.
    """

    category: ClassVar[str] = "ship"

    x: float
    y: float
    length: float
    beam: float
    heading: float
    deck: tuple[tuple[float, float], ...] = ((-0.3, 16.0),)
    under_way: bool = False

    def outline(self, sensor: Sensor) -> Extent:
        """The hull's bounding box."""
        return Extent.around(self.x, self.y, self.length, self.beam, self.heading)

    def reach(self, sensor: Sensor) -> Extent:
        """Hull and sidelobes, and the wake's triangle behind."""
        near = self.outline(sensor).grown(SIDELOBES * sensor.spacing)
        if not self.under_way:
            return near
        wake = self._wake()
        return Extent.spanning((near[:2], near[2:], wake[:2], wake[2:]))

    def _wake(self) -> Extent:
        far = WAKE_LENGTH * self.length
        end = self.x - far * cos(self.heading), self.y - far * sin(self.heading)
        return Extent.spanning(((self.x, self.y), end)).grown(far * KELVIN + self.beam)

    def draw(self, canvas: Canvas) -> None:
        """The wake, then the hull over it, then its bright points."""
        if self.under_way:
            self._draw_wake(canvas)
        c, s = cos(self.heading), sin(self.heading)
        patch = canvas.patch(self.outline(canvas.sensor).grown(canvas.sensor.spacing), (self.x, self.y))
        if patch is not None:
            ahead, abeam = patch.x * c + patch.y * s, patch.y * c - patch.x * s
            bow = np.clip((self.length / 2 - ahead) / (0.3 * self.length), 0, 1)
            outside = np.maximum(np.abs(abeam) - bow * np.float32(self.beam / 2), np.abs(ahead) - self.length / 2)
            canvas.shine(patch, canvas.coverage(outside), HULL)
        for place, decibel in self.deck:
            canvas.point(self.x + place * self.length * c, self.y + place * self.length * s, decibel)

    def _draw_wake(self, canvas: Canvas) -> None:
        """A dark turbulent core and two bright Kelvin arms that fade astern."""
        if (patch := canvas.patch(self._wake(), (self.x, self.y))) is None:
            return
        c, s = np.float32(cos(self.heading)), np.float32(sin(self.heading))
        astern = -(patch.x * c + patch.y * s) - np.float32(self.length / 2)
        abeam = np.abs(patch.y * c - patch.x * s)
        fade = np.clip(1 - astern / np.float32((WAKE_LENGTH - 0.5) * self.length), 0, 1) * (astern > 0)
        spacing = canvas.sensor.spacing
        core = canvas.coverage(abeam - np.float32(max(0.5 * self.beam, spacing)))
        arm_half = np.float32(max(0.18 * self.beam, 0.8 * spacing))
        arms = canvas.coverage(np.abs(abeam - KELVIN * astern - np.float32(self.beam / 2)) - arm_half)
        patch.clutter[...] *= (1 - np.float32(0.8) * fade * core) * (1 + np.float32(3) * fade * arms)
