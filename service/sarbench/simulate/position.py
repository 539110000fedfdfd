"""Words for where things lie in an image, given only where nobody would choose another word."""

from __future__ import annotations

from collections.abc import Sequence

ROWS = ("top", "", "bottom")
COLUMNS = ("left", "", "right")


def cell_of(x: float, y: float) -> str | None:
    """Which of nine cells a point is in, such as ``top left`` or ``center``; ``x`` and ``y`` in shares of the image.

    None near a border between cells.
    """
    column, row = _third(x), _third(y)
    if column is None or row is None:
        return None
    return " ".join(word for word in (ROWS[row], COLUMNS[column]) if word) or "center"


def _third(share: float) -> int | None:
    for number, (low, high) in enumerate(((0.0, 0.3), (0.37, 0.63), (0.7, 1.0))):
        if low <= share <= high:
            return number
    return None


def side_of(x: float, y: float) -> str | None:
    """Which of left, right, top, bottom and center a point is in; ``x`` and ``y`` in shares of the image.

    None near the diagonals and between the centre and the sides.
    """
    dx, dy = 2 * x - 1, 2 * y - 1
    far, near = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
    if far <= 0.28:
        return "center"
    if far < 0.40 or near > 0.6 * far:
        return None
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "bottom" if dy > 0 else "top"


def most_at(points: Sequence[tuple[float, float]]) -> str | None:
    """The side where most points lie: the mean lies there, so do 60 % of them, and no other side has half as many."""
    if not points:
        return None
    mean = side_of(sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points))
    sides = [side_of(x, y) for x, y in points]
    if mean is None or sides.count(mean) < 0.6 * len(points):
        return None
    others = [sides.count(side) for side in set(sides) - {mean, None}]
    return mean if max(others, default=0) <= sides.count(mean) / 2 else None
