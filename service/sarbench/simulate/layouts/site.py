"""A site under construction: a square of ground with targets that don't overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import cos, pi, sin
from typing import TypeVar

import numpy as np

from sarbench.simulate.canvas import Drawable
from sarbench.simulate.geometry import Extent, Sensor
from sarbench.simulate.ground_truth import Feature
from sarbench.simulate.land_cover import LandCover
from sarbench.simulate.land_cover_shapes import Background, Blob, MeanderTerm, Rectangle, Strip
from sarbench.simulate.position import grid_cell
from sarbench.simulate.targets import Target

T = TypeVar("T")
Point = tuple[float, float]

DIRECTIONS = {"Horizontal": 0.0, "Vertical": pi / 2, "Diagonal": pi / 4}
SHAPES = ("Circular", "Rectangular", "Irregular")
SIDE_CENTERS: dict[str, Point] = {
    "left": (0.22, 0.5),
    "right": (0.78, 0.5),
    "top": (0.5, 0.22),
    "bottom": (0.5, 0.78),
    "center": (0.5, 0.5),
}
"""Centers of groups at one side of the image, as fractions of the site's side."""
MAX_ATTEMPTS = 300
"""Maximum number of candidate points for a group of targets."""


@dataclass(eq=False)
class Site:
    """A square of ``side`` meters from ``origin``. ``layout_rng`` determines the layout, ``content_rng`` the contents.

    A *unit* is a 256th of the side, so that visibility doesn't depend on the number of pixels. ``ships_moving`` says
    whether the ships are under way, or is None if that doesn't apply to all ships alike.
    """

    side: float
    sensor: Sensor
    layout_rng: np.random.Generator
    content_rng: np.random.Generator
    ground: list[Drawable] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    features: list[Feature] = field(default_factory=list)
    occupied: list[Extent] = field(default_factory=list)
    ships_moving: bool | None = None
    origin: Point = (0.0, 0.0)

    @property
    def unit(self) -> float:
        """A 256th of the side, in meters."""
        return self.side / 256

    def point_at(self, column: float, row: float) -> Point:
        """Return the point at these fractions of the side from the origin."""
        return self.origin[0] + column * self.side, self.origin[1] + row * self.side

    def choose(self, *options: T) -> T:
        """Return one of the options, determined by the layout."""
        return options[int(self.layout_rng.integers(len(options)))]

    def layout_uniform(self, low: float, high: float) -> float:
        """Return a uniform random number, determined by the layout."""
        return float(self.layout_rng.uniform(low, high))

    def uniform(self, low: float, high: float) -> float:
        """Return a uniform random number, determined by the contents."""
        return float(self.content_rng.uniform(low, high))

    def random_count(self, maximum: int) -> int:
        """Return a uniform random integer from 0 to ``maximum``, determined by the contents."""
        return int(self.content_rng.integers(0, maximum + 1))

    def is_free(self, extent: Extent, gap: float = 5.0) -> bool:
        """Whether ``extent`` is inside the site and at least ``gap`` units from everything else."""
        edge, (x, y) = 3 * self.unit, self.origin
        inside = (
            extent.left >= x + edge
            and extent.top >= y + edge
            and extent.right <= x + self.side - edge
            and extent.bottom <= y + self.side - edge
        )
        if not inside:
            return False
        clearance = extent.expanded(gap * self.unit)
        return not any(clearance.intersects(other) for other in self.occupied)

    def try_add(self, target: Target, gap: float = 5.0) -> bool:
        """Add ``target`` if its position is free, and return whether it was added."""
        outline = target.box_extent(self.sensor)
        if not self.is_free(outline, gap):
            return False
        self.targets.append(target)
        self.occupied.append(outline)
        return True

    def place_targets(
        self, count: int, points: Iterator[Point], make: Callable[[Point], Target | None], gap: float = 5.0
    ) -> None:
        """Add up to ``count`` targets built by ``make`` at ``points``, skipping occupied points."""
        for _, point in zip(range(MAX_ATTEMPTS), points, strict=False):
            if count <= 0:
                return
            target = make(point)
            if target is not None and self.try_add(target, gap):
                count -= 1

    def random_points(self) -> Iterator[Point]:
        """Yield endless uniform random points."""
        while True:
            yield self.point_at(self.uniform(0, 1), self.uniform(0, 1))

    def points_around(self, side: str, radius: float) -> Iterator[Point]:
        """Yield endless random points within ``radius`` units of the center of one side, or of the site."""
        x, y = self.point_at(*SIDE_CENTERS[side])
        while True:
            azimuth, distance = self.uniform(0, 2 * pi), radius * self.unit * self.uniform(0, 1) ** 0.5
            yield x + distance * cos(azimuth), y + distance * sin(azimuth)

    def points_in_row(self, count: int, pitch: float, heading: float) -> Iterator[Point]:
        """Yield ``count`` points in a line at ``heading`` radians, ``pitch`` units apart, near the site's center."""
        x, y = self.point_at(self.uniform(0.4, 0.6), self.uniform(0.4, 0.6))
        for index in range(count):
            distance = (index - (count - 1) / 2) * pitch * self.unit
            yield x + distance * cos(heading), y + distance * sin(heading)

    def random_angle(self, direction: str) -> float:
        """Return an angle in radians that matches the name ``direction``."""
        mirror = -1 if direction == "Diagonal" and self.layout_rng.integers(2) else 1
        return mirror * DIRECTIONS[direction] + self.layout_uniform(-0.12, 0.12)

    def linear_feature(self, name: str, land_cover: LandCover, width: float, bend: float = 0.0) -> Strip:
        """Return a road, runway, or river across the site; ``width`` and ``bend`` are in units.

        Its direction is added to the features. The caller adds the strip to the ground.
        """
        direction = self.choose(*DIRECTIONS)
        x, y = self.point_at(self.layout_uniform(0.3, 0.7), self.layout_uniform(0.3, 0.7))
        meander: tuple[MeanderTerm, ...] = self.random_meander(bend) if bend else ()
        self.features.append(Feature(name, direction=direction))
        return Strip(land_cover, x, y, self.random_angle(direction), width * self.unit, meander)

    def random_meander(self, size: float) -> tuple[MeanderTerm, ...]:
        """Return two meander terms of about ``size`` units in amplitude."""
        return tuple(
            (
                self.layout_uniform(0.4, 1.0) * size * self.unit / n,
                self.layout_uniform(0.7, 1.4) * self.side / n,
                self.layout_uniform(0, 2 * pi),
            )
            for n in (1, 2)
        )

    def add_area_feature(self, name: str, land_cover: LandCover, radius: float) -> None:
        """Add a pond, wood, or clearing of about ``radius`` units in one of nine grid cells, if it is free."""
        shape = self.choose(*SHAPES)
        column, row = (self.choose(0.2, 0.5, 0.8) + self.uniform(-0.03, 0.03) for _ in range(2))
        x, y = self.point_at(column, row)
        size = radius * self.unit
        layer: Rectangle | Blob
        if shape == "Rectangular":
            layer = Rectangle(land_cover, x, y, 2.1 * size, 1.4 * size, self.layout_uniform(-0.3, 0.3))
        else:
            harmonics = tuple((self.uniform(0.12, 0.2), self.uniform(0, 2 * pi)) for _ in range(3))
            layer = (
                Blob(land_cover, x, y, 0.85 * size, harmonics) if shape == "Irregular" else Blob(land_cover, x, y, size)
            )
        extent = layer.draw_extent(self.sensor)
        if self.is_free(extent, 2):
            self.ground.append(layer)
            self.occupied.append(extent)
            self.features.append(Feature(name, cell=grid_cell(column, row), shape=shape))

    def add_background(self, land_cover: LandCover, spread_db: float = 1.0) -> None:
        """Add one land cover everywhere, with a random offset of up to ``spread_db``."""
        self.ground.append(Background(land_cover, self.uniform(-spread_db, spread_db)))
