"""Position words for points of an image, given only if unambiguous."""

from __future__ import annotations

from collections.abc import Sequence

ROWS = ("top", "", "bottom")
COLUMNS = ("left", "", "right")


def grid_cell(x: float, y: float) -> str | None:
    """Return one of nine grid cells, such as ``top left`` or ``center``, or None near a border between cells.

    ``x`` and ``y`` are fractions of the image.
    """
    column, row = _third_index(x), _third_index(y)
    if column is None or row is None:
        return None
    return " ".join(word for word in (ROWS[row], COLUMNS[column]) if word) or "center"


def _third_index(fraction: float) -> int | None:
    for index, (low, high) in enumerate(((0.0, 0.3), (0.37, 0.63), (0.7, 1.0))):
        if low <= fraction <= high:
            return index
    return None


def image_side(x: float, y: float) -> str | None:
    """Return left, right, top, bottom, or center, or None near the diagonals and between center and sides.

    ``x`` and ``y`` are fractions of the image.
    """
    dx, dy = 2 * x - 1, 2 * y - 1
    larger, smaller = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
    if larger <= 0.28:
        return "center"
    if larger < 0.40 or smaller > 0.6 * larger:
        return None
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "bottom" if dy > 0 else "top"


def majority_side(points: Sequence[tuple[float, float]]) -> str | None:
    """Return the side of most points, or None.

    The mean and at least 60 % of the points are on that side, and every other side has at most half as many.
    """
    if not points:
        return None
    mean = image_side(sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points))
    sides = [image_side(x, y) for x, y in points]
    if mean is None or sides.count(mean) < 0.6 * len(points):
        return None
    others = [sides.count(side) for side in set(sides) - {mean, None}]
    return mean if max(others, default=0) <= sides.count(mean) / 2 else None
