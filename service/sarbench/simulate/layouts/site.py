"""A site under construction: a square of ground that objects are put on without touching one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import cos, pi, sin
from typing import TypeVar

import numpy as np

from sarbench.simulate.canvas import Drawn
from sarbench.simulate.geometry import Extent, Sensor
from sarbench.simulate.ground import Blob, Block, Plain, Strip, Wave
from sarbench.simulate.landcover import LandCover
from sarbench.simulate.position import cell_of
from sarbench.simulate.targets import Target
from sarbench.simulate.truth import Feature

T = TypeVar("T")
Spot = tuple[float, float]

DIRECTIONS = {"Horizontal": 0.0, "Vertical": pi / 2, "Diagonal": pi / 4}
SHAPES = ("Circular", "Rectangular", "Irregular")
MIDDLES: dict[str, Spot] = {
    "left": (0.22, 0.5),
    "right": (0.78, 0.5),
    "top": (0.5, 0.22),
    "bottom": (0.5, 0.78),
    "center": (0.5, 0.5),
}
"""Where a group lies that is to be found at one side, in shares of the site's side."""
TRIES = 300
"""Spots tried before a site counts as full."""


@dataclass(eq=False)
class Site:
    """``side`` metres square from ``origin``, seen by ``sensor``; ``form`` fixes the layout, ``rng`` what fills it.

    Lengths in *units* are 256ths of the side, so that what is legible does not depend on the number of pixels.
    ``moving`` says whether the ships are under way, where there are ships and it is the same for all.
    """

    side: float
    sensor: Sensor
    form: np.random.Generator
    rng: np.random.Generator
    ground: list[Drawn] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    features: list[Feature] = field(default_factory=list)
    taken: list[Extent] = field(default_factory=list)
    moving: bool | None = None
    origin: Spot = (0.0, 0.0)

    @property
    def unit(self) -> float:
        """A 256th of the side, in metres."""
        return self.side / 256

    def at(self, column: float, row: float) -> Spot:
        """The spot at these shares of the side from the origin."""
        return self.origin[0] + column * self.side, self.origin[1] + row * self.side

    def pick(self, *options: T) -> T:
        """One of the options, by the layout."""
        return options[int(self.form.integers(len(options)))]

    def formed(self, low: float, high: float) -> float:
        """A uniform number, by the layout."""
        return float(self.form.uniform(low, high))

    def between(self, low: float, high: float) -> float:
        """A uniform number, by what fills the site."""
        return float(self.rng.uniform(low, high))

    def upto(self, most: int) -> int:
        """A uniform number of things from none to ``most``, by what fills the site."""
        return int(self.rng.integers(0, most + 1))

    def free(self, extent: Extent, gap: float = 5.0) -> bool:
        """Whether ``extent`` lies inside the site and ``gap`` units from all that is there."""
        edge, (x, y) = 3 * self.unit, self.origin
        inside = (
            extent.left >= x + edge
            and extent.top >= y + edge
            and extent.right <= x + self.side - edge
            and extent.bottom <= y + self.side - edge
        )
        if not inside:
            return False
        room = extent.grown(gap * self.unit)
        return not any(room.meets(other) for other in self.taken)

    def add(self, target: Target, gap: float = 5.0) -> bool:
        """Put ``target`` on the site if it has room; whether it had."""
        outline = target.outline(self.sensor)
        if not self.free(outline, gap):
            return False
        self.targets.append(target)
        self.taken.append(outline)
        return True

    def scatter(
        self, number: int, spots: Iterator[Spot], make: Callable[[Spot], Target | None], gap: float = 5.0
    ) -> None:
        """Put up to ``number`` of what ``make`` builds on the spots, passing over spots without room."""
        for _, spot in zip(range(TRIES), spots, strict=False):
            if number <= 0:
                return
            target = make(spot)
            if target is not None and self.add(target, gap):
                number -= 1

    def anywhere(self) -> Iterator[Spot]:
        """Uniform spots without end."""
        while True:
            yield self.at(self.between(0, 1), self.between(0, 1))

    def around(self, focus: str, radius: float) -> Iterator[Spot]:
        """Spots within ``radius`` units of the middle of one side, or of the whole."""
        x, y = self.at(*MIDDLES[focus])
        while True:
            turn, far = self.between(0, 2 * pi), radius * self.unit * self.between(0, 1) ** 0.5
            yield x + far * cos(turn), y + far * sin(turn)

    def abreast(self, number: int, pitch: float, heading: float) -> Iterator[Spot]:
        """``number`` spots in a line at ``heading`` (radians), ``pitch`` units apart, around a spot near the middle."""
        x, y = self.at(self.between(0.4, 0.6), self.between(0.4, 0.6))
        for index in range(number):
            far = (index - (number - 1) / 2) * pitch * self.unit
            yield x + far * cos(heading), y + far * sin(heading)

    def angle(self, direction: str) -> float:
        """A heading in radians that anyone would call ``direction``."""
        mirror = -1 if direction == "Diagonal" and self.form.integers(2) else 1
        return mirror * DIRECTIONS[direction] + self.formed(-0.12, 0.12)

    def line(self, name: str, cover: LandCover, width: float, bend: float = 0.0) -> Strip:
        """A road, runway or river across the site, not yet painted; ``width`` and ``bend`` in units.

        Its direction becomes a feature.
        """
        direction = self.pick(*DIRECTIONS)
        x, y = self.at(self.formed(0.3, 0.7), self.formed(0.3, 0.7))
        meander: tuple[Wave, ...] = self.meander(bend) if bend else ()
        self.features.append(Feature(name, direction=direction))
        return Strip(cover, x, y, self.angle(direction), width * self.unit, meander)

    def meander(self, size: float) -> tuple[Wave, ...]:
        """Two waves of about ``size`` units of amplitude."""
        return tuple(
            (
                self.formed(0.4, 1.0) * size * self.unit / n,
                self.formed(0.7, 1.4) * self.side / n,
                self.formed(0, 2 * pi),
            )
            for n in (1, 2)
        )

    def patch(self, name: str, cover: LandCover, radius: float) -> None:
        """A pond, wood or clearing of about ``radius`` units in one of nine cells, if there is room for it."""
        shape = self.pick(*SHAPES)
        column, row = (self.pick(0.2, 0.5, 0.8) + self.between(-0.03, 0.03) for _ in range(2))
        x, y = self.at(column, row)
        size = radius * self.unit
        layer: Block | Blob
        if shape == "Rectangular":
            layer = Block(cover, x, y, 2.1 * size, 1.4 * size, self.formed(-0.3, 0.3))
        else:
            lobes = tuple((self.between(0.12, 0.2), self.between(0, 2 * pi)) for _ in range(3))
            layer = Blob(cover, x, y, 0.85 * size, lobes) if shape == "Irregular" else Blob(cover, x, y, size)
        extent = layer.reach(self.sensor)
        if self.free(extent, 2):
            self.ground.append(layer)
            self.taken.append(extent)
            self.features.append(Feature(name, cell=cell_of(column, row), shape=shape))

    def plain(self, cover: LandCover, spread: float = 1.0) -> None:
        """One land cover everywhere, up to ``spread`` dB brighter or darker than the table."""
        self.ground.append(Plain(cover, self.between(-spread, spread)))
