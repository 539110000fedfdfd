"""What a scene is drawn on: mean backscatter before speckle, in metres on the ground, and the brushes for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sarbench.simulate.geometry import Extent, Sensor
from sarbench.simulate.landcover import BACKSCATTER, LandCover, Polarisation, sigma0
from sarlens.request import Window

Array = NDArray[np.float32]

CROSS_POLARISED = 10 ** (-8.0 / 10)
"""Power that a man-made target returns in VH over what it returns in VV."""
RESOLUTION = 1.25
"""Width of the point response between its half-power points, in pixels."""
SIDELOBES = 9
"""Pixels to either side over which the sidelobes of a point are drawn."""


class Drawn(Protocol):
    """Anything with a place on the ground that draws itself; ``reach`` holds every pixel that it touches."""

    def reach(self, sensor: Sensor) -> Extent:
        """All the ground that drawing changes."""
        ...

    def draw(self, canvas: Canvas) -> None:
        """Draw the part that lies on the canvas."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A part of a canvas: ``x`` (1, cols) and ``y`` (rows, 1) in metres from a given origin, and views to draw on."""

    x: Array
    y: Array
    clutter: Array
    roughness: Array
    coherent: Array
    cover: NDArray[np.uint8]
    incidence: NDArray[np.float64]


@dataclass(slots=True, eq=False)
class Canvas:
    """One window of a scene while it is drawn; every array has shape (rows, cols).

    ``clutter`` is the mean power that speckles, ``roughness`` the spread of its texture, ``coherent`` the
    power of lone scatterers, ``cover`` the land cover's label. Powers are linear sigma0.
    """

    window: Window
    sensor: Sensor
    polarisation: Polarisation = "VV"
    clutter: Array = field(init=False)
    roughness: Array = field(init=False)
    coherent: Array = field(init=False)
    cover: NDArray[np.uint8] = field(init=False)
    _x: NDArray[np.float64] = field(init=False)
    _y: NDArray[np.float64] = field(init=False)
    _incidence: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.window.height, self.window.width)
        self.clutter, self.roughness, self.coherent = (np.zeros(shape, np.float32) for _ in range(3))
        self.cover = np.zeros(shape, np.uint8)
        self._x = (np.arange(self.window.width, dtype=np.float64) + self.window.col + 0.5) * self.sensor.spacing
        self._y = (np.arange(self.window.height, dtype=np.float64) + self.window.row + 0.5) * self.sensor.spacing
        self._incidence = self.sensor.incidence_at(self._x)

    @property
    def gain(self) -> float:
        """What man-made targets return in this polarisation, over VV."""
        return 1.0 if self.polarisation == "VV" else CROSS_POLARISED

    @property
    def extent(self) -> Extent:
        """The ground under the window."""
        spacing = self.sensor.spacing
        col, row, width, height = self.window
        return Extent(col * spacing, row * spacing, (col + width) * spacing, (row + height) * spacing)

    def patch(self, extent: Extent, origin: tuple[float, float]) -> Patch | None:
        """The pixels whose centres lie in ``extent``, with coordinates from ``origin``; None if there are none."""
        left, right = np.searchsorted(self._x, (extent.left, extent.right))
        top, bottom = np.searchsorted(self._y, (extent.top, extent.bottom))
        if left == right or top == bottom:
            return None
        part = (slice(top, bottom), slice(left, right))
        return Patch(
            (self._x[None, left:right] - origin[0]).astype(np.float32),
            (self._y[top:bottom, None] - origin[1]).astype(np.float32),
            self.clutter[part],
            self.roughness[part],
            self.coherent[part],
            self.cover[part],
            self._incidence[left:right],
        )

    def paint(self, patch: Patch, inside: NDArray[np.bool_], cover: LandCover, offset: float) -> None:
        """Cover the ground where ``inside`` is True; ``offset`` is dB over the land cover's table value."""
        np.copyto(patch.clutter, sigma0(cover, patch.incidence, self.polarisation, offset), where=inside)
        np.copyto(patch.roughness, np.float32(BACKSCATTER[cover].order ** -0.5), where=inside)
        np.copyto(patch.cover, np.uint8(cover), where=inside)

    def coverage(self, distance: Array) -> Array:
        """Share of a pixel inside a shape, from the signed ``distance`` in metres to its edge (inside is negative)."""
        return np.clip(np.float32(0.5) - distance / np.float32(self.sensor.spacing), 0, 1)

    def shine(self, patch: Patch, share: Array, decibel: float) -> None:
        """Add scatterers of ``decibel`` sigma0 over the ``share`` of each pixel that they fill; half of it speckles."""
        half = share * np.float32(self.gain * 10 ** (decibel / 10) / 2)
        patch.coherent[...] += half
        patch.clutter[...] += half

    def bar(self, start: tuple[float, float], end: tuple[float, float], width: float, decibel: float) -> None:
        """A straight strip of scatterers with round ends."""
        half = width / 2
        extent = Extent.spanning((start, end)).grown(half + self.sensor.spacing)
        if (patch := self.patch(extent, start)) is None:
            return
        dx, dy = end[0] - start[0], end[1] - start[1]
        along = np.clip((patch.x * dx + patch.y * dy) / max(dx * dx + dy * dy, 1e-9), 0, 1)
        away = np.hypot(patch.x - along * np.float32(dx), patch.y - along * np.float32(dy))
        self.shine(patch, self.coverage(np.asarray(away - np.float32(half), np.float32)), decibel)

    def point(self, x: float, y: float, decibel: float) -> None:
        """A lone bright scatterer with the sidelobes of the point response along range and azimuth."""
        spacing = self.sensor.spacing
        patch = self.patch(Extent(x, y, x, y).grown(SIDELOBES * spacing), (x, y))
        if patch is not None:
            response = point_response(patch.y / spacing) * point_response(patch.x / spacing)
            patch.coherent[...] += response * np.float32(self.gain * 10 ** (decibel / 10))

    def shade(self, patch: Patch, share: Array) -> None:
        """Take away the clutter of the ``share`` of each pixel that the radar cannot see."""
        patch.clutter[...] *= 1 - share


def point_response(pixels: Array) -> Array:
    """Power of a point at a distance in pixels along one axis: sinc², its sidelobes weighted by -7 dB and fading."""
    lobes = np.sinc(pixels / np.float32(RESOLUTION)) ** 2
    weight = np.where(np.abs(pixels) < RESOLUTION, np.float32(1), np.float32(0.2))
    return np.asarray(lobes * weight * (1 - np.minimum(np.abs(pixels) / SIDELOBES, 1)), np.float32)
