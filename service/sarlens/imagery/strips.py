"""Reading a window whole, or in strips where it is far larger than the picture made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.quantity import recognise
from sarlens.imagery.radiometry import detect, multilook
from sarlens.imagery.raster import Quantity, Raster
from sarlens.imagery.scene import Scene
from sarlens.request import Scale, Window

AT_ONCE = 4 * 2**20
"""Pixels of one band that are held at full resolution."""


def read_window(scene: Scene, bands: tuple[int, ...], cells: Window, looks: int, scale: Scale) -> Raster:
    """The window as a Raster of nameless bands; a large one as the mean power over looks, so that memory stays bounded.

    Raises:
        BadRequest: it is not clear what the pixels measure.
    """
    if cells.pixels <= AT_ONCE or looks == 1:
        pixels, valid = scene.read(bands, cells)
        return Raster(pixels, valid, (), recognise(pixels, valid, scene.stored, scale), cells)
    strips = list(_looks(scene, bands, cells, looks, scale))
    pixels = np.concatenate([strip.pixels for strip in strips], axis=1)
    valid = np.concatenate([strip.valid for strip in strips])
    return Raster(pixels, valid, (), strips[0].quantity, cells)


def _looks(scene: Scene, bands: tuple[int, ...], cells: Window, looks: int, scale: Scale) -> Iterator[Raster]:
    """The mean over looks, strip by strip; what the first strip with measured pixels is, all are.

    Strips end where blocks do, so that no block is fetched and unpacked twice; rows that make no whole look wait for
    the next strip.
    """
    quantity: Quantity | None = None
    rest: tuple[NDArray[Any], NDArray[np.bool_]] | None = None
    for strip in _strips(scene, cells):
        pixels, valid = scene.read(bands, strip)
        if rest is not None:
            pixels, valid = np.concatenate([rest[0], pixels], axis=1), np.concatenate([rest[1], valid])
        last = strip.row + strip.height == cells.row + cells.height
        ready = len(valid) if last else len(valid) // looks * looks
        meant = quantity or recognise(pixels[:, :ready], valid[:ready], scene.stored, scale)
        quantity = quantity or (meant if valid[:ready].any() else None)
        raster = Raster(pixels[:, :ready], valid[:ready], (), meant, strip)
        yield multilook(raster if meant is Quantity.PICTURE else detect(raster), looks)
        rest = pixels[:, ready:], valid[ready:]


def _strips(scene: Scene, cells: Window) -> Iterator[Window]:
    """A window in strips of whole rows of blocks."""
    block = scene.block[0]
    step = max(1, AT_ONCE // cells.width // block) * block
    bottom = cells.row + cells.height
    row = cells.row
    while row < bottom:
        end = min(bottom, (row // block) * block + step)
        yield Window(cells.col, row, cells.width, end - row)
        row = end
