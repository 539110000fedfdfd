"""Position words for points."""

from __future__ import annotations

import pytest

from sarbench.simulate.position import grid_cell, image_side, majority_side


@pytest.mark.parametrize(
    ("x", "y", "side", "cell"),
    [
        (0.5, 0.5, "center", "center"),
        (0.1, 0.5, "left", "left"),
        (0.9, 0.45, "right", "right"),
        (0.5, 0.05, "top", "top"),
        (0.55, 0.95, "bottom", "bottom"),
        (0.1, 0.1, None, "top left"),
        (0.9, 0.88, None, "bottom right"),
        (0.33, 0.5, None, None),
    ],
)
def test_positions_are_named_only_if_unambiguous(x: float, y: float, side: str | None, cell: str | None) -> None:
    """A corner has no single side, and a border between cells has no name."""
    assert image_side(x, y) == side
    assert grid_cell(x, y) == cell


def test_majority_side_requires_a_clear_majority() -> None:
    """Two of three points are no majority; three of four on one side are."""
    assert majority_side([(0.1, 0.5), (0.1, 0.55), (0.9, 0.5)]) is None
    assert majority_side([(0.1, 0.5), (0.1, 0.55), (0.1, 0.45), (0.5, 0.1)]) == "left"
    assert majority_side([]) is None
