"""Shapes of land cover: backgrounds, strips such as coasts and rivers, rectangles, blobs, and agricultural parcels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, inf, pi, sin

import numpy as np

from sarbench.simulate.canvas import Array, Canvas
from sarbench.simulate.geometry import Extent, Sensor
from sarbench.simulate.land_cover import LandCover

UNBOUNDED = Extent(-inf, -inf, inf, inf)
MeanderTerm = tuple[float, float, float]
"""Amplitude and wavelength in meters, and phase in radians."""


def meander_offset(along: Array, terms: Sequence[MeanderTerm]) -> Array:
    """Return the sideways offset of a meandering line at the distance ``along``, the sum of its sine terms."""
    offset = np.zeros_like(along)
    for amplitude, wavelength, phase in terms:
        offset += np.float32(amplitude) * np.sin(along * np.float32(2 * pi / wavelength) + np.float32(phase))
    return offset


@dataclass(frozen=True, slots=True)
class Background:
    """One land cover everywhere. ``texture_order`` replaces the order of its texture."""

    land_cover: LandCover
    offset_db: float = 0.0
    texture_order: float | None = None

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the unbounded extent."""
        return UNBOUNDED

    def draw(self, canvas: Canvas) -> None:
        """Paint all pixels."""
        if (view := canvas.view(UNBOUNDED, (0.0, 0.0))) is not None:
            canvas.paint_land_cover(view, np.ones(view.land_cover.shape, np.bool_), self.land_cover, self.offset_db)
            if self.texture_order is not None:
                view.texture_std[...] = np.float32(self.texture_order**-0.5)


@dataclass(frozen=True, slots=True)
class Strip:
    """The ground within ``width``/2 meters of a meandering line through (x, y) at ``angle`` radians.

    With infinite ``width``, it is all ground on one side (+y for angle 0), such as land at a coast.
    """

    land_cover: LandCover
    x: float
    y: float
    angle: float
    width: float
    meander: tuple[MeanderTerm, ...] = ()
    offset_db: float = 0.0

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the unbounded extent, because a strip has no ends."""
        return UNBOUNDED

    def draw(self, canvas: Canvas) -> None:
        """Paint the strip."""
        if (view := canvas.view(UNBOUNDED, (self.x, self.y))) is None:
            return
        c, s = np.float32(cos(self.angle)), np.float32(sin(self.angle))
        across = view.y * c - view.x * s
        if self.meander:
            across = across - meander_offset(view.x * c + view.y * s, self.meander)
        mask = across > 0 if self.width == inf else np.abs(across) < self.width / 2
        canvas.paint_land_cover(view, mask, self.land_cover, self.offset_db)

    def signed_distance(self, x: float, y: float) -> float:
        """Return the distance in meters from the line to a point, positive on the side that a coast covers."""
        c, s = cos(self.angle), sin(self.angle)
        dx, dy = x - self.x, y - self.y
        return dy * c - dx * s - float(meander_offset(np.asarray([dx * c + dy * s], np.float32), self.meander)[0])

    def point_at(self, along: float) -> tuple[float, float]:
        """Return the point of the line at ``along`` meters from (x, y)."""
        offset = float(meander_offset(np.asarray([along], np.float32), self.meander)[0])
        return (
            self.x + along * cos(self.angle) - offset * sin(self.angle),
            self.y + along * sin(self.angle) + offset * cos(self.angle),
        )


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle of ``length`` by ``width`` meters around (x, y), its length at ``angle`` radians."""

    land_cover: LandCover
    x: float
    y: float
    length: float
    width: float
    angle: float = 0.0
    offset_db: float = 0.0

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the bounding box."""
        return Extent.around_rectangle(self.x, self.y, self.length, self.width, self.angle)

    def draw(self, canvas: Canvas) -> None:
        """Paint the rectangle."""
        if (view := canvas.view(self.draw_extent(canvas.sensor), (self.x, self.y))) is None:
            return
        c, s = np.float32(cos(self.angle)), np.float32(sin(self.angle))
        mask = (np.abs(view.x * c + view.y * s) <= self.length / 2) & (
            np.abs(view.y * c - view.x * s) <= self.width / 2
        )
        canvas.paint_land_cover(view, mask, self.land_cover, self.offset_db)


@dataclass(frozen=True, slots=True)
class Blob:
    """A round area with a mean ``radius`` in meters.

    ``harmonics`` holds the relative amplitude and the phase of the radius's 2nd, 3rd, … harmonic.
    """

    land_cover: LandCover
    x: float
    y: float
    radius: float
    harmonics: tuple[tuple[float, float], ...] = ()
    offset_db: float = 0.0

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the bounding box of the largest radius."""
        return Extent(self.x, self.y, self.x, self.y).expanded(
            self.radius * (1 + sum(amplitude for amplitude, _ in self.harmonics))
        )

    def draw(self, canvas: Canvas) -> None:
        """Paint the area."""
        if (view := canvas.view(self.draw_extent(canvas.sensor), (self.x, self.y))) is None:
            return
        edge: Array | float = 1.0
        if self.harmonics:
            azimuth = np.arctan2(view.y, view.x)
            edge = edge + sum(
                np.float32(amplitude) * np.cos(order * azimuth + np.float32(phase))
                for order, (amplitude, phase) in enumerate(self.harmonics, start=2)
            )
        canvas.paint_land_cover(
            view, np.hypot(view.x, view.y) < edge * np.float32(self.radius), self.land_cover, self.offset_db
        )


@dataclass(frozen=True, slots=True)
class Parcels:
    """Agricultural parcels: a grid of rectangles at ``angle`` radians, with one crop level each, over ``extent``.

    A hash of ``seed`` and the grid index spreads the crop levels over ``contrast_db``.
    """

    x: float
    y: float
    length: float
    width: float
    angle: float
    seed: int
    contrast_db: float = 5.0
    extent: Extent = UNBOUNDED

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the farmed extent."""
        return self.extent

    def draw(self, canvas: Canvas) -> None:
        """Paint the extent as cropland and scale the clutter of each parcel."""
        if (view := canvas.view(self.extent, (self.x, self.y))) is None:
            return
        c, s = np.float32(cos(self.angle)), np.float32(sin(self.angle))
        column = np.floor((view.x * c + view.y * s) / np.float32(self.length)).astype(np.int64)
        row = np.floor((view.y * c - view.x * s) / np.float32(self.width)).astype(np.int64)
        canvas.paint_land_cover(view, np.ones(view.land_cover.shape, np.bool_), LandCover.CROP, 0.0)
        hashed = ((column * 73856093) ^ (row * 19349663) ^ self.seed) * 2654435761
        level = ((hashed >> 16) & 7) / 7 - 0.5
        view.clutter[...] *= 10 ** (np.asarray(level, np.float32) * np.float32(self.contrast_db / 10))
