"""What is known to be in an image: its boxed objects and, for a simulated one, the place that it shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sarlens.prompts.applications import CATEGORIES


class Box(NamedTuple):
    """A rectangle in pixels as COCO writes it: its upper left corner, width and height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> tuple[float, float]:
        """Its centre, x and y."""
        return self.x + self.width / 2, self.y + self.height / 2

    def overlap(self, other: Box) -> float:
        """Area that both share, in pixels."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(width, 0.0) * max(height, 0.0)


class Seen(NamedTuple):
    """One boxed object of one of SARDet's six categories."""

    category: str
    box: Box


@dataclass(frozen=True, slots=True)
class Feature:
    """A part of the place that has no box: a pond, the main road, the houses.

    ``cell`` is the one of nine cells that it lies in, ``shape``, ``direction`` and ``pattern`` are answers to
    questions about it; each is None where there is no clear answer.
    """

    name: str
    cell: str | None = None
    shape: str | None = None
    direction: str | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """What boxes do not tell: the kind of ``area`` and what it is used for, if one can see that; the share of each
    land cover, by its name in lower case; how many ``buildings`` there are; features; and whether the ships are
    ``moving``, where all are or none is."""

    area: str
    use: str | None
    cover: Mapping[str, float]
    buildings: int = 0
    features: tuple[Feature, ...] = ()
    moving: bool | None = None


@dataclass(frozen=True)
class Truth:
    """All that is known of one image; ``objects`` are every instance of the six categories in it, whole."""

    image: str
    width: int
    height: int
    objects: tuple[Seen, ...]
    place: Place | None = None

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """How many objects of each of the six categories there are, zeros included."""
        found = Counter(seen.category for seen in self.objects)
        return {category: found[category] for category in CATEGORIES}
