"""Evaluation of a survey's objects against the ships of a simulated scene, matched by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarbench.score.survey_tiles import ToPixels
from sarbench.simulate.scene import Scene

MATCH_PX = 10.0
"""Distance in pixels within which an object is a ship; ships are at least 15 pixels long."""


@dataclass(frozen=True)
class ObjectScore:
    """Score of the objects of one scene."""

    ships: int
    objects: int
    errors_px: NDArray[np.float64]
    """Distance of each found ship from its object, in pixels."""

    @property
    def recall(self) -> float:
        """Share of the ships that are found."""
        return len(self.errors_px) / max(self.ships, 1)

    @property
    def precision(self) -> float:
        """Share of the objects that are ships."""
        return len(self.errors_px) / max(self.objects, 1)


def ship_centers(scene: Scene) -> NDArray[np.float64]:
    """Return the columns and rows of the hulls' centers, shape (ship, 2)."""
    outlines = np.array([target.box_extent(scene.sensor) for target in scene.targets]).reshape(-1, 4)
    return np.asarray((outlines[:, :2] + outlines[:, 2:]) / 2 / scene.sensor.pixel_spacing_m)


def score_objects(features: Sequence[Mapping[str, Any]], scene: Scene, to_pixels: ToPixels) -> ObjectScore:
    """Match objects with ships, nearest pairs first and each once. Only their geometry determines their position."""
    ships = ship_centers(scene)
    lonlat = np.array([feature["geometry"]["coordinates"] for feature in features], float).reshape(-1, 2)
    objects = np.column_stack(to_pixels(lonlat[:, 0], lonlat[:, 1]))
    distances = np.linalg.norm(ships[:, None] - objects[None], axis=2)
    errors = []
    while distances.size and (nearest := distances.min()) <= MATCH_PX:
        ship, found = np.unravel_index(distances.argmin(), distances.shape)
        errors.append(nearest)
        distances[ship, :] = distances[:, found] = np.inf
    return ObjectScore(len(ships), len(objects), np.array(errors))
