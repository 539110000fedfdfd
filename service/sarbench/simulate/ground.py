"""The shapes that land cover takes: coasts, rivers and roads, fields, woods and ponds, and whole countries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, inf, pi, sin

import numpy as np

from sarbench.simulate.canvas import Array, Canvas
from sarbench.simulate.geometry import Extent, Sensor
from sarbench.simulate.landcover import LandCover

EVERYWHERE = Extent(-inf, -inf, inf, inf)
Wave = tuple[float, float, float]
"""Amplitude and wavelength in metres, and phase in radians."""


def waves(along: Array, series: Sequence[Wave]) -> Array:
    """A meandering line: the sum of ``series`` at the distance ``along``."""
    line = np.zeros_like(along)
    for amplitude, length, phase in series:
        line += np.float32(amplitude) * np.sin(along * np.float32(2 * pi / length) + np.float32(phase))
    return line


@dataclass(frozen=True, slots=True)
class Plain:
    """One land cover everywhere."""

    cover: LandCover
    offset: float = 0.0

    def reach(self, sensor: Sensor) -> Extent:
        """The whole plane."""
        return EVERYWHERE

    def draw(self, canvas: Canvas) -> None:
        """Cover everything."""
        if (patch := canvas.patch(EVERYWHERE, (0.0, 0.0))) is not None:
            canvas.paint(patch, np.ones(patch.cover.shape, np.bool_), self.cover, self.offset)


@dataclass(frozen=True, slots=True)
class Strip:
    """The ground within ``width``/2 of a meandering line through (x, y) that runs at ``angle`` (radians).

    With ``width`` infinite it is all the ground on one side, that of +y where the angle is 0: a coast.
    """

    cover: LandCover
    x: float
    y: float
    angle: float
    width: float
    meander: tuple[Wave, ...] = ()
    offset: float = 0.0

    def reach(self, sensor: Sensor) -> Extent:
        """The whole plane: a strip has no ends."""
        return EVERYWHERE

    def draw(self, canvas: Canvas) -> None:
        """Cover the strip."""
        if (patch := canvas.patch(EVERYWHERE, (self.x, self.y))) is None:
            return
        c, s = np.float32(cos(self.angle)), np.float32(sin(self.angle))
        across = patch.y * c - patch.x * s
        if self.meander:
            across = across - waves(patch.x * c + patch.y * s, self.meander)
        inside = across > 0 if self.width == inf else np.abs(across) < self.width / 2
        canvas.paint(patch, inside, self.cover, self.offset)

    def across(self, x: float, y: float) -> float:
        """Metres from the line to a point; positive on the side that a coast covers."""
        c, s = cos(self.angle), sin(self.angle)
        dx, dy = x - self.x, y - self.y
        return dy * c - dx * s - float(waves(np.asarray([dx * c + dy * s], np.float32), self.meander)[0])

    def at(self, along: float) -> tuple[float, float]:
        """The point of the line that lies ``along`` metres from (x, y)."""
        off = float(waves(np.asarray([along], np.float32), self.meander)[0])
        return (
            self.x + along * cos(self.angle) - off * sin(self.angle),
            self.y + along * sin(self.angle) + off * cos(self.angle),
        )


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle of ``length`` by ``width`` metres around (x, y), its length at ``angle``."""

    cover: LandCover
    x: float
    y: float
    length: float
    width: float
    angle: float = 0.0
    offset: float = 0.0

    def reach(self, sensor: Sensor) -> Extent:
        """The rectangle's bounding box."""
        return Extent.around(self.x, self.y, self.length, self.width, self.angle)

    def draw(self, canvas: Canvas) -> None:
        """Cover the rectangle."""
        if (patch := canvas.patch(self.reach(canvas.sensor), (self.x, self.y))) is None:
            return
        c, s = np.float32(cos(self.angle)), np.float32(sin(self.angle))
        inside = (np.abs(patch.x * c + patch.y * s) <= self.length / 2) & (
            np.abs(patch.y * c - patch.x * s) <= self.width / 2
        )
        canvas.paint(patch, inside, self.cover, self.offset)


@dataclass(frozen=True, slots=True)
class Blob:
    """A round patch of mean ``radius`` metres; ``lobes``: share of the radius and phase of its 2nd, 3rd … harmonic."""

    cover: LandCover
    x: float
    y: float
    radius: float
    lobes: tuple[tuple[float, float], ...] = ()
    offset: float = 0.0

    def reach(self, sensor: Sensor) -> Extent:
        """The box that the largest radius fits in."""
        return Extent(self.x, self.y, self.x, self.y).grown(self.radius * (1 + sum(share for share, _ in self.lobes)))

    def draw(self, canvas: Canvas) -> None:
        """Cover the patch."""
        if (patch := canvas.patch(self.reach(canvas.sensor), (self.x, self.y))) is None:
            return
        edge: Array | float = 1.0
        if self.lobes:
            turn = np.arctan2(patch.y, patch.x)
            edge = edge + sum(
                np.float32(share) * np.cos(order * turn + np.float32(phase))
                for order, (share, phase) in enumerate(self.lobes, start=2)
            )
        canvas.paint(patch, np.hypot(patch.x, patch.y) < edge * np.float32(self.radius), self.cover, self.offset)


@dataclass(frozen=True, slots=True)
class Parcels:
    """Fields: a grid of rectangles turned by ``angle``, each with its own crop, over ``within``.

    The crops' levels in dB are spread over ``contrast`` by a hash of ``seed`` and the rectangle's number.
    """

    x: float
    y: float
    length: float
    width: float
    angle: float
    seed: int
    contrast: float = 5.0
    within: Extent = EVERYWHERE

    def reach(self, sensor: Sensor) -> Extent:
        """The ground that is farmed."""
        return self.within

    def draw(self, canvas: Canvas) -> None:
        """Cover the ground with crops of different levels, a bare one here and there."""
        if (patch := canvas.patch(self.within, (self.x, self.y))) is None:
            return
        c, s = np.float32(cos(self.angle)), np.float32(sin(self.angle))
        column = np.floor((patch.x * c + patch.y * s) / np.float32(self.length)).astype(np.int64)
        row = np.floor((patch.y * c - patch.x * s) / np.float32(self.width)).astype(np.int64)
        canvas.paint(patch, np.ones(patch.cover.shape, np.bool_), LandCover.CROP, 0.0)
        mixed = ((column * 73856093) ^ (row * 19349663) ^ self.seed) * 2654435761
        level = ((mixed >> 16) & 7) / 7 - 0.5
        patch.clutter[...] *= 10 ** (np.asarray(level, np.float32) * np.float32(self.contrast / 10))
