"""Tile grid: a fixed grid from the upper left corner of an image, for equal tiles in all surveys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise, product
from typing import NamedTuple, TypeAlias

from sarlens.types.window import Window

Spans: TypeAlias = list[tuple[int, int]]
"""First pixel of each tile along one side of an image, and the pixel after its last."""


class TileGrid(NamedTuple):
    """Grid of square tiles.

    The grid starts at the upper left corner of the image, also in a survey of a part. Surveys of neighboring parts
    therefore share rendered tiles and their ids. The last tiles of a side move inward to the edge of the image, so that
    all tiles have the same size, unless the image is smaller than a tile.
    """

    tile: int
    """Side of a tile in pixels."""
    overlap: int
    """Pixels that neighboring tiles share."""

    @property
    def stride(self) -> int:
        """Distance between the left edges of neighboring tiles, in pixels."""
        return self.tile - self.overlap

    def count_tiles(self, width: int, height: int, area: Window) -> int:
        """Return the number of tiles that ``tiles`` yields."""
        cols, rows = self.spans(width, height, area)
        return len(cols) * len(rows)

    def tiles(self, width: int, height: int, area: Window) -> Iterator[Window]:
        """Yield the tiles that cover ``area`` of an image of ``width`` x ``height`` pixels, row by row.

        Each pixel belongs to one tile, and can also be in the overlap of others. A tile with pixels of ``area`` only in
        its overlap is left out.
        """
        cols, rows = self.spans(width, height, area)
        for (top, bottom), (left, right) in product(rows, cols):
            yield Window(left, top, right - left, bottom - top)

    def spans(self, width: int, height: int, area: Window) -> tuple[Spans, Spans]:
        """Return the columns, then the rows, at which the tiles of ``tiles`` start and end."""
        return self._spans(width, area.col, area.width), self._spans(height, area.row, area.height)

    def _spans(self, length: int, start: int, extent: int) -> Spans:
        """Return the spans of the tiles that cover ``extent`` pixels from ``start`` along a side of ``length``."""
        last = max(0, -(-(length - self.overlap) // self.stride) - 1)
        indexes = range(min(start // self.stride, last), min((start + extent - 1) // self.stride, last) + 1)
        starts = [min(index * self.stride, max(0, length - self.tile)) for index in indexes]
        return [(first, min(first + self.tile, length)) for first in starts]


def core_spans(spans: Iterable[tuple[int, int]]) -> dict[tuple[int, int], float]:
    """Return the pixels of each span along one side that belong to it alone: neighbors share an overlap by halves."""
    ordered = sorted(set(spans))
    cores = {span: float(span[1] - span[0]) for span in ordered}
    for span, following in pairwise(ordered):
        shared = max(0, span[1] - following[0]) / 2
        cores[span] -= shared
        cores[following] -= shared
    return cores
