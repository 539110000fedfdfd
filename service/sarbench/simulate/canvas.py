"""Canvas of mean backscatter before speckle, with drawing operations in ground coordinates (meters)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sarbench.simulate.geometry import Extent, Sensor
from sarbench.simulate.land_cover import BACKSCATTER, LandCover, Polarization, mean_sigma0
from sarlens.types.window import Window

Array = NDArray[np.float32]

CROSS_POL_RATIO = 10 ** (-8.0 / 10)
"""Power of a man-made target in VH relative to VV, linear."""
RESOLUTION_PX = 1.25
"""Half-power width of the point response, in pixels."""
SIDELOBE_EXTENT_PX = 9
"""Distance in pixels to which the sidelobes of a point are drawn."""


class Drawable(Protocol):
    """An object on the ground that draws itself on a canvas."""

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the extent that contains every pixel that drawing changes."""
        ...

    def draw(self, canvas: Canvas) -> None:
        """Draw the part that is inside the canvas."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CanvasView:
    """A part of a canvas.

    ``x`` (1, cols) and ``y`` (rows, 1) are meters from a given origin. ``incidence_deg`` has shape (cols,); the other
    arrays are writable views of shape (rows, cols).
    """

    x: Array
    y: Array
    clutter: Array
    texture_std: Array
    coherent: Array
    land_cover: NDArray[np.uint8]
    incidence_deg: NDArray[np.float64]


@dataclass(slots=True, eq=False)
class Canvas:
    """One window of a scene during drawing. Every array has shape (rows, cols), and powers are linear sigma0.

    ``clutter`` is the mean power of distributed scatterers, ``texture_std`` the standard deviation of their texture.
    ``coherent`` is the power of point scatterers, and ``land_cover`` the label of the land cover.
    """

    window: Window
    sensor: Sensor
    polarization: Polarization = "VV"
    clutter: Array = field(init=False)
    texture_std: Array = field(init=False)
    coherent: Array = field(init=False)
    land_cover: NDArray[np.uint8] = field(init=False)
    _x: NDArray[np.float64] = field(init=False)
    _y: NDArray[np.float64] = field(init=False)
    _incidence_deg: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.window.height, self.window.width)
        self.clutter, self.texture_std, self.coherent = (np.zeros(shape, np.float32) for _ in range(3))
        self.land_cover = np.zeros(shape, np.uint8)
        self._x = (np.arange(self.window.width, dtype=np.float64) + self.window.col + 0.5) * self.sensor.pixel_spacing_m
        self._y = (
            np.arange(self.window.height, dtype=np.float64) + self.window.row + 0.5
        ) * self.sensor.pixel_spacing_m
        self._incidence_deg = self.sensor.incidence_deg_at(self._x)

    @property
    def target_gain(self) -> float:
        """Linear power of man-made targets in this polarization relative to VV."""
        return 1.0 if self.polarization == "VV" else CROSS_POL_RATIO

    @property
    def extent(self) -> Extent:
        """Ground extent of the window, in meters."""
        spacing = self.sensor.pixel_spacing_m
        col, row, width, height = self.window
        return Extent(col * spacing, row * spacing, (col + width) * spacing, (row + height) * spacing)

    def view(self, extent: Extent, origin: tuple[float, float]) -> CanvasView | None:
        """Return the pixels whose centers are in ``extent``, relative to ``origin``, or None if there are none."""
        left, right = np.searchsorted(self._x, (extent.left, extent.right))
        top, bottom = np.searchsorted(self._y, (extent.top, extent.bottom))
        if left == right or top == bottom:
            return None
        window = (slice(top, bottom), slice(left, right))
        return CanvasView(
            (self._x[None, left:right] - origin[0]).astype(np.float32),
            (self._y[top:bottom, None] - origin[1]).astype(np.float32),
            self.clutter[window],
            self.texture_std[window],
            self.coherent[window],
            self.land_cover[window],
            self._incidence_deg[left:right],
        )

    def paint_land_cover(
        self, view: CanvasView, mask: NDArray[np.bool_], land_cover: LandCover, offset_db: float
    ) -> None:
        """Set the land cover of the pixels in ``mask``. ``offset_db`` is added to the sigma0 of the table."""
        np.copyto(view.clutter, mean_sigma0(land_cover, view.incidence_deg, self.polarization, offset_db), where=mask)
        np.copyto(view.texture_std, np.float32(BACKSCATTER[land_cover].texture_order ** -0.5), where=mask)
        np.copyto(view.land_cover, np.uint8(land_cover), where=mask)

    def pixel_coverage(self, distance: Array) -> Array:
        """Return the covered fraction of each pixel. ``distance`` to the edge is in meters, negative inside."""
        return np.clip(np.float32(0.5) - distance / np.float32(self.sensor.pixel_spacing_m), 0, 1)

    def add_scatterers(self, view: CanvasView, coverage: Array, sigma0_db: float) -> None:
        """Add scatterers of ``sigma0_db`` over the covered fraction of each pixel, half coherent and half speckled."""
        half = coverage * np.float32(self.target_gain * 10 ** (sigma0_db / 10) / 2)
        view.coherent[...] += half
        view.clutter[...] += half

    def add_line(self, start: tuple[float, float], end: tuple[float, float], width: float, sigma0_db: float) -> None:
        """Add a straight strip of scatterers, ``width`` meters wide, with round ends."""
        half = width / 2
        extent = Extent.from_points((start, end)).expanded(half + self.sensor.pixel_spacing_m)
        if (view := self.view(extent, start)) is None:
            return
        dx, dy = end[0] - start[0], end[1] - start[1]
        along = np.clip((view.x * dx + view.y * dy) / max(dx * dx + dy * dy, 1e-9), 0, 1)
        distance = np.hypot(view.x - along * np.float32(dx), view.y - along * np.float32(dy))
        self.add_scatterers(view, self.pixel_coverage(np.asarray(distance - np.float32(half), np.float32)), sigma0_db)

    def add_point(self, x: float, y: float, sigma0_db: float) -> None:
        """Add a point scatterer with the sidelobes of the point response along range and azimuth."""
        spacing = self.sensor.pixel_spacing_m
        view = self.view(Extent(x, y, x, y).expanded(SIDELOBE_EXTENT_PX * spacing), (x, y))
        if view is not None:
            response = point_response(view.y / spacing) * point_response(view.x / spacing)
            view.coherent[...] += response * np.float32(self.target_gain * 10 ** (sigma0_db / 10))

    def add_shadow(self, view: CanvasView, coverage: Array) -> None:
        """Remove the clutter of the shadowed fraction of each pixel."""
        view.clutter[...] *= 1 - coverage


def point_response(pixels: Array) -> Array:
    """Return the power of a point at a distance in pixels along one axis.

    It is sinc², with sidelobes weighted by -7 dB that fade to 0 at ``SIDELOBE_EXTENT_PX``.
    """
    lobes = np.sinc(pixels / np.float32(RESOLUTION_PX)) ** 2
    weight = np.where(np.abs(pixels) < RESOLUTION_PX, np.float32(1), np.float32(0.2))
    return np.asarray(lobes * weight * (1 - np.minimum(np.abs(pixels) / SIDELOBE_EXTENT_PX, 1)), np.float32)
