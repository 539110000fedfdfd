"""Boxes of questions and answers about a scene: the first one of a question, and those of an answer on the map."""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING, Any

from sarlens.errors import NotGeoreferenced
from sarlens.prompts.boxes import IMAGE_BOXES
from sarlens.types.box import Box
from sarlens.types.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sarlens.imagery.geo.georeference import Georeference


def first_box(question: str) -> Box | None:
    """Return the first box in a question, in pixels of the image, or None."""
    return next(IMAGE_BOXES.read(question, 1, 1), None)


def to_geometries(boxes: Sequence[Box], tile: Window, georeference: Georeference | None) -> list[dict[str, Any]]:
    """Return boxes of the image as GeoJSON geometries, which cover the whole pixels of the tile that they touch.

    Without a position, the list is empty.
    """
    if georeference is None:
        return []
    windows = [_touched(box, tile) for box in boxes]
    try:
        return [georeference.footprint(window) for window in windows if window is not None]
    except NotGeoreferenced:
        return []


def _touched(box: Box, tile: Window) -> Window | None:
    """Return the pixels of the tile that a box touches, or None if there are none."""
    left, top = max(tile.col, floor(box.x)), max(tile.row, floor(box.y))
    right = min(tile.col + tile.width, ceil(box.x + box.width))
    bottom = min(tile.row + tile.height, ceil(box.y + box.height))
    return None if right <= left or bottom <= top else Window(left, top, right - left, bottom - top)
