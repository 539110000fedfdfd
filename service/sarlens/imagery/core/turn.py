"""Flips and turns of a picture by right angles."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


class Turn(NamedTuple):
    """One of the eight ways to lay a rectangle onto itself: exchange rows and columns first, then flip."""

    transposed: bool = False
    """Whether rows become columns."""
    flips_rows: bool = False
    """Whether the last row comes first."""
    flips_cols: bool = False
    """Whether the last column comes first."""

    @property
    def inverse(self) -> Turn:
        """The turn back."""
        return Turn(True, self.flips_cols, self.flips_rows) if self.transposed else self

    def apply(self, pixels: NDArray[Scalar]) -> NDArray[Scalar]:
        """Turn an array whose last two axes are (row, col)."""
        turned = np.swapaxes(pixels, -1, -2) if self.transposed else pixels
        turned = turned[..., ::-1, :] if self.flips_rows else turned
        turned = turned[..., ::-1] if self.flips_cols else turned
        return np.ascontiguousarray(turned)

    def cell(self, cell: tuple[int, int], side: int = 3) -> tuple[int, int]:
        """Return where a cell (row, col) of a square grid comes to be."""
        ((row, col),) = np.argwhere(self.apply(_marked(cell, side))).tolist()
        return row, col

    def box(
        self, box: tuple[float, float, float, float], width: float, height: float
    ) -> tuple[float, float, float, float]:
        """Return where a rectangle (left, top, width, height) in a picture of ``width`` x ``height`` comes to be."""
        left, top, across, down = box
        if self.transposed:
            left, top, across, down, width, height = top, left, down, across, height, width
        return (
            width - left - across if self.flips_cols else left,
            height - top - down if self.flips_rows else top,
            across,
            down,
        )


NO_TURN = Turn()
"""The turn that changes nothing."""


def _marked(cell: tuple[int, int], side: int) -> NDArray[Any]:
    marked = np.zeros((side, side), dtype=bool)
    marked[cell] = True
    return marked
