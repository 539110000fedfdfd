"""An open TIFF: the metadata of its header, and its pixels."""

from __future__ import annotations

from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
import rasterio.windows
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Interleaving, MaskFlags

from sarlens.imagery.calibration.vendor_headers import header_calibration
from sarlens.imagery.core.bands import Bands, polarizations
from sarlens.types.render_params import Calibration
from sarlens.types.window import Window

_BAND_TAGS = ("polarization", "polarisation", "name")
_OVERSAMPLING = 1.5
"""Pixels of an overview for each pixel of the rendered image, at least."""


class TiffDataset:
    """A TIFF, or one overview of it, opened by rasterio. Band indexes start at 0.

    Args:
        rasterio_dataset: The open file.
        nodata: Nodata value of all bands; None for those of the file.
    """

    def __init__(self, rasterio_dataset: Any, nodata: float | None = None) -> None:
        self.rasterio_dataset = rasterio_dataset
        self._nodata = nodata
        self.width: int = rasterio_dataset.width
        self.height: int = rasterio_dataset.height
        self.count: int = rasterio_dataset.count
        """Number of bands."""

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers; uint16 for bytes with a scale or offset, since they aren't an 8-bit image."""
        name = self.rasterio_dataset.dtypes[0]
        dtype = np.dtype("complex64" if name == "complex_int16" else name)
        return np.dtype(np.uint16) if dtype == np.uint8 and self._has_scale else dtype

    @property
    def signature(self) -> tuple[np.dtype[Any], int]:
        """Type of the numbers and number of bands, which an overview has in common with its image."""
        return self.dtype, len(self.bands.names)

    @property
    def calibration_factors(self) -> dict[Calibration, float]:
        """Calibration factors of the header. Pixels with a scale or offset aren't digital numbers and have none."""
        if self._has_scale:
            return {}
        return header_calibration(self.rasterio_dataset.tags(), complex_pixels=self.dtype.kind == "c")

    @cached_property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of a tile or strip."""
        rows, cols = self.rasterio_dataset.block_shapes[0]
        return rows, cols

    @property
    def block_bytes(self) -> int:
        """Uncompressed size of a tile or strip, which contains all bands if they are interleaved by pixel."""
        return self.block_shape[0] * self.block_shape[1] * self.dtype.itemsize * self._bands_per_block(1)

    def blocks_to_unpack(self, bands: int, window: Window) -> int:
        """Return the number of tiles and strips that overlap a window."""
        rows, cols = self._blocks(window)
        return rows * cols * (1 if self._is_pixel_interleaved else bands)

    def pixels_to_unpack(self, bands: int, window: Window) -> int:
        """Return pixels times bands of all tiles and strips that overlap a window."""
        rows, cols = self._blocks(window)
        return rows * self.block_shape[0] * cols * self.block_shape[1] * self._bands_per_block(bands)

    @property
    def overview_factors(self) -> list[int]:
        """Reduction of each overview that can be read in place of the image.

        Overviews of complex pixels are never used: a mean of complex values isn't a mean of power. Neither are those
        that took another nodata value for a measurement.
        """
        is_unusable = self.dtype.kind == "c" or self._nodata_differs
        return [] if is_unusable else self.rasterio_dataset.overviews(1)

    def overview_level(self, window: Window, side: int) -> int | None:
        """Return the coarsest overview in which a window has 1.5 times ``side`` pixels; None for full resolution."""
        factors = self.overview_factors
        longest = max(window.width, window.height)
        sufficient = [level for level, factor in enumerate(factors) if longest >= _OVERSAMPLING * side * factor]
        return max(sufficient, key=lambda level: factors[level], default=None)

    @cached_property
    def bands(self) -> Bands:
        """Bands named by description and polarization tag; those of a color map are red, green and blue."""
        if self._palette is not None:
            return Bands.named([[name] for name in "RGB"])
        names = [self._band_names(number) for number in range(1, self.count + 1)]
        shared = polarizations(" ".join(_band_tag_values(self.rasterio_dataset.tags())))
        if len(shared) == self.count:
            names = [[*band_names, name] for band_names, name in zip(names, shared, strict=True)]
        return Bands.named(names)

    @property
    def rgb_indexes(self) -> tuple[int, ...]:
        """Bands of an 8-bit image: red, green and blue if it has three opaque bands, else the default band."""
        opaque = [meaning for meaning in self.rasterio_dataset.colorinterp if meaning is not ColorInterp.alpha]
        return (0, 1, 2) if len(opaque) >= 3 or self._palette is not None else (self.bands.default_index(),)

    def read(self, bands: tuple[int, ...], window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return pixels (band, row, col), and (row, col) whether they are valid in all bands.

        The file's scale and offset are applied. Nodata values, masked and transparent pixels, NaN and infinities are
        invalid. A pixel of bytes is nodata only if all bands are, since one color of three may be 0.
        """
        numbers = [1] if self._palette is not None else [band + 1 for band in bands]
        rasterio_window = rasterio.windows.Window(*window)
        pixels = self.rasterio_dataset.read(numbers, window=rasterio_window)
        values, valid = self.interpret(pixels, bands)
        if MaskFlags.per_dataset in self.rasterio_dataset.mask_flag_enums[numbers[0] - 1]:
            valid &= self.rasterio_dataset.read_masks(numbers[0], window=rasterio_window) > 0
        return values, valid

    @property
    def has_only_numbers(self) -> bool:
        """Whether each pixel is one number that no mask and no color map changes."""
        masked = MaskFlags.per_dataset in self.rasterio_dataset.mask_flag_enums[0]
        return self.count == 1 and not masked and self._palette is None

    def interpret(self, pixels: NDArray[Any], bands: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the values of stored numbers (band, row, col) and their validity, as ``read``, but for masks."""
        numbers = [1] if self._palette is not None else [band + 1 for band in bands]
        missing = self._missing(pixels, numbers)
        missing_in_pixel = (np.logical_and if pixels.dtype == np.uint8 else np.logical_or).reduce(missing, axis=0)
        valid = np.logical_not(missing_in_pixel)
        if self._palette is not None:
            return self._palette[list(bands)][:, pixels[0]], valid
        return self._apply_scale(pixels, numbers), valid

    def _blocks(self, window: Window) -> tuple[int, int]:
        """Return the numbers of rows and columns of blocks that overlap a window."""
        rows, cols = self.block_shape
        return (
            ceil((window.row + window.height) / rows) - window.row // rows,
            ceil((window.col + window.width) / cols) - window.col // cols,
        )

    @property
    def _is_pixel_interleaved(self) -> bool:
        return bool(self.rasterio_dataset.interleaving is Interleaving.pixel)

    def _bands_per_block(self, bands: int) -> int:
        return self.count if self._is_pixel_interleaved else bands

    def _band_names(self, number: int) -> list[str]:
        description = self.rasterio_dataset.descriptions[number - 1]
        return [*([description] if description else []), *_band_tag_values(self.rasterio_dataset.tags(number))]

    @property
    def _nodata_differs(self) -> bool:
        """Whether the file declares another nodata value than the given one, or none."""
        return self._nodata is not None and any(value != self._nodata for value in self.rasterio_dataset.nodatavals)

    def _missing(self, pixels: NDArray[Any], numbers: list[int]) -> NDArray[np.bool_]:
        """Return (band, row, col) whether a value is nodata, NaN or infinite."""
        missing = ~np.isfinite(pixels) if pixels.dtype.kind in "fc" else np.zeros(pixels.shape, dtype=bool)
        for index, number in enumerate(numbers):
            nodata = self.rasterio_dataset.nodatavals[number - 1] if self._nodata is None else self._nodata
            if nodata is not None:
                missing[index] |= pixels[index] == nodata
        return missing

    def _apply_scale(self, pixels: NDArray[Any], numbers: list[int]) -> NDArray[Any]:
        """Apply scale and offset, and extend bytes of fewer than 8 bits to the range of 0 to 255."""
        if self._has_scale:
            scales, offsets = (
                np.array(values)[[number - 1 for number in numbers], None, None] for values in self._scales_and_offsets
            )
            scaled: NDArray[Any] = pixels * scales + offsets
            return scaled.astype(np.result_type(np.float32, pixels.dtype))
        bits = int(self.rasterio_dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
        return pixels * np.uint8(255 // (2**bits - 1)) if pixels.dtype == np.uint8 and bits < 8 else pixels

    @property
    def _scales_and_offsets(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.rasterio_dataset.scales, self.rasterio_dataset.offsets

    @cached_property
    def _has_scale(self) -> bool:
        scales, offsets = self._scales_and_offsets
        return any(scale != 1 for scale in scales) or any(offsets)

    @cached_property
    def _palette(self) -> NDArray[np.uint8] | None:
        """Red, green and blue of each byte, of shape (3, 256), if band 1 is an index into a color map."""
        has_palette = self.rasterio_dataset.colorinterp[0] is ColorInterp.palette
        if not has_palette or self.rasterio_dataset.dtypes[0] != "uint8":
            return None
        entries = self.rasterio_dataset.colormap(1)
        return np.array([entries.get(index, (0, 0, 0, 0))[:3] for index in range(256)], dtype=np.uint8).T


def _band_tag_values(tags: dict[str, str]) -> list[str]:
    """Return the values of the tags that name a band."""
    return [text for key, text in tags.items() if key.lower() in _BAND_TAGS and text]
