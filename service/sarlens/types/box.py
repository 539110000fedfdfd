"""Boxes: rectangles with an upper left corner, in pixels."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle in pixels; the origin is the upper left corner of what it is in."""

    x: float
    """Left edge."""
    y: float
    """Upper edge."""
    width: float
    height: float

    def clip(self, width: float, height: float) -> Box | None:
        """Return the part inside a rectangle of this size at the origin; None if they share no area."""
        left, top = max(0.0, self.x), max(0.0, self.y)
        across, down = min(width, self.x + self.width) - left, min(height, self.y + self.height) - top
        return Box(left, top, across, down) if across > 0 and down > 0 else None
