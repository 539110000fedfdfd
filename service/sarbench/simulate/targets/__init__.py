"""Man-made targets, each with a box on the ground and a SAR signature."""

from __future__ import annotations

from typing import ClassVar, Protocol

from sarbench.simulate.canvas import Canvas
from sarbench.simulate.geometry import Extent, Sensor


class Target(Protocol):
    """A man-made object. ``category`` is one of SARDet's classes, or ``building``, which has no boxes there."""

    category: ClassVar[str]

    def box_extent(self, sensor: Sensor) -> Extent:
        """Return the ground extent of the bright return, the annotated box."""
        ...

    def draw_extent(self, sensor: Sensor) -> Extent:
        """Return the extent of every pixel that drawing changes, with wake, shadow, and sidelobes."""
        ...

    def draw(self, canvas: Canvas) -> None:
        """Draw the part that is inside the canvas."""
        ...
