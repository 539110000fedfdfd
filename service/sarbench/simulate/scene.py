"""Scenes of any size: land cover, targets, and a sensor, rendered window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log

import numpy as np
from numpy.typing import NDArray

from sarbench.simulate.canvas import Array, Canvas, Drawable
from sarbench.simulate.geometry import Sensor
from sarbench.simulate.land_cover import BACKSCATTER, LandCover, Polarization
from sarbench.simulate.speckle import TiledNoise, gamma_texture, multilook_intensity
from sarbench.simulate.targets import Target
from sarlens.types.window import Window

(
    FAST_DRIFT_STREAM,
    SLOW_DRIFT_STREAM,
    TEXTURE_STREAM,
    SPECKLE_GAMMA_STREAM,
    SPECKLE_NORMAL_STREAM,
    SLC_REAL_STREAM,
    SLC_IMAGINARY_STREAM,
) = range(7)
STREAM_OFFSET: dict[Polarization, int] = {"VV": 0, "VH": 100}
"""Offset of the random streams of each polarization, which makes their speckle independent."""

FAST_DRIFT_SCALE_PX, SLOW_DRIFT_SCALE_PX, TEXTURE_SCALE_PX = 57.0, 171.0, 3.0
"""Correlation lengths in pixels of fast and slow level variations, and of texture."""

_DRIFT_STD_NEPERS = np.array([BACKSCATTER[cover].drift_db for cover in LandCover], np.float32) * np.float32(
    log(10) / 10
)
"""Standard deviation of the level of each land cover, in nepers of power."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A simulated scene of ``rows`` by ``cols`` pixels. ``seed`` determines its noise.

    ``ground`` is drawn in order, then ``targets``. Coordinates are meters from the upper left corner.
    """

    seed: int
    rows: int
    cols: int
    sensor: Sensor
    ground: Sequence[Drawable]
    targets: Sequence[Target]

    @property
    def window(self) -> Window:
        """Window of the whole scene."""
        return Window(0, 0, self.cols, self.rows)

    @cached_property
    def _layers(self) -> tuple[Drawable, ...]:
        return (*self.ground, *self.targets)

    @cached_property
    def _draw_extents(self) -> NDArray[np.float64]:
        """Left, top, right, and bottom of each layer's draw extent, shape (4, layers)."""
        return np.array([layer.draw_extent(self.sensor) for layer in self._layers]).T

    def mean_backscatter(self, window: Window, polarization: Polarization = "VV") -> Canvas:
        """Return mean backscatter and land cover of ``window`` before speckle."""
        canvas = Canvas(window, self.sensor, polarization)
        left, top, right, bottom = canvas.extent
        extents = self._draw_extents
        intersects = (extents[0] < right) & (extents[1] < bottom) & (extents[2] > left) & (extents[3] > top)
        for index in np.flatnonzero(intersects):
            self._layers[index].draw(canvas)
        noise = TiledNoise(self.seed)
        level = 0.6 * noise.smooth_normal(FAST_DRIFT_STREAM, window, FAST_DRIFT_SCALE_PX) + 0.8 * noise.smooth_normal(
            SLOW_DRIFT_STREAM, window, SLOW_DRIFT_SCALE_PX
        )
        canvas.clutter *= np.exp(level * _DRIFT_STD_NEPERS[canvas.land_cover])
        canvas.clutter *= gamma_texture(
            noise.smooth_normal(TEXTURE_STREAM, window, TEXTURE_SCALE_PX), canvas.texture_std
        )
        canvas.clutter += np.float32(10 ** (self.sensor.nesz_db / 10))
        return canvas

    def add_speckle(self, canvas: Canvas) -> Array:
        """Return multilooked linear sigma0 of a canvas, shape (rows, cols)."""
        noise, stream_offset, looks = TiledNoise(self.seed), STREAM_OFFSET[canvas.polarization], self.sensor.looks
        gamma = noise.gamma(stream_offset + SPECKLE_GAMMA_STREAM, canvas.window, looks - 0.5)
        normal = noise.normal(stream_offset + SPECKLE_NORMAL_STREAM, canvas.window)
        return multilook_intensity(canvas.clutter, canvas.coherent, looks, gamma, normal)

    def intensity(self, window: Window, polarization: Polarization = "VV") -> Array:
        """Return linear sigma0 of ``window``, float32, shape (rows, cols). Overlapping windows are identical."""
        return self.add_speckle(self.mean_backscatter(window, polarization))

    def complex_amplitude(self, window: Window, polarization: Polarization = "VV") -> NDArray[np.complex64]:
        """Return single-look complex amplitude of ``window``, complex64: |amplitude|² is sigma0 of one look."""
        canvas, noise, stream_offset = (
            self.mean_backscatter(window, polarization),
            TiledNoise(self.seed),
            STREAM_OFFSET[polarization],
        )
        speckle = noise.normal(stream_offset + SLC_REAL_STREAM, window) + 1j * noise.normal(
            stream_offset + SLC_IMAGINARY_STREAM, window
        )
        return np.asarray(np.sqrt(canvas.clutter / 2) * speckle + np.sqrt(canvas.coherent), np.complex64)
