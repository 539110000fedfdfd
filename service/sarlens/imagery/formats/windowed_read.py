"""Reading of a window, whole or in blocks of rows if it is much larger than the rendered image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.core.image_task import check_task, reserve_memory
from sarlens.imagery.core.radiometry import apply_looks, detect, looks_for_size, multilook
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.formats.infer_quantity import infer_quantity
from sarlens.types.render_params import Scale
from sarlens.types.window import Looks, Window

MAX_FULL_RES_PIXELS = 4 * 2**20
"""Largest number of full-resolution pixels of one band in memory."""


class WindowedDataset(Protocol):
    """An open image that is read by windows."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of the smallest unit that is read: a tile, strip or row."""

    def read(self, bands: tuple[int, ...], window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return pixels (band, row, col), and (row, col) whether they are valid in all bands."""


def read_window(
    dataset: WindowedDataset, bands: tuple[int, ...], window: Window, side: int, looks: Looks | None, scale: Scale
) -> Raster:
    """Read a window as a raster without band names, averaged over ``looks``.

    A window of more than 4 Mi pixels is averaged further, to about twice ``side``, so that memory stays bounded.

    Args:
        dataset: The open image.
        bands: Indexes of the bands, from 0.
        window: Window in pixels of the dataset.
        side: Longest side of the rendered image in pixels.
        looks: Looks in the request.
        scale: Scale in the request.

    Raises:
        BadRequest: The quantity of the pixels can't be inferred.
    """
    total_looks = _total_looks(window, side, looks)
    if window.pixels <= MAX_FULL_RES_PIXELS or total_looks == (1, 1):
        reserve_memory(window.pixels * len(bands) * dataset.dtype.itemsize)
        pixels, valid = dataset.read(bands, window)
        quantity = infer_quantity(pixels, valid, dataset.dtype, scale)
        return apply_looks(Raster(pixels, valid, (), quantity, window), looks)
    blocks = list(_multilook_blocks(dataset, bands, window, total_looks, scale))
    pixels = np.concatenate([block.pixels for block in blocks], axis=1)
    valid = np.concatenate([block.valid for block in blocks])
    return replace(blocks[-1], pixels=pixels, valid=valid, window=window)


def _total_looks(window: Window, side: int, looks: Looks | None) -> Looks:
    """Return the requested looks, times those that the size of the rendered image allows."""
    across, down = looks or (1, 1)
    factor = looks_for_size((ceil(window.height / down), ceil(window.width / across)), side)
    return Looks(across * factor, down * factor)


def _multilook_blocks(
    dataset: WindowedDataset, bands: tuple[int, ...], window: Window, looks: Looks, scale: Scale
) -> Iterator[Raster]:
    """Yield the mean over looks of each block of rows.

    The first block with valid pixels determines the quantity of all. Blocks of rows end where the file's blocks end,
    so that none is fetched and decompressed twice. Rows that don't fill a look are kept for the next block.
    """
    quantity: Quantity | None = None
    remainder: tuple[NDArray[Any], NDArray[np.bool_]] | None = None
    for rows in _row_windows(dataset, window):
        check_task()
        pixels, valid = dataset.read(bands, rows)
        if remainder is not None:
            pixels = np.concatenate([remainder[0], pixels], axis=1)
            valid = np.concatenate([remainder[1], valid])
        is_last = rows.row + rows.height == window.row + window.height
        count = len(valid) if is_last else len(valid) // looks.down * looks.down
        block_quantity = quantity or infer_quantity(pixels[:, :count], valid[:count], dataset.dtype, scale)
        quantity = quantity or (block_quantity if valid[:count].any() else None)
        raster = Raster(pixels[:, :count], valid[:count], (), block_quantity, rows)
        yield multilook(raster if block_quantity is Quantity.BRIGHTNESS else detect(raster), looks)
        remainder = pixels[:, count:], valid[count:]


def _row_windows(dataset: WindowedDataset, window: Window) -> Iterator[Window]:
    """Split a window into windows of whole rows of blocks."""
    block_rows = dataset.block_shape[0]
    max_rows = max(1, MAX_FULL_RES_PIXELS // window.width // block_rows) * block_rows
    stop = window.row + window.height
    row = window.row
    while row < stop:
        next_row = min(stop, (row // block_rows) * block_rows + max_rows)
        yield Window(window.col, row, window.width, next_row - row)
        row = next_row
