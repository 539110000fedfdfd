"""Regions that words name, ``[x, y, width, height]``: from the image to a tile's picture, and back to the map."""

from __future__ import annotations

import re
from dataclasses import replace
from math import ceil, floor
from typing import Any, NamedTuple

from sarlens.imagery.georeference import Georeference
from sarlens.prompts.classify import BOX
from sarlens.request import Window
from sarlens.tasks import Task

_NUMBER = re.compile(r"-?\d+(?:\.\d*)?")
_MOST = 100

Box = tuple[float, float, float, float]


def boxes_in(text: str) -> list[Box]:
    """The regions that a text names, at most a hundred."""
    found = [[float(number) for number in _NUMBER.findall(match[0])] for match in BOX.finditer(text)]
    return [(x, y, width, height) for x, y, width, height in found[:_MOST]]


def box_of(question: str) -> Box | None:
    """The region that a question is about."""
    return next(iter(boxes_in(question)), None)


class Shrink(NamedTuple):
    """How many pixels of a picture one of the image becomes, along a row and along a column."""

    across: float
    down: float


def rewritten(task: Task, tile: Window, shrink: Shrink) -> Task:
    """A task whose regions are in pixels of the image, with them in pixels of a tile's picture."""

    def moved(match: re.Match[str]) -> str:
        x, y, width, height = (float(number) for number in _NUMBER.findall(match[0]))
        across, down = shrink
        numbers = ((x - tile.col) * across, (y - tile.row) * down, width * across, height * down)
        return f"[{', '.join(f'{number:.1f}' for number in numbers)}]"

    return replace(task, prompt=BOX.sub(moved, task.prompt)) if BOX.search(task.prompt) else task


def on_map(answer: str, tile: Window, shrink: Shrink, place: Georeference | None) -> list[dict[str, Any]]:
    """The regions that an answer names, in pixels of a tile's picture, as GeoJSON geometries on the map.

    What lies outside the tile is cut off; without a place there are none.
    """
    if place is None:
        return []
    inside = [_in_image(box, tile, shrink) for box in boxes_in(answer)]
    return [place.footprint(window) for window in inside if window is not None]


def _in_image(box: Box, tile: Window, shrink: Shrink) -> Window | None:
    """The whole pixels of the image that a box of a tile's picture covers."""
    x, y, width, height = (number / length for number, length in zip(box, shrink * 2, strict=True))
    left, top = max(0, floor(x)), max(0, floor(y))
    right, bottom = min(tile.width, ceil(x + width)), min(tile.height, ceil(y + height))
    if right <= left or bottom <= top:
        return None
    return Window(tile.col + left, tile.row + top, right - left, bottom - top)
