"""What people build and a radar sees: each with its outline on the ground and its signature."""

from __future__ import annotations

from typing import ClassVar, Protocol

from sarbench.simulate.canvas import Canvas
from sarbench.simulate.geometry import Extent, Sensor


class Target(Protocol):
    """A man-made object. ``category`` is one of SARDet's classes, or ``building``, which has no boxes there."""

    category: ClassVar[str]

    def outline(self, sensor: Sensor) -> Extent:
        """The ground under its bright return: the annotated box."""
        ...

    def reach(self, sensor: Sensor) -> Extent:
        """All the ground that drawing changes: wake, shadow and sidelobes too."""
        ...

    def draw(self, canvas: Canvas) -> None:
        """Draw the part that lies on the canvas."""
        ...
