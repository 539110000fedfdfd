"""Random fields for speckle and texture that are identical through every window of a scene.

Random numbers are drawn per square tile, from a generator seeded by (seed, stream, tile row, tile column). A window
reads the tiles that it intersects, so overlapping windows agree bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarlens.types.window import Window

PIXEL_TILE_SIDE = 256
NODE_TILE_SIDE = 32
"""Tile sides of per-pixel fields and of the nodes of smooth fields."""

DrawTile = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class TiledNoise:
    """Random fields over the whole plane, determined by ``seed``. Different streams are independent."""

    seed: int

    def normal(self, stream: int, window: Window, tile_side: int = PIXEL_TILE_SIDE) -> NDArray[np.float32]:
        """Return independent standard normal numbers, shape (height, width)."""
        return self._draw_window(stream, window, tile_side, lambda rng, shape: rng.standard_normal(shape, np.float32))

    def gamma(self, stream: int, window: Window, shape: float) -> NDArray[np.float32]:
        """Return independent gamma numbers of the given ``shape`` and scale 1, shape (height, width)."""
        return self._draw_window(
            stream, window, PIXEL_TILE_SIDE, lambda rng, size: rng.standard_gamma(shape, size, np.float32)
        )

    def smooth_normal(self, stream: int, window: Window, scale_px: float) -> NDArray[np.float32]:
        """Return a correlated normal field of mean 0 and variance 1 that changes over about ``scale_px`` pixels."""
        row, row_weight = _node_weights(window.row, window.height, scale_px)
        col, col_weight = _node_weights(window.col, window.width, scale_px)
        node_window = Window(int(col[0]), int(row[0]), int(col[-1] - col[0]) + 2, int(row[-1] - row[0]) + 2)
        nodes = self.normal(stream, node_window, NODE_TILE_SIDE)
        return _interpolate(
            _interpolate(nodes.T, row - node_window.row, row_weight).T, col - node_window.col, col_weight
        )

    def _draw_window(self, stream: int, window: Window, tile_side: int, draw: DrawTile) -> NDArray[np.float32]:
        col, row, width, height = window
        out = np.empty((height, width), np.float32)
        for y in range(row // tile_side * tile_side, row + height, tile_side):
            for x in range(col // tile_side * tile_side, col + width, tile_side):
                seed = (self.seed, stream, *(origin // tile_side & 0xFFFFFFFF for origin in (y, x)))
                tile = draw(np.random.Generator(np.random.SFC64(seed)), (tile_side, tile_side))
                top, left, bottom, right = (
                    max(row, y),
                    max(col, x),
                    min(row + height, y + tile_side),
                    min(col + width, x + tile_side),
                )
                out[top - row : bottom - row, left - col : right - col] = tile[
                    top - y : bottom - y, left - x : right - x
                ]
        return out


def _node_weights(start: int, count: int, scale_px: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return for each pixel the index of the previous node, and the smooth-step weight of the next node."""
    position = (np.arange(start, start + count) + 0.5) / scale_px
    before = np.floor(position).astype(np.int64)
    fraction = position - before
    return before, (fraction * fraction * (3 - 2 * fraction)).astype(np.float32)


def _interpolate(
    nodes: NDArray[np.float32], before: NDArray[np.int64], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Interpolate along the last axis and restore unit variance: that of independent nodes is w² + (1 - w)²."""
    spread = np.sqrt(weight**2 + (1 - weight) ** 2)
    return np.asarray(nodes[:, before] * ((1 - weight) / spread) + nodes[:, before + 1] * (weight / spread))


def gamma_texture(normal: NDArray[np.float32], texture_std: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return gamma texture of mean 1 and variance ``texture_std``² from a standard normal field.

    Approximation of Wilson and Hilferty (1931): with r = ``texture_std``, a gamma variable of order 1/r² is close to
    (1 - r²/9 + z·r/3)³. Its product with speckle is K-distributed with that order (Jakeman and Pusey, 1976).
    """
    base = 1 - texture_std * texture_std / 9 + normal * texture_std / 3
    return np.maximum(base, 0) ** 3


def multilook_intensity(
    clutter: NDArray[np.float32],
    coherent: NDArray[np.float32],
    looks: float,
    gamma: NDArray[np.float32],
    normal: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return multilooked intensity of ``coherent`` scatterers in speckled ``clutter`` (mean powers, same shape).

    The mean of L looks of |√coherent + z|², z complex Gaussian of power ``clutter``, is noncentral chi-square:
    clutter/2L · χ'²(2L, 2L·coherent/clutter) = clutter/L · G + (√(clutter/2L)·N + √coherent)², with G gamma of shape
    L - 1/2 and N normal. Without coherent power, it is gamma speckle of L looks (Goodman, 1976); with one look, Rice.
    """
    power_per_look = clutter / np.float32(looks)
    return np.asarray(power_per_look * gamma + (np.sqrt(power_per_look / 2) * normal + np.sqrt(coherent)) ** 2)
