"""Noise that looks the same through every window: the speckle and texture of a scene of any size.

Random numbers are drawn on a fixed lattice of square tiles, each from a generator seeded by (seed, name, tile row,
tile column). A window takes what it needs from the tiles that it touches, so overlapping windows agree bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarlens.request import Window

PIXELS = 256
NODES = 32
"""Sides of the tiles of fields drawn for every pixel and for the nodes of smooth ones."""

Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Lattice:
    """Named fields of random numbers over the whole plane, fixed by ``seed``; ``name`` tells fields apart."""

    seed: int

    def normal(self, name: int, window: Window, tile: int = PIXELS) -> NDArray[np.float32]:
        """Independent standard normal numbers, shape (height, width)."""
        return self._field(name, window, tile, lambda rng, shape: rng.standard_normal(shape, np.float32))

    def gamma(self, name: int, window: Window, shape: float) -> NDArray[np.float32]:
        """Independent gamma numbers of the given ``shape`` and scale 1, shape (height, width)."""
        return self._field(name, window, PIXELS, lambda rng, size: rng.standard_gamma(shape, size, np.float32))

    def smooth(self, name: int, window: Window, grain: float) -> NDArray[np.float32]:
        """Normal numbers of mean 0 and variance 1 everywhere that change over some ``grain`` pixels."""
        row, down = _nodes(window.row, window.height, grain)
        col, right = _nodes(window.col, window.width, grain)
        box = Window(int(col[0]), int(row[0]), int(col[-1] - col[0]) + 2, int(row[-1] - row[0]) + 2)
        nodes = self.normal(name, box, NODES)
        return _blend(_blend(nodes.T, row - box.row, down).T, col - box.col, right)

    def _field(self, name: int, window: Window, tile: int, draw: Draw) -> NDArray[np.float32]:
        col, row, width, height = window
        out = np.empty((height, width), np.float32)
        for y in range(row // tile * tile, row + height, tile):
            for x in range(col // tile * tile, col + width, tile):
                seed = (self.seed, name, *(place // tile & 0xFFFFFFFF for place in (y, x)))
                drawn = draw(np.random.Generator(np.random.SFC64(seed)), (tile, tile))
                top, left, bottom, right = (
                    max(row, y),
                    max(col, x),
                    min(row + height, y + tile),
                    min(col + width, x + tile),
                )
                out[top - row : bottom - row, left - col : right - col] = drawn[
                    top - y : bottom - y, left - x : right - x
                ]
        return out


def _nodes(start: int, count: int, grain: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each pixel the number of the node before it, and the smooth-step weight of the node after it."""
    at = (np.arange(start, start + count) + 0.5) / grain
    before = np.floor(at).astype(np.int64)
    part = at - before
    return before, (part * part * (3 - 2 * part)).astype(np.float32)


def _blend(nodes: NDArray[np.float32], before: NDArray[np.int64], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Interpolate along the last axis and restore unit variance: that of independent nodes is w² + (1 - w)²."""
    spread = np.sqrt(weight**2 + (1 - weight) ** 2)
    return np.asarray(nodes[:, before] * ((1 - weight) / spread) + nodes[:, before + 1] * (weight / spread))


def texture(standard: NDArray[np.float32], roughness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gamma texture of mean 1 and variance ``roughness``² from a standard normal field.

    The cube of Wilson and Hilferty (1931): with r = ``roughness``, a gamma variable of order 1/r² is close to
    (1 - r²/9 + z·r/3)³. Speckle times this is K-distributed with that order (Jakeman and Pusey, 1976).
    """
    base = 1 - roughness * roughness / 9 + standard * roughness / 3
    return np.maximum(base, 0) ** 3


def detect(
    clutter: NDArray[np.float32],
    coherent: NDArray[np.float32],
    looks: float,
    gamma: NDArray[np.float32],
    normal: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Multilooked intensity of ``coherent`` scatterers in speckled ``clutter`` (mean powers, same shape).

    The mean of L looks of |√coherent + z|², z complex Gaussian of power ``clutter``, is noncentral chi-square:
    clutter/2L · χ'²(2L, 2L·coherent/clutter) = clutter/L · G + (√(clutter/2L)·N + √coherent)², with G gamma of shape
    L - 1/2 and N normal. Without coherent power it is gamma speckle of L looks (Goodman, 1976); with one look, Rice.
    """
    share = clutter / np.float32(looks)
    return np.asarray(share * gamma + (np.sqrt(share / 2) * normal + np.sqrt(coherent)) ** 2)
