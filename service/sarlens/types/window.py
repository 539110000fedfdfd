"""Parts of an image: pixel windows and looks."""

from __future__ import annotations

from typing import NamedTuple


class Window(NamedTuple):
    """A rectangle in pixels of the full resolution; the origin is the upper left corner of the image."""

    col: int
    """First column, from 0."""
    row: int
    """First row, from 0."""
    width: int
    """Number of columns."""
    height: int
    """Number of rows."""

    @property
    def pixels(self) -> int:
        """Number of pixels inside."""
        return self.width * self.height


class Looks(NamedTuple):
    """Number of pixels that are averaged into one."""

    across: int
    """Pixels along a row."""
    down: int
    """Pixels along a column."""
