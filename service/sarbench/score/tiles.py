"""What a survey says of its tiles, beside the ships of a simulated scene: judged by where features lie on the map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarbench.simulate.scene import Scene

Values = NDArray[np.float64]
ToPixels = Callable[[Values, Values], tuple[Values, Values]]
"""From longitudes and latitudes to columns and rows of the scene, by other means than the gateway's."""
_STEPS = 8


@dataclass(frozen=True)
class Tile:
    """How many ships have their middle in a tile, whether some ``cut`` ship lies across its edge, the value that the
    survey gave, and by how many pixels its footprint is ``off``."""

    ships: int
    cut: bool
    value: Any
    off: float


def judged(features: Sequence[Mapping[str, Any]], scene: Scene, to_pixels: ToPixels) -> list[Tile]:
    """The features of one question beside the truth; only their geometry says which ground they are about."""
    spacing = scene.sensor.spacing
    outlines = np.array([target.outline(scene.sensor) for target in scene.targets]).reshape(-1, 4) / spacing
    middles = (outlines[:, :2] + outlines[:, 2:]) / 2
    found = []
    for feature in features:
        at = feature["properties"]
        ring = _drawn(feature["geometry"]["coordinates"][0], to_pixels)
        low, high = ring.min(axis=0).round(), ring.max(axis=0).round()
        inside = ((middles >= low) & (middles < high)).all(axis=1)
        touching = (outlines[:, :2] < high).all(axis=1) & (outlines[:, 2:] > low).all(axis=1)
        whole = (outlines[:, :2] >= low).all(axis=1) & (outlines[:, 2:] <= high).all(axis=1)
        corner, size = np.array([at["col"], at["row"]]), np.array([at["width"], at["height"]])
        off = _off(ring, corner, corner + size)
        found.append(Tile(int(inside.sum()), bool((touching & ~whole).any()), at["value"], off))
    return found


def recall(tiles: Sequence[Tile]) -> tuple[int, int]:
    """Of the tiles with ships, those that were said to have some: how many, and of how many."""
    there = [tile for tile in tiles if tile.ships]
    return sum(bool(tile.value) for tile in there), len(there)


def precision(tiles: Sequence[Tile]) -> tuple[int, int]:
    """Of the tiles that were said to have ships, those that have some: how many, and of how many."""
    said = [tile for tile in tiles if tile.value]
    return sum(bool(tile.ships) for tile in said), len(said)


def _drawn(ring: Sequence[Sequence[float]], to_pixels: ToPixels) -> Values:
    """A ring in pixels (point, column and row), its edges straight in degrees, as maps draw them."""
    corners = np.array(ring)
    share = np.linspace(0, 1, _STEPS, endpoint=False)[:, None, None]
    lonlat = (corners[:-1] + share * np.diff(corners, axis=0)).reshape(-1, 2)
    return np.column_stack(to_pixels(lonlat[:, 0], lonlat[:, 1]))


def _off(ring: Values, low: Values, high: Values) -> float:
    """The furthest that a ring is from the edge of a rectangle, or a corner of the rectangle from the ring."""
    outside = np.hypot(*np.maximum(np.maximum(low - ring, ring - high), 0).T)
    inside = np.minimum(np.abs(ring - low), np.abs(ring - high)).min(axis=1)
    edge = np.where(outside > 0, outside, inside).max()
    corners = np.array([low, (low[0], high[1]), high, (high[0], low[1])])
    corner = np.linalg.norm(corners[:, None] - ring, axis=2).min(axis=1).max()
    return float(max(edge, corner))
