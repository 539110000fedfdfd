"""A scene: ground, targets and a radar, rendered through any window without ever holding the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log

import numpy as np
from numpy.typing import NDArray

from sarbench.simulate.canvas import Array, Canvas, Drawn
from sarbench.simulate.geometry import Sensor
from sarbench.simulate.landcover import BACKSCATTER, LandCover, Polarisation
from sarbench.simulate.speckle import Lattice, detect, texture
from sarbench.simulate.targets import Target
from sarlens.request import Window

BREEZE, DRIFT, TEXTURE, GAMMA, NORMAL, REAL, IMAGINARY = range(7)
CHANNEL: dict[Polarisation, int] = {"VV": 0, "VH": 100}
"""Numbers that tell the lattice's fields apart; speckle of the two polarisations is independent."""

BREEZE_GRAIN, DRIFT_GRAIN, TEXTURE_GRAIN = 57.0, 171.0, 3.0
"""Widths in pixels of quick and slow changes in level, and of texture."""

_DRIFT_OF_COVER = np.array([BACKSCATTER[cover].drift for cover in LandCover], np.float32) * np.float32(log(10) / 10)
"""Standard deviation of the level of each land cover, in nepers of power."""


@dataclass(frozen=True, eq=False)
class Scene:
    """``rows`` by ``cols`` pixels of ``ground`` with ``targets`` on it, seen by ``sensor``; noise fixed by ``seed``.

    Ground is drawn in order, then targets in order, in metres from the upper left corner.
    """

    seed: int
    rows: int
    cols: int
    sensor: Sensor
    ground: Sequence[Drawn]
    targets: Sequence[Target]

    @property
    def window(self) -> Window:
        """All of it."""
        return Window(0, 0, self.cols, self.rows)

    @cached_property
    def _layers(self) -> tuple[Drawn, ...]:
        return (*self.ground, *self.targets)

    @cached_property
    def _reaches(self) -> NDArray[np.float64]:
        """Left, top, right and bottom of what each layer touches; shape (4, layers)."""
        return np.array([layer.reach(self.sensor) for layer in self._layers]).T

    def drawn(self, window: Window, polarisation: Polarisation = "VV") -> Canvas:
        """Mean backscatter and land cover of ``window``, before speckle."""
        canvas = Canvas(window, self.sensor, polarisation)
        left, top, right, bottom = canvas.extent
        reach = self._reaches
        meets = (reach[0] < right) & (reach[1] < bottom) & (reach[2] > left) & (reach[3] > top)
        for number in np.flatnonzero(meets):
            self._layers[number].draw(canvas)
        lattice = Lattice(self.seed)
        level = 0.6 * lattice.smooth(BREEZE, window, BREEZE_GRAIN) + 0.8 * lattice.smooth(DRIFT, window, DRIFT_GRAIN)
        canvas.clutter *= np.exp(level * _DRIFT_OF_COVER[canvas.cover])
        canvas.clutter *= texture(lattice.smooth(TEXTURE, window, TEXTURE_GRAIN), canvas.roughness)
        canvas.clutter += np.float32(10 ** (self.sensor.noise / 10))
        return canvas

    def speckled(self, canvas: Canvas) -> Array:
        """Multilooked linear sigma0 of what is drawn, shape (rows, cols)."""
        lattice, channel, looks = Lattice(self.seed), CHANNEL[canvas.polarisation], self.sensor.looks
        gamma = lattice.gamma(channel + GAMMA, canvas.window, looks - 0.5)
        normal = lattice.normal(channel + NORMAL, canvas.window)
        return detect(canvas.clutter, canvas.coherent, looks, gamma, normal)

    def intensity(self, window: Window, polarisation: Polarisation = "VV") -> Array:
        """Linear sigma0 of ``window``, float32, shape (rows, cols): the same wherever windows overlap."""
        return self.speckled(self.drawn(window, polarisation))

    def amplitude(self, window: Window, polarisation: Polarisation = "VV") -> NDArray[np.complex64]:
        """Single-look complex amplitude of ``window``, complex64: |amplitude|² is sigma0 of one look."""
        canvas, lattice, channel = self.drawn(window, polarisation), Lattice(self.seed), CHANNEL[polarisation]
        noise = lattice.normal(channel + REAL, window) + 1j * lattice.normal(channel + IMAGINARY, window)
        return np.asarray(np.sqrt(canvas.clutter / 2) * noise + np.sqrt(canvas.coherent), np.complex64)
