"""The eight turns of a rectangle: of arrays, cells and boxes, and back."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sarlens.imagery.core.turn import NO_TURN, Turn

TURNS = [Turn(*flags) for flags in product((False, True), repeat=3)]


@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_and_its_inverse_change_nothing(turn: Turn) -> None:
    """Of an array that isn't square; all eight results differ."""
    pixels = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(turn.inverse.apply(turn.apply(pixels)), pixels)
    assert len({other.apply(pixels).tobytes() + bytes(other.apply(pixels).shape) for other in TURNS}) == 8
    assert np.array_equal(NO_TURN.apply(pixels), pixels)


@pytest.mark.parametrize("turn", TURNS)
def test_a_box_moves_as_its_pixels_do(turn: Turn) -> None:
    """The pixels of a rectangle in a picture of 7 x 5, and those of its turned rectangle in the turned picture."""
    pixels = np.zeros((5, 7), dtype=bool)
    pixels[1:3, 2:6] = True
    left, top, width, height = map(int, turn.box((2, 1, 4, 2), 7, 5))
    turned = np.zeros_like(turn.apply(pixels))
    turned[top : top + height, left : left + width] = True
    assert np.array_equal(turned, turn.apply(pixels))


def test_a_cell_moves_as_its_pixel_does() -> None:
    """A flip of the rows takes the upper left cell to the lower left, and an exchange to itself."""
    assert Turn(flips_rows=True).cell((0, 0)) == (2, 0)
    assert Turn(transposed=True).cell((0, 0)) == (0, 0)
    assert Turn(True, True, False).cell((0, 1)) == (1, 0)
