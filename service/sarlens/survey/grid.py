"""The grid that a scene is cut by: the same for everybody who asks for the same tile and overlap."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from sarlens.request import Window


class Grid(NamedTuple):
    """Tiles of ``tile`` pixels a side that share ``overlap`` pixels with their neighbours.

    They are counted from the upper left corner of the image, whatever part of it is wanted, so that neighbouring
    surveys show models the same pictures under the same ids. Those at the right and the lower edge are narrower.
    """

    tile: int
    overlap: int

    @property
    def stride(self) -> int:
        """Pixels from one tile's edge to the next one's."""
        return self.tile - self.overlap

    def how_many(self, width: int, height: int, area: Window) -> int:
        """How many tiles ``within`` gives."""
        cols, rows = self._numbers(width, area.col, area.width), self._numbers(height, area.row, area.height)
        return len(cols) * len(rows)

    def within(self, width: int, height: int, area: Window) -> Iterator[Window]:
        """The tiles that cover a part of an image of ``width`` x ``height`` pixels, row after row.

        Each pixel is in the tile that is counted for it, and in the overlap of others; tiles that hold no pixel of
        ``area`` but in their overlap are not among these.
        """
        cols, rows = self._numbers(width, area.col, area.width), self._numbers(height, area.row, area.height)
        for row, col in product(rows, cols):
            left, top = col * self.stride, row * self.stride
            yield Window(left, top, min(self.tile, width - left), min(self.tile, height - top))

    def _numbers(self, length: int, start: int, extent: int) -> range:
        last = max(0, -(-(length - self.overlap) // self.stride) - 1)
        return range(min(start // self.stride, last), min((start + extent - 1) // self.stride, last) + 1)
