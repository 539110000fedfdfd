"""Search for targets in tiles: margins, edges and pixels of the image."""

from __future__ import annotations

import numpy as np
import pytest

from imagery.object_fixtures import make_raster, speckled
from sarlens.imagery.core.radiometry import apply_looks
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.detection.search import TargetSearch
from sarlens.types.cfar_params import CfarParams
from sarlens.types.window import Looks, Window

SEARCH = TargetSearch(CfarParams(), 1000, 800)


def raster_of(window: Window, *targets: Window) -> Raster:
    """Return the amplitude of a window of a sea with bright rectangles at these windows of the image."""
    pixels = np.sqrt(speckled((800, 1000), looks=4))
    for col, row, width, height in targets:
        pixels[row : row + height, col : col + width] = 20
    part = pixels[window.row : window.row + window.height, window.col : window.col + window.width]
    raster = make_raster(part, Quantity.AMPLITUDE)
    return Raster(raster.pixels, raster.valid, raster.bands, raster.quantity, window)


@pytest.mark.parametrize(
    ("tile", "window"),
    [
        (Window(0, 0, 256, 256), Window(0, 0, 292, 292)),
        (Window(256, 256, 256, 256), Window(220, 220, 328, 328)),
        (Window(768, 512, 232, 256), Window(732, 476, 268, 324)),
    ],
)
def test_the_window_is_the_tile_and_a_margin_inside_the_image(tile: Window, window: Window) -> None:
    """The margin is half of the training window of 73 pixels, and stops at the edges of the image."""
    assert SEARCH.window(tile) == window


def test_targets_are_in_pixels_of_the_image() -> None:
    """Targets that touch the tile are returned with their place in the image; those in the margin alone aren't."""
    tile = Window(256, 256, 256, 256)
    ships = Window(300, 400, 6, 4), Window(252, 300, 8, 4), Window(230, 500, 6, 4)
    found = SEARCH.targets(raster_of(SEARCH.window(tile), *ships), tile)
    assert found is not None
    assert sorted((target.col, target.row) for target in found) == [(256, 302), (303, 402)]
    assert not any(target.is_cut for target in found)


def test_looks_change_neither_place_nor_size() -> None:
    """In a raster averaged over 2 x 2 looks, a target has its place and size in pixels of the image."""
    tile = Window(256, 256, 256, 256)
    raster = apply_looks(raster_of(SEARCH.window(tile), Window(300, 400, 8, 6)), Looks(2, 2))
    (target,) = SEARCH.targets(raster, tile) or []
    assert target[:6] == (304, 403, 300, 400, 308, 406)


def test_a_target_that_continues_beyond_the_margin_is_cut() -> None:
    """A long target that reaches the edge of the pixels is cut, unless that is the edge of the image."""
    tile = Window(256, 256, 256, 256)
    (target,) = SEARCH.targets(raster_of(SEARCH.window(tile), Window(480, 300, 100, 6)), tile) or []
    assert target.is_cut
    first = Window(0, 0, 256, 256)
    (target,) = SEARCH.targets(raster_of(SEARCH.window(first), Window(0, 100, 30, 6)), first) or []
    assert not target.is_cut


def test_pixels_without_power_have_no_result() -> None:
    """8-bit brightness and pixels without data give None, and sea without targets an empty list."""
    tile = Window(0, 0, 64, 64)
    sea = raster_of(SEARCH.window(tile))
    assert SEARCH.targets(sea, tile) == []
    blank = Raster(sea.pixels, np.zeros_like(sea.valid), sea.bands, sea.quantity, sea.window)
    assert SEARCH.targets(blank, tile) is None
    picture = make_raster(np.zeros((100, 100), np.uint8), Quantity.BRIGHTNESS)
    assert SEARCH.targets(picture, tile) is None
