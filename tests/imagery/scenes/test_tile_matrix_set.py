"""Tile matrix sets of maps, compared with morecantile, and that of an image's pixels."""

from __future__ import annotations

import pytest

from sarlens.errors import BadRequest
from sarlens.imagery.scenes.tile_matrix_set import (
    MAP_SETS,
    TileIndex,
    definition,
    map_matrix_set,
    pixel_definition,
    pixel_matrix_set,
)

morecantile = pytest.importorskip("morecantile")


@pytest.mark.parametrize("name", MAP_SETS)
def test_definitions_are_those_of_the_registry(name: str) -> None:
    """Each field, zoom level and cell size equals the registry's, which rounds cells to nine decimals."""
    expected = morecantile.tms.get(name).model_dump(mode="json", exclude_none=True)
    ours = definition(name)
    assert {**ours, "tileMatrices": None} == {**expected, "tileMatrices": None}
    assert len(ours["tileMatrices"]) == len(expected["tileMatrices"]) == 25
    for matrix, other in zip(ours["tileMatrices"], expected["tileMatrices"], strict=True):
        numbers = ("scaleDenominator", "cellSize")
        assert [matrix[number] for number in numbers] == pytest.approx([other[number] for number in numbers], rel=1e-6)
        assert {**matrix, **dict.fromkeys(numbers)} == {**other, **dict.fromkeys(numbers)}


@pytest.mark.parametrize("name", MAP_SETS)
@pytest.mark.parametrize("tile", [TileIndex(0, 0, 0), TileIndex(3, 7, 2), TileIndex(12, 2100, 1354)])
def test_tiles_are_where_the_registry_has_them(name: str, tile: TileIndex) -> None:
    """The edges of a tile are within a thousandth of a pixel of the registry's."""
    box = map_matrix_set(name).box(tile)
    expected = morecantile.tms.get(name).xy_bounds(morecantile.Tile(tile.col, tile.row, tile.zoom))
    pixel = map_matrix_set(name).resolution(tile.zoom)
    edges = [expected.left, expected.top, expected.right, expected.bottom]
    assert list(box) == pytest.approx(edges, abs=pixel / 1000 * max(1, 2**tile.zoom / 100))


def test_pixels_of_an_image_are_a_matrix_set() -> None:
    """An image of 1000 by 600 pixels has three zoom levels; the highest has cells of one pixel, and rows go down."""
    tms = pixel_matrix_set(1000, 600)
    assert (tms.max_zoom, tms.resolution(2), tms.resolution(0)) == (2, 1.0, 4.0)
    assert tms.box(TileIndex(2, 1, 2)) == (256.0, 512.0, 512.0, 768.0)
    assert [matrix["cellSize"] for matrix in pixel_definition(1000, 600)["tileMatrices"]] == [4.0, 2.0, 1.0]


@pytest.mark.parametrize("tile", [TileIndex(25, 0, 0), TileIndex(-1, 0, 0), TileIndex(2, 4, 0), TileIndex(2, 0, -1)])
def test_a_tile_outside_the_set_is_rejected(tile: TileIndex) -> None:
    """A zoom level, column or row that the set doesn't have is a bad request."""
    with pytest.raises(BadRequest):
        map_matrix_set("WebMercatorQuad").box(tile)
