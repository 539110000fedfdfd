"""The grid of a survey."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sarlens.request import Window
from sarlens.survey.grid import Grid


@given(st.data())
def test_tiles_cover_what_is_wanted(data: st.DataObject) -> None:
    """Every pixel that is wanted lies in some tile, no tile reaches outside, and the count is known beforehand."""
    width, height = data.draw(st.integers(1, 900)), data.draw(st.integers(1, 900))
    tile = data.draw(st.integers(64, 512))
    grid = Grid(tile, data.draw(st.integers(0, tile // 2)))
    col, row = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    part = Window(col, row, data.draw(st.integers(1, width - col)), data.draw(st.integers(1, height - row)))
    tiles = list(grid.within(width, height, part))
    seen = np.zeros((height, width), dtype=bool)
    for each in tiles:
        assert each.col >= 0
        assert each.row >= 0
        assert each.col + each.width <= width
        assert each.row + each.height <= height
        seen[each.row : each.row + each.height, each.col : each.col + each.width] = True
    assert seen[part.row : part.row + part.height, part.col : part.col + part.width].all()
    assert len(tiles) == len(set(tiles)) == grid.how_many(width, height, part)


def test_the_grid_does_not_move_with_the_part() -> None:
    """Surveys of parts that overlap share tiles, so that workers see the same pictures."""
    grid = Grid(448, 64)
    one = set(grid.within(5000, 5000, Window(0, 0, 2500, 2500)))
    other = set(grid.within(5000, 5000, Window(1000, 1000, 3000, 3000)))
    assert len(one & other) >= 12
    assert all((tile.col % grid.stride, tile.row % grid.stride) == (0, 0) for tile in one | other)


def test_no_tile_is_left_over_that_others_hold() -> None:
    """At the edge there is no tile whose pixels all lie in the overlap of its neighbour."""
    tiles = list(Grid(448, 64).within(448 + 2 * 384, 448, Window(0, 0, 448 + 2 * 384, 448)))
    assert [tile.col for tile in tiles] == [0, 384, 768]
    assert tiles[-1].width == 448
