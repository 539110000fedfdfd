"""Reading a window whole, or in strips where it is far larger than the picture made of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sarlens.imagery.quantity import recognise
from sarlens.imagery.radiometry import detect, multilook
from sarlens.imagery.raster import Quantity, Raster
from sarlens.imagery.scene import Scene
from sarlens.request import Scale, Window

_AT_ONCE = 4 * 2**20
"""Pixels of one band that are held at full resolution."""


def read_window(scene: Scene, bands: tuple[int, ...], cells: Window, looks: int, scale: Scale) -> Raster:
    """The window as a Raster of nameless bands; a large one as the mean power over looks, so that memory stays bounded.

    Raises:
        BadRequest: it is not clear what the pixels measure.
    """
    if cells.pixels <= _AT_ONCE or looks == 1:
        pixels, valid = scene.read(bands, cells)
        return Raster(pixels, valid, (), recognise(pixels, valid, scene.stored, scale), cells)
    strips = list(_looks(scene, bands, cells, looks, scale))
    pixels = np.concatenate([strip.pixels for strip in strips], axis=1)
    valid = np.concatenate([strip.valid for strip in strips])
    return Raster(pixels, valid, (), strips[0].quantity, cells)


def _looks(scene: Scene, bands: tuple[int, ...], cells: Window, looks: int, scale: Scale) -> Iterator[Raster]:
    """The mean over looks, strip by strip; what the first strip with measured pixels is, all are."""
    step = max(1, _AT_ONCE // cells.width // looks) * looks
    quantity: Quantity | None = None
    for row in range(0, cells.height, step):
        strip = Window(cells.col, cells.row + row, cells.width, min(step, cells.height - row))
        pixels, valid = scene.read(bands, strip)
        meant = quantity or recognise(pixels, valid, scene.stored, scale)
        quantity = quantity or (meant if valid.any() else None)
        raster = Raster(pixels, valid, (), meant, strip)
        yield multilook(raster if meant is Quantity.PICTURE else detect(raster), looks)
