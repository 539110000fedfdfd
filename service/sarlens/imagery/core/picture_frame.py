"""The place of a picture in its image: the arithmetic of all boxes in questions and answers."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from sarlens.imagery.core.turn import NO_TURN, Turn
from sarlens.types.box import Box
from sarlens.types.window import Window


class PictureFrame(NamedTuple):
    """The part of an image that a picture shows, and the size of the picture."""

    window: Window
    """Part of the image, in pixels of the full resolution."""
    width: float
    """Pixels of the picture in a row, after its turn."""
    height: float
    """Pixels of the picture in a column, after its turn."""
    turn: Turn = NO_TURN
    """Turn of the picture."""

    def to_picture(self, box: Box) -> Box:
        """Return a box of the image in pixels of the picture; it can reach beyond the picture."""
        across, down = self._scale
        scaled = ((box.x - self.window.col) * across, (box.y - self.window.row) * down)
        size = self.window.width * across, self.window.height * down
        return Box(*self.turn.box((*scaled, box.width * across, box.height * down), *size))

    def to_image(self, box: Box) -> Box:
        """Return a box of the picture in pixels of the image; it can reach beyond the window."""
        across, down = self._scale
        x, y, width, height = self.turn.inverse.box(box, self.width, self.height)
        return Box(self.window.col + x / across, self.window.row + y / down, width / across, height / down)

    def reduction(self, looks: tuple[int, int]) -> float:
        """Return the pixels of the window per pixel of the picture along the longest side, after looks."""
        longest = max(ceil(self.window.width / looks[0]), ceil(self.window.height / looks[1]))
        return longest / max(self.width, self.height)

    @property
    def _scale(self) -> tuple[float, float]:
        """Pixels of the picture per pixel of the image, along its rows and columns, before the turn."""
        width, height = (self.height, self.width) if self.turn.transposed else (self.width, self.height)
        return width / self.window.width, height / self.window.height
