"""An open TIFF: what its header says of it, and its pixels."""

from __future__ import annotations

from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
import rasterio.windows
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Interleaving, MaskFlags

from sarlens.imagery.bands import Bands, polarisations
from sarlens.imagery.vendor import factors
from sarlens.request import Calibration, Window

_TAGS = ("polarization", "polarisation", "name")
_OVERSAMPLING = 1.5


class Scene:
    """A TIFF, or one overview of it, opened by rasterio; bands count from 0."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.width: int = dataset.width
        self.height: int = dataset.height
        self.count: int = dataset.count

    @cached_property
    def stored(self) -> np.dtype[Any]:
        """The type of number that is read; of bytes that have a scale or an offset, one that is no picture."""
        name = self.dataset.dtypes[0]
        stored = np.dtype("complex64" if name == "complex_int16" else name)
        return np.dtype(np.uint16) if stored == np.uint8 and self._scaled else stored

    @property
    def kind(self) -> tuple[np.dtype[Any], int]:
        """What an overview has in common with its image: the type of number, and how many bands."""
        return self.stored, len(self.bands.names)

    @property
    def factors(self) -> dict[Calibration, float]:
        """What the header says of calibration; pixels that have a scale of their own are not digital numbers."""
        return {} if self._scaled else factors(self.dataset.tags(), complex_pixels=self.stored.kind == "c")

    @cached_property
    def block(self) -> tuple[int, int]:
        """Rows and columns of a tile or strip."""
        rows, cols = self.dataset.block_shapes[0]
        return rows, cols

    @property
    def block_bytes(self) -> int:
        """What a tile or strip unpacks to; it holds all bands where they are interleaved by pixel."""
        return self.block[0] * self.block[1] * self.stored.itemsize * self._bands_together(1)

    def pixels_to_unpack(self, bands: int, cells: Window) -> int:
        """Pixels times bands of all tiles and strips that a window touches."""
        rows, cols = self.block
        tall = (ceil((cells.row + cells.height) / rows) - cells.row // rows) * rows
        wide = (ceil((cells.col + cells.width) / cols) - cells.col // cols) * cols
        return tall * wide * self._bands_together(bands)

    def level(self, window: Window, side: int) -> int | None:
        """The coarsest overview that leaves a window 1.5 times ``side`` pixels long, or None for the full resolution.

        Overviews of complex pixels are of no use: a mean of phases says nothing of power.
        """
        factors = [] if self.stored.kind == "c" else self.dataset.overviews(1)
        longest = max(window.width, window.height)
        fitting = [level for level, factor in enumerate(factors) if longest >= _OVERSAMPLING * side * factor]
        return max(fitting, key=lambda level: factors[level], default=None)

    @cached_property
    def bands(self) -> Bands:
        """The bands by description and polarisation tag; those of a colour map are red, green and blue."""
        if self._palette is not None:
            return Bands.named([[name] for name in "RGB"])
        names = [self._names(number) for number in range(1, self.count + 1)]
        shared = polarisations(" ".join(_tagged(self.dataset.tags())))
        if len(shared) == self.count:
            names = [[*texts, name] for texts, name in zip(names, shared, strict=True)]
        return Bands.named(names)

    @property
    def colours(self) -> tuple[int, ...]:
        """The bands of a picture: red, green and blue where there are three, else grey."""
        opaque = [at for at, meaning in enumerate(self.dataset.colorinterp) if meaning is not ColorInterp.alpha]
        return (0, 1, 2) if len(opaque) >= 3 or self._palette is not None else (self.bands.default(),)

    def read(self, bands: tuple[int, ...], cells: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Pixels (band, row, col), the file's scale and offset applied, and where (row, col) all are measured.

        Unmeasured are the file's nodata value, what its mask or alpha leaves out, and what is not finite. Of bytes a
        pixel is nodata when all bands are: one colour of three may well be 0.
        """
        numbers = [1] if self._palette is not None else [band + 1 for band in bands]
        box = rasterio.windows.Window(*cells)
        pixels = self.dataset.read(numbers, window=box)
        missing = self._nodata(pixels, numbers)
        absent = np.logical_and if pixels.dtype == np.uint8 else np.logical_or
        valid = np.logical_not(absent.reduce(missing, axis=0))
        if MaskFlags.per_dataset in self.dataset.mask_flag_enums[numbers[0] - 1]:
            valid &= self.dataset.read_masks(numbers[0], window=box) > 0
        if self._palette is not None:
            return self._palette[list(bands)][:, pixels[0]], valid
        return self._calibrated(pixels, numbers), valid

    def _bands_together(self, wanted: int) -> int:
        return self.count if self.dataset.interleaving is Interleaving.pixel else wanted

    def _names(self, number: int) -> list[str]:
        described = self.dataset.descriptions[number - 1]
        return [*([described] if described else []), *_tagged(self.dataset.tags(number))]

    def _nodata(self, pixels: NDArray[Any], numbers: list[int]) -> NDArray[np.bool_]:
        missing = ~np.isfinite(pixels) if pixels.dtype.kind in "fc" else np.zeros(pixels.shape, dtype=bool)
        for at, number in enumerate(numbers):
            value = self.dataset.nodatavals[number - 1]
            if value is not None:
                missing[at] |= pixels[at] == value
        return missing

    def _calibrated(self, pixels: NDArray[Any], numbers: list[int]) -> NDArray[Any]:
        if self._scaled:
            scales, offsets = (np.array(each)[[number - 1 for number in numbers], None, None] for each in self._scale)
            calibrated: NDArray[Any] = pixels * scales + offsets
            return calibrated.astype(np.result_type(np.float32, pixels.dtype))
        bits = int(self.dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
        return pixels * np.uint8(255 // (2**bits - 1)) if pixels.dtype == np.uint8 and bits < 8 else pixels

    @property
    def _scale(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.dataset.scales, self.dataset.offsets

    @cached_property
    def _scaled(self) -> bool:
        return any(scale != 1 for scale in self._scale[0]) or any(self._scale[1])

    @cached_property
    def _palette(self) -> NDArray[np.uint8] | None:
        """Red, green and blue of each byte (3, 256) where band 1 is an index into a colour map."""
        if self.dataset.colorinterp[0] is not ColorInterp.palette or self.dataset.dtypes[0] != "uint8":
            return None
        entries = self.dataset.colormap(1)
        return np.array([entries.get(index, (0, 0, 0, 0))[:3] for index in range(256)], dtype=np.uint8).T


def _tagged(tags: dict[str, str]) -> list[str]:
    """The tags that name a band."""
    return [text for key, text in tags.items() if key.lower() in _TAGS and text]
