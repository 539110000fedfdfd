"""Ground truth of an image: labeled boxes and, for simulated images, a description of the site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sarlens.prompts.applications import CATEGORIES


class Box(NamedTuple):
    """A COCO box in pixels: upper left corner, width, and height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def center(self) -> tuple[float, float]:
        """Center of the box (x, y)."""
        return self.x + self.width / 2, self.y + self.height / 2

    def intersection_area(self, other: Box) -> float:
        """Return the common area of both boxes, in square pixels."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(width, 0.0) * max(height, 0.0)


class LabeledBox(NamedTuple):
    """The box of an object and its category, one of SARDet's six."""

    category: str
    box: Box


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of the site without a box: a pond, the main road, the houses.

    ``cell`` is one of nine grid cells. ``shape``, ``direction``, and ``pattern`` are answers to questions about the
    feature. Each is None without an unambiguous answer.
    """

    name: str
    cell: str | None = None
    shape: str | None = None
    direction: str | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class SiteDescription:
    """Properties of a site that boxes don't cover.

    ``land_use`` is None if the image doesn't show it. ``land_cover`` maps lower-case names to image fractions.
    ``ships_moving`` is None if it doesn't apply to all ships alike.
    """

    area: str
    land_use: str | None
    land_cover: Mapping[str, float]
    building_count: int = 0
    features: tuple[Feature, ...] = ()
    ships_moving: bool | None = None


@dataclass(frozen=True)
class GroundTruth:
    """Ground truth of one image. ``objects`` holds every complete object of the six categories."""

    image: str
    width: int
    height: int
    objects: tuple[LabeledBox, ...]
    site: SiteDescription | None = None

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Number of objects per category, zeros included."""
        counts = Counter(labeled.category for labeled in self.objects)
        return {category: counts[category] for category in CATEGORIES}
