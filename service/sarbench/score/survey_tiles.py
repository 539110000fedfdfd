"""Evaluation of a survey's tile answers against the ships of a simulated scene, matched by geometry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarbench.simulate.scene import Scene
from sarlens.surveys.columns import value_of

Coordinates = NDArray[np.float64]
ToPixels = Callable[[Coordinates, Coordinates], tuple[Coordinates, Coordinates]]
"""Convert longitudes and latitudes to columns and rows of the scene, independently of the gateway."""
_POINTS_PER_EDGE = 8


@dataclass(frozen=True)
class TileResult:
    """Truth and answer of one tile.

    ``ships`` counts the ships whose center is in the tile, and ``has_cut_ship`` says whether the edge cuts a ship.
    ``value`` is the survey's answer, and ``footprint_error_px`` the distance of its footprint from the true tile.
    """

    ships: int
    has_cut_ship: bool
    value: Any
    footprint_error_px: float


def evaluate_tiles(features: Sequence[dict[str, Any]], scene: Scene, to_pixels: ToPixels) -> list[TileResult]:
    """Match the features of one question with the truth. Only their geometry determines the ground that they cover."""
    spacing = scene.sensor.pixel_spacing_m
    outlines = np.array([target.box_extent(scene.sensor) for target in scene.targets]).reshape(-1, 4) / spacing
    centers = (outlines[:, :2] + outlines[:, 2:]) / 2
    results = []
    for feature in features:
        properties = feature["properties"]
        ring = _ring_in_pixels(feature["geometry"]["coordinates"][0], to_pixels)
        low, high = ring.min(axis=0).round(), ring.max(axis=0).round()
        inside = ((centers >= low) & (centers < high)).all(axis=1)
        touching = (outlines[:, :2] < high).all(axis=1) & (outlines[:, 2:] > low).all(axis=1)
        whole = (outlines[:, :2] >= low).all(axis=1) & (outlines[:, 2:] <= high).all(axis=1)
        corner, size = (
            np.array([properties["col"], properties["row"]]),
            np.array([properties["width"], properties["height"]]),
        )
        error = _footprint_error(ring, corner, corner + size)
        results.append(TileResult(int(inside.sum()), bool((touching & ~whole).any()), value_of(properties), error))
    return results


def recall(tiles: Sequence[TileResult]) -> tuple[int, int]:
    """Return (tiles with ships that were reported to have ships, tiles with ships)."""
    positive = [tile for tile in tiles if tile.ships]
    return sum(bool(tile.value) for tile in positive), len(positive)


def precision(tiles: Sequence[TileResult]) -> tuple[int, int]:
    """Return (tiles reported to have ships that do have ships, tiles reported to have ships)."""
    predicted = [tile for tile in tiles if tile.value]
    return sum(bool(tile.ships) for tile in predicted), len(predicted)


def _ring_in_pixels(ring: Sequence[Sequence[float]], to_pixels: ToPixels) -> Coordinates:
    """Return a ring as points (column, row) in pixels. Edges are straight in degrees, as maps draw them."""
    corners = np.array(ring)
    fraction = np.linspace(0, 1, _POINTS_PER_EDGE, endpoint=False)[:, None, None]
    lonlat = (corners[:-1] + fraction * np.diff(corners, axis=0)).reshape(-1, 2)
    return np.column_stack(to_pixels(lonlat[:, 0], lonlat[:, 1]))


def _footprint_error(ring: Coordinates, low: Coordinates, high: Coordinates) -> float:
    """Return the maximum distance in pixels between a ring and the edges or corners of a rectangle."""
    outside = np.hypot(*np.maximum(np.maximum(low - ring, ring - high), 0).T)
    inside = np.minimum(np.abs(ring - low), np.abs(ring - high)).min(axis=1)
    edge = np.where(outside > 0, outside, inside).max()
    corners = np.array([low, (low[0], high[1]), high, (high[0], low[1])])
    corner = np.linalg.norm(corners[:, None] - ring, axis=2).min(axis=1).max()
    return float(max(edge, corner))
