"""Reading a window whole, or in strips where it is far larger than the picture made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.quantity import recognise
from sarlens.imagery.radiometry import averaged, detect, looks_across, multilook
from sarlens.imagery.raster import Quantity, Raster
from sarlens.request import Looks, Scale, Window

AT_ONCE = 4 * 2**20
"""Pixels of one band that are held at full resolution."""


class Readable(Protocol):
    """An open image: the type of number in it, rows and columns of its blocks, and its pixels."""

    @property
    def stored(self) -> np.dtype[Any]:
        """The type of number that is read."""

    @property
    def block(self) -> tuple[int, int]:
        """Rows and columns of what is read at a time."""

    def read(self, bands: tuple[int, ...], cells: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Pixels (band, row, col) and where (row, col) all of them are measured."""


def read_window(
    scene: Readable, bands: tuple[int, ...], cells: Window, side: int, looks: Looks | None, scale: Scale
) -> Raster:
    """The window as a Raster of nameless bands, averaged over the ``looks`` that are asked for.

    A large one is averaged further, to about twice the ``side`` of the picture, so that memory stays bounded.

    Raises:
        BadRequest: it is not clear what the pixels measure.
    """
    together = _together(cells, side, looks)
    if cells.pixels <= AT_ONCE or together == (1, 1):
        pixels, valid = scene.read(bands, cells)
        return averaged(Raster(pixels, valid, (), recognise(pixels, valid, scene.stored, scale), cells), looks)
    strips = list(_looks(scene, bands, cells, together, scale))
    pixels = np.concatenate([strip.pixels for strip in strips], axis=1)
    valid = np.concatenate([strip.valid for strip in strips])
    return replace(strips[-1], pixels=pixels, valid=valid, window=cells)


def _together(cells: Window, side: int, looks: Looks | None) -> Looks:
    """The looks that are asked for, times those that the size of the picture allows on top."""
    across, down = looks or (1, 1)
    more = looks_across((ceil(cells.height / down), ceil(cells.width / across)), side)
    return Looks(across * more, down * more)


def _looks(scene: Readable, bands: tuple[int, ...], cells: Window, looks: Looks, scale: Scale) -> Iterator[Raster]:
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
        ready = len(valid) if last else len(valid) // looks.down * looks.down
        meant = quantity or recognise(pixels[:, :ready], valid[:ready], scene.stored, scale)
        quantity = quantity or (meant if valid[:ready].any() else None)
        raster = Raster(pixels[:, :ready], valid[:ready], (), meant, strip)
        yield multilook(raster if meant is Quantity.PICTURE else detect(raster), looks)
        rest = pixels[:, ready:], valid[ready:]


def _strips(scene: Readable, cells: Window) -> Iterator[Window]:
    """A window in strips of whole rows of blocks."""
    block = scene.block[0]
    step = max(1, AT_ONCE // cells.width // block) * block
    bottom = cells.row + cells.height
    row = cells.row
    while row < bottom:
        end = min(bottom, (row // block) * block + step)
        yield Window(cells.col, row, cells.width, end - row)
        row = end
