"""From a commission to the tiles that are asked about, and what each is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import ceil

import numpy as np

from sarlens.errors import BadRequest, NotGeoreferenced, TooLarge
from sarlens.imagery.georeference import Georeference, Layout
from sarlens.imagery.place import holes_of, parts_of, window_of
from sarlens.imagery.rings import Ring, area, clip
from sarlens.imagery.window import window_in
from sarlens.request import Render, Window
from sarlens.survey.boxes import Shrink, box_of, rewritten
from sarlens.survey.commission import Commission
from sarlens.survey.grid import Grid
from sarlens.tasks import Task

_TOUCH = 1e-6
_GENEROUS = 16
"""Tiles of the window around a polygon that are looked at, in times those that a survey may have."""


@dataclass(frozen=True)
class Plan:
    """What a survey does with one version of an image.

    ``tiles`` are windows in pixels of the full resolution, the same in every run; None is an image of unknown size,
    whole. ``place`` is where the image lies, if that is known. ``size`` is the longest side that the model sees.
    """

    name: str
    version: str
    model: str
    size: int
    place: Georeference | None
    render: Render
    tiles: tuple[Window | None, ...]
    commission: Commission

    @property
    def url(self) -> str:
        """Where the image is: the commission is settled."""
        return str(self.commission.url)

    def at(self, tile: int) -> Render:
        """How a tile is drawn."""
        window = self.tiles[tile]
        return self.render if window is None else self.render.at(window)

    def shrink(self, tile: int) -> Shrink:
        """Pixels of a tile's picture to one of the image; where there are looks, those are pixels before that."""
        window = self.tiles[tile]
        if window is None:
            return Shrink(1.0, 1.0)
        across, down = self.render.looks or (1, 1)
        longest = max(ceil(window.width / across), ceil(window.height / down))
        shrink = min(1.0, (self.render.size or self.size) / longest)
        return Shrink(shrink / across, shrink / down)

    def tasks(self, tile: int) -> list[tuple[int, Task]]:
        """What is asked about a tile, by its number in the commission.

        A question about a region is asked of one tile that holds all of it, in pixels of that tile's picture.
        """
        tasks = list(enumerate(self.commission.tasks))
        window = self.tiles[tile]
        if window is None or self.commission.tile is None:
            return tasks
        asked = [(number, task) for number, task in tasks if self._homes.get(number, tile) == tile]
        return [(number, rewritten(task, window, self.shrink(tile))) for number, task in asked]

    @cached_property
    def _homes(self) -> dict[int, int]:
        """The tile of each question about a region."""
        homes: dict[int, int] = {}
        for number, task in enumerate(self.commission.tasks):
            box = box_of(task.question)
            if box is not None and self.commission.tile is not None:
                holding = [at for at, tile in enumerate(self.tiles) if tile is not None and _holds(tile, box)]
                if not holding:
                    raise BadRequest(
                        f"No tile holds all of the region {list(box)}, which is [x, y, width, height] in pixels of the "
                        "image. Ask for larger tiles or a larger overlap.",
                        param="questions",
                    )
                homes[number] = holding[0]
        return homes

    def check(self) -> None:
        """Raise BadRequest where a question is about a region that lies in no tile."""
        _ = self._homes


def _holds(tile: Window, box: Sequence[float]) -> bool:
    left, top, width, height = box
    across = tile.col <= left and left + width <= tile.col + tile.width
    return across and tile.row <= top and top + height <= tile.row + tile.height


def tiles_of(layout: Layout | None, commission: Commission, most: int) -> tuple[Window | None, ...]:
    """The tiles of a commission, at most ``most``.

    Raises:
        TooLarge: there are more.
        NotGeoreferenced: a survey of an image of which nobody knows where it lies.
        WindowOutside, BadRequest: the image has no such part.
    """
    render, grid = commission.render, commission.grid
    if layout is None:
        if grid is not None or render.on_map:
            raise NotGeoreferenced("The image is no TIFF and does not say where it lies, so it cannot be surveyed.")
        return (None if render.window is None else Window(*render.window),)
    if layout.place is None and (grid is not None or render.on_map):
        raise NotGeoreferenced(layout.why_not)
    if render.on_map and layout.place is not None:
        part = window_of(layout.place, render)
    else:
        part = window_in(layout.width, layout.height, render.window)
    if grid is None:
        return (part,)
    about = grid.how_many(layout.width, layout.height, part)
    found = _within(layout, grid, part, render) if about <= _GENEROUS * most else ()
    tiles = tuple(islice(found, most + 1))
    if len(tiles) > most or about > _GENEROUS * most:
        raise TooLarge(
            f"The survey has {'up to ' if render.polygon else ''}{about} tiles of {grid.tile} pixels in "
            f"{part.width} x {part.height}; one may have {most}. "
            'Ask for a part of the image with "bbox" or "polygon", for a larger "tile", or for less "overlap".',
            param="tile",
        )
    return tiles


def _within(layout: Layout, grid: Grid, part: Window, render: Render) -> Iterator[Window]:
    tiles = grid.within(layout.width, layout.height, part)
    if layout.place is None or not render.on_map:
        yield from tiles
        return
    parts, holes = parts_of(layout.place, render), holes_of(layout.place, render)
    for tile in tiles:
        corners = (
            np.array([tile.col, tile.row], float),
            np.array([tile.col + tile.width, tile.row + tile.height], float),
        )
        shared = sum(_shared(ring, *corners) for ring in parts)
        if shared > _TOUCH and sum(_shared(ring, *corners) for ring in holes) < shared - _TOUCH:
            yield tile


def _shared(ring: Ring, low: Ring, high: Ring) -> float:
    piece = clip(ring, low, high)
    return abs(area(piece)) if len(piece) else 0.0
