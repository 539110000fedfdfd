"""Regions ``[x, y, width, height]`` in questions and answers: from image pixels to tile pixels, and to the map."""

from __future__ import annotations

import re
from dataclasses import replace
from math import ceil, floor
from typing import TYPE_CHECKING, Any, NamedTuple

from sarlens.errors import NotGeoreferenced
from sarlens.imagery.core.turn import NO_TURN, Turn
from sarlens.inference.sar_tasks import Task
from sarlens.prompts.classify import BOX
from sarlens.types.window import Window

if TYPE_CHECKING:
    from sarlens.imagery.geo.georeference import Georeference

_NUMBER = re.compile(r"-?\d+(?:\.\d*)?")
_MAX_BOXES = 100
"""Number of regions that are read from one text."""

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""


def parse_boxes(text: str) -> list[Box]:
    """Return the first 100 regions in a text."""
    numbers = [[float(number) for number in _NUMBER.findall(match[0])] for match in BOX.finditer(text)]
    return [(x, y, width, height) for x, y, width, height in numbers[:_MAX_BOXES]]


def first_box(question: str) -> Box | None:
    """Return the first region in a question, or None."""
    return next(iter(parse_boxes(question)), None)


class ScaleFactor(NamedTuple):
    """Pixels of the rendered tile per pixel of the image."""

    cols: float
    rows: float


def to_tile_coordinates(task: Task, tile: Window, scale: ScaleFactor, turn: Turn = NO_TURN) -> Task:
    """Return the task with the regions of its prompt in pixels of the rendered tile instead of pixels of the image."""

    def rescale(match: re.Match[str]) -> str:
        x, y, width, height = (float(number) for number in _NUMBER.findall(match[0]))
        box = ((x - tile.col) * scale.cols, (y - tile.row) * scale.rows, width * scale.cols, height * scale.rows)
        box = turn.box(box, tile.width * scale.cols, tile.height * scale.rows)
        return f"[{', '.join(f'{number:.1f}' for number in box)}]"

    return replace(task, prompt=BOX.sub(rescale, task.prompt)) if BOX.search(task.prompt) else task


def to_geometries(
    answer: str, tile: Window, scale: ScaleFactor, georeference: Georeference | None, turn: Turn = NO_TURN
) -> list[dict[str, Any]]:
    """Return the regions of an answer as GeoJSON geometries, clipped to the tile.

    The regions are in pixels of the rendered tile. Without a position, the list is empty.
    """
    if georeference is None:
        return []
    windows = [_image_window(box, tile, scale) for box in boxes_before_turn(answer, tile, scale, turn)]
    try:
        return [georeference.footprint(window) for window in windows if window is not None]
    except NotGeoreferenced:
        return []


def boxes_before_turn(answer: str, tile: Window, scale: ScaleFactor, turn: Turn) -> list[Box]:
    """Return the regions of an answer in pixels of the rendered tile as it is before its turn."""
    width, height = tile.width * scale.cols, tile.height * scale.rows
    if turn.transposed:
        width, height = height, width
    return [turn.inverse.box(box, width, height) for box in parse_boxes(answer)]


def _image_window(box: Box, tile: Window, scale: ScaleFactor) -> Window | None:
    """Return the pixels of the image that a region of the rendered tile touches, or None outside the tile."""
    x, y, width, height = (length / factor for length, factor in zip(box, scale * 2, strict=True))
    left, top = max(0, floor(x)), max(0, floor(y))
    right, bottom = min(tile.width, ceil(x + width)), min(tile.height, ceil(y + height))
    if right <= left or bottom <= top:
        return None
    return Window(tile.col + left, tile.row + top, right - left, bottom - top)
