"""The resolution at which a scene is read: an overview, and the looks of its pixels that are averaged."""

from __future__ import annotations

from typing import NamedTuple

from sarlens.imagery.formats.image_header import ImageHeader, Level
from sarlens.types.window import Looks, Window

_MAX_ENLARGEMENT = 1.3
"""Pixels of a tile in a pixel of the overview that is read, at most."""


class Resolution(NamedTuple):
    """A level of an image, averaged over looks."""

    level: Level
    """The full resolution or an overview."""
    looks: Looks
    """Pixels of the level that are averaged."""


def choose_resolution(header: ImageHeader, across: float, down: float) -> Resolution:
    """Return the resolution in which a pixel has about ``across`` columns and ``down`` rows of the image."""
    level = header.levels[0]
    for candidate in header.levels[1:]:
        factors = header.width / candidate.width, header.height / candidate.height
        if factors[0] <= across * _MAX_ENLARGEMENT and factors[1] <= down * _MAX_ENLARGEMENT:
            level = candidate
    looks = Looks(
        max(1, min(level.width, round(across * level.width / header.width))),
        max(1, min(level.height, round(down * level.height / header.height))),
    )
    return Resolution(level, looks)


def resolution_for_side(header: ImageHeader, window: Window, side: int) -> Resolution:
    """Return the resolution in which the longest side of a window has about ``side`` pixels, if it has as many."""
    reduction = max(1.0, max(window.width, window.height) / side)
    return choose_resolution(header, reduction, reduction)


def level_window(header: ImageHeader, resolution: Resolution, window: Window) -> Window:
    """Return the pixels of a level that cover a window of the image, from whole looks to whole looks."""
    level, looks = resolution
    spans = []
    for start, length, size, full, look in (
        (window.col, window.width, level.width, header.width, looks.across),
        (window.row, window.height, level.height, header.height, looks.down),
    ):
        first = start * size // full // look * look
        last = min(size, -(-(start + length) * size // (full * look)) * look)
        spans.append((first, max(1, last - first)))
    (col, width), (row, height) = spans
    return Window(col, row, width, height)
