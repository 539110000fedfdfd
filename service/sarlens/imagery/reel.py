"""Many windows of one image, read together: the header once, and each block once as long as it is at hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import UnsupportedImage
from sarlens.imagery.blob import Limits
from sarlens.imagery.original import Original
from sarlens.imagery.quantity import recognise
from sarlens.imagery.radiometry import averaged
from sarlens.imagery.ranges import PAGE, Ranges
from sarlens.imagery.raster import Raster
from sarlens.imagery.scene import Scene
from sarlens.imagery.strips import AT_ONCE
from sarlens.imagery.surface import Surface
from sarlens.imagery.tiff import TIFF, allow, check, chosen, in_our_words, looks_of, opened
from sarlens.imagery.window import window_in
from sarlens.request import Calibration, Looks, Render, Scale, Window

_STRIP_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Pixels (band, row, col) of a window that holds others, and where (row, col) they were measured."""

    window: Window
    pixels: NDArray[Any]
    valid: NDArray[np.bool_]
    labels: tuple[str, ...]
    stored: np.dtype[Any]
    scale: Scale
    looks: Looks | None
    factors: Mapping[Calibration, float | Surface]

    def raster(self, window: Window) -> Raster:
        """A window in it, exactly as ``decode`` reads that window alone."""
        rows = slice(window.row - self.window.row, window.row - self.window.row + window.height)
        cols = slice(window.col - self.window.col, window.col - self.window.col + window.width)
        pixels, valid = self.pixels[:, rows, cols], self.valid[rows, cols]
        quantity = recognise(pixels, valid, self.stored, self.scale)
        return averaged(Raster(pixels, valid, self.labels, quantity, window, self.factors), self.looks)


class _Open(NamedTuple):
    """A file of an image that stands open, and the bands of it that are read."""

    ranges: Ranges
    scene: Scene
    bands: tuple[int, ...]


class Reel:
    """An image that stays open in a thread of its own; GDAL lets no two threads read one opening."""

    def __init__(self, original: Original, render: Render, side: int, limits: Limits) -> None:
        self._original = original
        self._render = render
        self._side = side
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reel")
        self._stack = ExitStack()
        self._files: list[_Open] = []
        self._labels: tuple[str, ...] = ()

    async def strips(self, windows: Sequence[Window]) -> list[list[Window]]:
        """Windows that are read together: those of a row, next to each other and not too many.

        Large ones are not among them: each is better read alone, by way of overviews or looks. Nor are any where the
        image is no TIFF.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._strips, windows)

    def _strips(self, windows: Sequence[Window]) -> list[list[Window]]:
        strips: list[list[Window]] = []
        for window in windows:
            if (
                not self._files
                or window.pixels > AT_ONCE
                or (self._looks is None and self._scene.level(window, self._side) is not None)
            ):
                continue
            if strips and strips[-1][0].row == window.row and self._weight([*strips[-1], window]) <= _STRIP_BYTES:
                strips[-1].append(window)
            else:
                strips.append([window])
        return strips

    def _weight(self, windows: Sequence[Window]) -> int:
        return around(windows).pixels * len(self._labels) * self._scene.stored.itemsize

    async def read(self, windows: Sequence[Window]) -> Strip:
        """The pixels of some windows of a row.

        Raises:
            SarlensError: as ``decode``.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, around(windows))

    @property
    def _scene(self) -> Scene:
        """The file that stands for all."""
        return self._files[0].scene

    @property
    def _looks(self) -> Looks | None:
        return looks_of(self._scene, self._render)

    def _open(self) -> None:
        for each in self._original.measurements:
            blob = each.blob
            head = blob.read(0, min(PAGE, blob.size))
            if not head.startswith(TIFF):
                return
            ranges = Ranges(blob, head, self._limits.header_bytes)
            scene = self._stack.enter_context(opened(ranges))
            check(scene, blob, self._limits)
            bands = chosen(scene, self._render) if each.band is None else (0,)
            self._files.append(_Open(ranges, scene, bands))
            self._labels += tuple(map(scene.bands.label, bands)) if each.band is None else (each.band,)
        if len({(file.scene.width, file.scene.height, file.scene.stored) for file in self._files}) > 1:
            raise UnsupportedImage(f"The measurements of {self._original.name} are not images of the same size.")

    def _read(self, window: Window) -> Strip:
        read = [self._read_file(file, window) for file in self._files]
        pixels = read[0][0] if len(read) == 1 else np.concatenate([pixels for pixels, _ in read])
        valid = np.logical_and.reduce([valid for _, valid in read])
        scene, scale = self._scene, self._render.scale
        return Strip(window, pixels, valid, self._labels, scene.stored, scale, self._looks, scene.factors)

    def _read_file(self, file: _Open, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        window_in(file.scene.width, file.scene.height, window)
        allow(file.ranges, file.scene, len(file.bands), window, self._limits)
        file.ranges.failure = None  # what spoilt an earlier read may be over
        with in_our_words(file.ranges):
            return file.scene.read(file.bands, window)

    @classmethod
    @asynccontextmanager
    async def of(cls, original: Original, render: Render, side: int, limits: Limits) -> AsyncIterator[Reel]:
        """A TIFF, open for as long as the context lasts.

        Raises:
            SarlensError: as ``decode``.
        """
        reel, loop = cls(original, render, side, limits), asyncio.get_running_loop()
        try:
            await loop.run_in_executor(reel._thread, reel._open)
            yield reel
        finally:
            # What failed has been raised by the read that it spoilt.
            await loop.run_in_executor(reel._thread, _quietly, reel._stack)
            reel._thread.shutdown(wait=False)


def _quietly(stack: ExitStack) -> None:
    with suppress(Exception):
        stack.close()


def around(windows: Sequence[Window]) -> Window:
    """The window that holds all of them."""
    left, top = min(window.col for window in windows), min(window.row for window in windows)
    right = max(window.col + window.width for window in windows)
    bottom = max(window.row + window.height for window in windows)
    return Window(left, top, right - left, bottom - top)
