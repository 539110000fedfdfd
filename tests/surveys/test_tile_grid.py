"""Tile grid: coverage, edges and equal tiles of neighboring surveys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.surveys.tile_grid import TileGrid, core_spans
from sarlens.types.window import Window


@given(st.data())
def test_tiles_cover_the_area(data: st.DataObject) -> None:
    """Every pixel of the area is in a tile, no tile exceeds the image, and the count is exact."""
    width, height = data.draw(st.integers(1, 900)), data.draw(st.integers(1, 900))
    tile = data.draw(st.integers(64, 512))
    grid = TileGrid(tile, data.draw(st.integers(0, tile // 2)))
    col, row = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    area = Window(col, row, data.draw(st.integers(1, width - col)), data.draw(st.integers(1, height - row)))
    windows = list(grid.tiles(width, height, area))
    covered = np.zeros((height, width), dtype=bool)
    for window in windows:
        assert window.col >= 0
        assert window.row >= 0
        assert window.col + window.width <= width
        assert window.row + window.height <= height
        covered[window.row : window.row + window.height, window.col : window.col + window.width] = True
    assert covered[area.row : area.row + area.height, area.col : area.col + area.width].all()
    assert len(windows) == len(set(windows)) == grid.count_tiles(width, height, area)
    assert {(window.width, window.height) for window in windows} == {(min(tile, width), min(tile, height))}
    cores = core_spans((window.col, window.col + window.width) for window in windows)
    assert min(cores.values()) > 0
    assert sum(cores.values()) == max(last for _, last in cores) - min(first for first, _ in cores)


def test_neighboring_surveys_share_tiles() -> None:
    """Surveys of two areas that overlap by 1500 pixels have at least 12 equal tiles, at multiples of the stride."""
    grid = TileGrid(448, 64)
    one = set(grid.tiles(5000, 5000, Window(0, 0, 2500, 2500)))
    other = set(grid.tiles(5000, 5000, Window(1000, 1000, 3000, 3000)))
    assert len(one & other) >= 12
    assert all((tile.col % grid.stride, tile.row % grid.stride) == (0, 0) for tile in one | other)


@pytest.mark.parametrize(
    ("length", "cols"),
    [
        (448, [(0, 448)]),
        (449, [(0, 448), (1, 448)]),
        (448 + 384, [(0, 448), (384, 448)]),
        (448 + 384 + 1, [(0, 448), (384, 448), (385, 448)]),
        (448 + 2 * 384, [(0, 448), (384, 448), (768, 448)]),
        (100, [(0, 100)]),
        (50, [(0, 50)]),
    ],
)
def test_the_last_tile_moves_inward(length: int, cols: list[tuple[int, int]]) -> None:
    """All tiles have the same size: the last one ends at the edge. A smaller image has one tile of its own size."""
    grid = TileGrid(448, 64)
    tiles = list(grid.tiles(length, 448, Window(0, 0, length, 448)))
    assert [(tile.col, tile.width) for tile in tiles] == cols
    assert {(tile.row, tile.height) for tile in tiles} == {(0, 448)}
    tall = list(grid.tiles(448, length, Window(0, 0, 448, length)))
    assert [(tile.row, tile.height) for tile in tall] == cols


def test_an_overlap_belongs_to_both_tiles_by_halves() -> None:
    """Tiles of 256 pixels with an overlap of 64 have cores of 224 pixels at the ends, and of 192 between."""
    assert core_spans([(0, 256), (192, 448), (384, 640)]) == {(0, 256): 224, (192, 448): 192, (384, 640): 224}
    assert core_spans([(0, 100), (100, 200)]) == {(0, 100): 100, (100, 200): 100}
    assert core_spans([]) == {}


def test_tiles_are_in_rows() -> None:
    """Tiles are ordered by row, then by column."""
    tiles = list(TileGrid(100, 0).tiles(250, 150, Window(0, 0, 250, 150)))
    assert [(tile.col, tile.row) for tile in tiles] == [(0, 0), (100, 0), (150, 0), (0, 50), (100, 50), (150, 50)]


@pytest.mark.parametrize(
    ("area", "cols", "rows"),
    [
        ((0, 0, 1, 1), [0], [0]),
        ((383, 0, 1, 1), [0], [0]),
        ((384, 0, 1, 1), [384], [0]),
        ((383, 767, 2, 2), [0, 384], [384, 768]),
        ((0, 383, 768, 1), [0, 384], [0]),
        ((0, 383, 769, 2), [0, 384, 768], [0, 384]),
        ((1980, 1580, 20, 20), [1552], [1152]),
    ],
)
def test_an_area_has_the_tiles_of_its_first_and_last_pixels(
    area: tuple[int, int, int, int], cols: list[int], rows: list[int]
) -> None:
    """A pixel belongs to the tile of its stride of 384 pixels; the last tile also has the rest of the image."""
    grid, window = TileGrid(448, 64), Window(*area)
    tiles = list(grid.tiles(2000, 1600, window))
    assert [(tile.col, tile.row) for tile in tiles] == [(col, row) for row in rows for col in cols]
    assert grid.count_tiles(2000, 1600, window) == len(cols) * len(rows)
