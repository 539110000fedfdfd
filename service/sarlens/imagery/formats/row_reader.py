"""Reading of many windows of one image together: the header once, and each block once while it is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import UnsupportedImage
from sarlens.imagery.core.image_task import reserve_memory
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import PAGE_BYTES, DecodeLimits
from sarlens.imagery.core.polynomial import ScaleFactorPolynomial
from sarlens.imagery.core.radiometry import apply_looks
from sarlens.imagery.core.raster import Raster, resolve_window
from sarlens.imagery.core.source_image import SourceImage
from sarlens.imagery.formats.infer_quantity import infer_quantity
from sarlens.imagery.formats.reader import TIFF_MAGIC
from sarlens.imagery.formats.tiff import check_limits, requested_looks, reserve_bytes, select_bands
from sarlens.imagery.formats.tiff_dataset import TiffDataset
from sarlens.imagery.formats.tiff_file import TiffFile, map_gdal_errors, open_tiff, open_tiff_file
from sarlens.imagery.formats.windowed_read import MAX_FULL_RES_PIXELS
from sarlens.types.render_params import Calibration, RenderParams, Scale
from sarlens.types.window import Looks, Window

P = ParamSpec("P")
T = TypeVar("T")

_MAX_BLOCK_BYTES = 64 * 2**20
"""Largest size of a row block in bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class RowBlock:
    """Pixels of a bounding window, from which rasters of the windows inside are cut."""

    window: Window
    """Bounding window in pixels of the full resolution."""
    pixels: NDArray[Any]
    """Pixels of shape (band, row, col)."""
    valid: NDArray[np.bool_]
    """Of shape (row, col): whether a pixel is valid in all bands."""
    labels: tuple[str, ...]
    """Names of the bands."""
    dtype: np.dtype[Any]
    """Type of the stored numbers."""
    scale: Scale
    """Scale in the request."""
    looks: Looks | None
    """Looks in the request."""
    calibration_factors: Mapping[Calibration, float | ScaleFactorPolynomial]
    """Calibration factors of the header."""

    def raster(self, window: Window) -> Raster:
        """Return the raster of a window inside the block, equal to the raster that ``read_image`` returns for it."""
        rows = slice(window.row - self.window.row, window.row - self.window.row + window.height)
        cols = slice(window.col - self.window.col, window.col - self.window.col + window.width)
        pixels, valid = self.pixels[:, rows, cols], self.valid[rows, cols]
        quantity = infer_quantity(pixels, valid, self.dtype, self.scale)
        return apply_looks(Raster(pixels, valid, self.labels, quantity, window, self.calibration_factors), self.looks)


class _OpenFile(NamedTuple):
    """An open file of an image, and the indexes of the bands to read."""

    tiff: TiffFile
    dataset: TiffDataset
    bands: tuple[int, ...]
    is_plain: bool
    """Whether it is open without GDAL."""


class RowReader:
    """An open image with a thread of its own, since GDAL doesn't allow two threads to use one dataset."""

    def __init__(
        self, source_image: SourceImage, params: RenderParams, side: int, limits: DecodeLimits, threads: ImageThreads
    ) -> None:
        self._source_image = source_image
        self._params = params
        self._side = side
        self._limits = limits
        self._threads = threads
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="row-reader")
        self._context = copy_context()  # rasterio closes a file only in the context that opened it
        self._stack = ExitStack()
        self._files: list[_OpenFile] = []
        self._labels: tuple[str, ...] = ()

    async def group_windows(self, windows: Sequence[Window], margin: int = 0) -> list[list[Window]]:
        """Group adjacent windows of one row that are read together, with ``margin`` pixels around, up to 64 MiB.

        Large windows are left out, because they are read faster from overviews or averaged over looks. If the image
        isn't a TIFF, all windows are left out.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._group_windows, windows, margin)

    def _group_windows(self, windows: Sequence[Window], margin: int) -> list[list[Window]]:
        groups: list[list[Window]] = []
        for window in windows:
            if (
                not self._files
                or window.pixels > MAX_FULL_RES_PIXELS
                or (self._looks is None and self._first_dataset.overview_level(window, self._side) is not None)
            ):
                continue
            if (
                groups
                and groups[-1][0].row == window.row
                and self._block_bytes([*groups[-1], window], margin) <= _MAX_BLOCK_BYTES
            ):
                groups[-1].append(window)
            else:
                groups.append([window])
        return groups

    def _block_bytes(self, windows: Sequence[Window], margin: int) -> int:
        block = bounding_window(windows)
        return (
            (block.width + 2 * margin)
            * (block.height + 2 * margin)
            * len(self._labels)
            * self._first_dataset.dtype.itemsize
        )

    async def read(self, windows: Sequence[Window]) -> RowBlock:
        """Read the bounding window of a group.

        Raises:
            SarlensError: As ``read_image``.
        """
        return await self._run(self._read, bounding_window(windows))

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        reader = self._source_image.georeferencing_file
        run = partial(self._context.run, work, *args, **kwargs)
        return await self._threads.run_in_pool(self._thread, reader, run)

    @property
    def _first_dataset(self) -> TiffDataset:
        """The first file, which has the size and type of all files."""
        return self._files[0].dataset

    @property
    def _looks(self) -> Looks | None:
        return requested_looks(self._first_dataset, self._params)

    def _open(self) -> None:
        for measurement in self._source_image.measurements:
            reader = measurement.reader
            head = reader.read(0, min(PAGE_BYTES, reader.size))
            if not head.startswith(TIFF_MAGIC):
                return
            tiff = open_tiff_file(reader, head, self._limits)
            plain = tiff.open_plain()
            dataset = TiffDataset(plain, self._params.nodata) if plain else self._open_with_gdal(tiff)
            check_limits(dataset, reader, self._limits)
            bands = select_bands(dataset, self._params) if measurement.band is None else (0,)
            self._files.append(_OpenFile(tiff, dataset, bands, is_plain=plain is not None))
            labels = tuple(map(dataset.bands.label, bands)) if measurement.band is None else (measurement.band,)
            self._labels += labels
        if len({(file.dataset.width, file.dataset.height, file.dataset.dtype) for file in self._files}) > 1:
            raise UnsupportedImage(f"The measurements of {self._source_image.name} aren't images of the same size.")

    def _open_with_gdal(self, tiff: TiffFile) -> TiffDataset:
        return self._stack.enter_context(open_tiff(tiff.ranges, self._params.nodata))

    def _read(self, window: Window) -> RowBlock:
        file_pixels = [self._read_file(number, window) for number in range(len(self._files))]
        pixels = file_pixels[0][0] if len(file_pixels) == 1 else np.concatenate([pixels for pixels, _ in file_pixels])
        valid = np.logical_and.reduce([valid for _, valid in file_pixels])
        dataset = self._first_dataset
        return RowBlock(
            window,
            pixels,
            valid,
            self._labels,
            dataset.dtype,
            self._params.scale,
            self._looks,
            dataset.calibration_factors,
        )

    def _read_file(self, number: int, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        file = self._files[number]
        resolve_window(file.dataset.width, file.dataset.height, window)
        reserve_memory(window.pixels * len(file.bands) * file.dataset.dtype.itemsize)
        file.tiff.ranges.first_error = None  # An earlier read's error may have been transient.
        if file.is_plain:
            with file.tiff.until_not_plain():
                return self._read_pixels(file, window)
            dataset = self._open_with_gdal(file.tiff)
            file = self._files[number] = file._replace(dataset=dataset, is_plain=False)
        with map_gdal_errors(file.tiff.ranges):
            return self._read_pixels(file, window)

    def _read_pixels(self, file: _OpenFile, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        reserve_bytes(file.tiff.ranges, file.dataset, len(file.bands), window, self._limits)
        return file.dataset.read(file.bands, window)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, source_image: SourceImage, params: RenderParams, side: int, limits: DecodeLimits, threads: ImageThreads
    ) -> AsyncIterator[RowReader]:
        """Open an image for the duration of the context.

        Raises:
            SarlensError: As ``read_image``.
        """
        row_reader, loop = cls(source_image, params, side, limits, threads), asyncio.get_running_loop()
        try:
            await row_reader._run(row_reader._open)
            yield row_reader
        finally:
            # A failed read has already raised its error.
            await loop.run_in_executor(row_reader._thread, row_reader._context.run, _close_quietly, row_reader._stack)
            row_reader._thread.shutdown(wait=False)


def _close_quietly(stack: ExitStack) -> None:
    with suppress(Exception):
        stack.close()


def bounding_window(windows: Sequence[Window]) -> Window:
    """Return the smallest window that covers all windows."""
    left, top = min(window.col for window in windows), min(window.row for window in windows)
    right = max(window.col + window.width for window in windows)
    bottom = max(window.row + window.height for window in windows)
    return Window(left, top, right - left, bottom - top)
