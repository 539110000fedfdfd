"""Many windows of one image, read together: the header once, and each block once as long as it is at hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.blob import Blob, Limits
from sarlens.imagery.quantity import recognise
from sarlens.imagery.ranges import PAGE, Ranges
from sarlens.imagery.raster import Raster
from sarlens.imagery.scene import Scene
from sarlens.imagery.strips import AT_ONCE
from sarlens.imagery.tiff import allow, check, chosen, opened
from sarlens.imagery.window import window_in
from sarlens.request import Calibration, Render, Scale, Window

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
    factors: Mapping[Calibration, float]

    def raster(self, window: Window) -> Raster:
        """A window in it, exactly as ``decode`` reads that window alone."""
        rows = slice(window.row - self.window.row, window.row - self.window.row + window.height)
        cols = slice(window.col - self.window.col, window.col - self.window.col + window.width)
        pixels, valid = self.pixels[:, rows, cols], self.valid[rows, cols]
        quantity = recognise(pixels, valid, self.stored, self.scale)
        return Raster(pixels, valid, self.labels, quantity, window, self.factors)


class Reel:
    """An image that stays open in a thread of its own; GDAL lets no two threads read one opening."""

    def __init__(self, blob: Blob, render: Render, side: int, limits: Limits) -> None:
        self.blob = blob
        self._render = render
        self._side = side
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reel")
        self._stack = ExitStack()
        self._ranges: Ranges
        self._scene: Scene
        self._bands: tuple[int, ...]
        self._labels: tuple[str, ...]
        self._factors: Mapping[Calibration, float]

    async def strips(self, windows: Sequence[Window]) -> list[list[Window]]:
        """Windows that are read together: those of a row, next to each other and not too many.

        Large ones are not among them: each is better read alone, by way of overviews or looks.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._strips, windows)

    def _strips(self, windows: Sequence[Window]) -> list[list[Window]]:
        strips: list[list[Window]] = []
        for window in windows:
            if window.pixels > AT_ONCE or self._scene.level(window, self._side) is not None:
                continue
            if strips and strips[-1][0].row == window.row and self._weight([*strips[-1], window]) <= _STRIP_BYTES:
                strips[-1].append(window)
            else:
                strips.append([window])
        return strips

    def _weight(self, windows: Sequence[Window]) -> int:
        return around(windows).pixels * len(self._bands) * self._scene.stored.itemsize

    async def read(self, windows: Sequence[Window]) -> Strip:
        """The pixels of some windows of a row.

        Raises:
            SarlensError: as ``decode``.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, around(windows))

    def _open(self) -> None:
        head = self.blob.read(0, min(PAGE, self.blob.size))
        self._ranges = Ranges(self.blob, head, self._limits.header_bytes)
        self._scene = self._stack.enter_context(opened(self._ranges))
        check(self._scene, self.blob, self._limits)
        self._bands = chosen(self._scene, self._render)
        self._labels = tuple(map(self._scene.bands.label, self._bands))
        self._factors = self._scene.factors

    def _read(self, window: Window) -> Strip:
        window_in(self._scene.width, self._scene.height, window)
        allow(self._ranges, self._scene, len(self._bands), window, self._limits)
        try:
            pixels, valid = self._scene.read(self._bands, window)
        finally:
            self._ranges.check()
        scene, scale = self._scene, self._render.scale
        return Strip(window, pixels, valid, self._labels, scene.stored, scale, self._factors)

    @classmethod
    @asynccontextmanager
    async def of(cls, blob: Blob, render: Render, side: int, limits: Limits) -> AsyncIterator[Reel]:
        """A TIFF, open for as long as the context lasts.

        Raises:
            SarlensError: as ``decode``.
        """
        reel, loop = cls(blob, render, side, limits), asyncio.get_running_loop()
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
