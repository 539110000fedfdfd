"""Which part of an image is wanted."""

from __future__ import annotations

from sarlens.errors import WindowOutside
from sarlens.request import Window


def window_in(width: int, height: int, asked: tuple[int, int, int, int] | None) -> Window:
    """The window asked for, or the whole of an image of ``width`` x ``height`` pixels.

    Raises:
        WindowOutside: the window is empty, or some of it lies outside the image.
    """
    if asked is None:
        return Window(0, 0, width, height)
    window = Window(*asked)
    if window.width < 1 or window.height < 1:
        raise WindowOutside(f"The window {list(asked)} is empty: width and height are at least 1.", param="sar.window")
    inside = window.col >= 0 and window.row >= 0
    if not inside or window.col + window.width > width or window.row + window.height > height:
        raise WindowOutside(
            f"The window {list(asked)} reaches outside the image, which is {width} pixels wide and {height} high.",
            param="sar.window",
        )
    return window
