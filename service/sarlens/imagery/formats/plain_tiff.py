"""Plain tiled TIFFs, read without GDAL: opening one with GDAL takes ten times as long as copying its pixels.

A TIFF is plain if every directory has only tags that ``_READ`` and ``_WITHOUT_EFFECT`` list, tiles without compression
or with DEFLATE, and gray or RGB samples of one type. Further directories are overviews of the first. Anything else,
and any damage, raises ``NotPlain``: GDAL then reads the file, and GDAL alone judges what is damaged.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.dtypes import in_dtype_range
from rasterio.enums import ColorInterp, Interleaving, MaskFlags
from rasterio.windows import Window as RasterioWindow

from sarlens.imagery.core.image_task import check_task
from sarlens.imagery.formats.gdal_range_reader import GdalRangeReader
from sarlens.imagery.formats.tiff_directories import Directories
from sarlens.imagery.formats.tiff_tags import GdalMetadata, NotPlain, Tags, parse_gdal_metadata
from sarlens.imagery.formats.tiff_tiles import TileFormat
from sarlens.imagery.formats.tile_table import TileTable, batches

_SUBFILE_TYPE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_FILL_ORDER, _DESCRIPTION, _ORIENTATION, _SAMPLES, _PLANAR, _PREDICTOR = 266, 270, 274, 277, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 322, 323, 338, 339
_GDAL_METADATA, _GDAL_NODATA = 42112, 42113
_READ = frozenset({254, 256, 257, 258, 259, 262, 266, 270, 274, 277, 284, 317, 322, 323, 324, 325, 338, 339})
_WITHOUT_EFFECT = frozenset({269, 271, 272, 282, 283, 296, 305, 306, 315, 316, 33432, 33550, 33922, 34264})
"""Names of the producer, resolution in print, and the position on the ground."""
_GEO_KEYS = frozenset({34735, 34736, 34737})
_PLAIN = _READ | _WITHOUT_EFFECT | _GEO_KEYS | {_GDAL_METADATA, _GDAL_NODATA}
_GRAY, _RGB = 1, 2
_BY_PIXEL, _BY_BAND = 1, 2
_OVERVIEW = 1
_MAX_DIRECTORIES = 32
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|nan")
_MAX_NODATA = 1e38
"""Numbers near the largest of float32 are rounded by GDAL."""


class PlainTiff:
    """One directory of a plain TIFF, with that part of rasterio's interface that ``TiffDataset`` uses.

    Raises:
        NotPlain: the directory isn't plain.
    """

    def __init__(
        self, ranges: GdalRangeReader, directories: Directories, index: int, overviews: tuple[PlainTiff, ...] = ()
    ) -> None:
        self._ranges = ranges
        self._overviews = overviews
        self._tags = tags = Tags(directories, index, ranges.read_cached)
        if not tags.numbers <= _PLAIN or tags.integer(_FILL_ORDER, 1) != 1 or tags.integer(_ORIENTATION, 1) != 1:
            raise NotPlain
        self.subfile_type = tags.integer(_SUBFILE_TYPE, 0)
        self.width, self.height = tags.integer(_WIDTH), tags.integer(_HEIGHT)
        self.count = tags.integer(_SAMPLES, 1)
        """Number of bands."""
        if not self.count or {tags.count(_BITS), tags.count(_SAMPLE_FORMAT) or self.count} != {self.count}:
            raise NotPlain
        self._is_by_pixel = self.count == 1 or tags.integer(_PLANAR, _BY_PIXEL) == _BY_PIXEL
        shape = tags.integer(_TILE_HEIGHT), tags.integer(_TILE_WIDTH), self.count if self._is_by_pixel else 1
        sample = tags.integer(_SAMPLE_FORMAT, 1), tags.integer(_BITS), directories.layout.order
        self._format = TileFormat.of(*sample, shape, tags.integer(_COMPRESSION, 1), tags.integer(_PREDICTOR, 1))
        self._table = TileTable(tags, self.width, self.height, self.count, self._format)
        self._check()

    @classmethod
    def open(cls, ranges: GdalRangeReader, directories: Directories) -> PlainTiff:
        """Return the image of a file, with its overviews.

        Raises:
            NotPlain: the file isn't plain.
        """
        if not directories.is_whole_chain or not 1 <= len(directories.entries) <= _MAX_DIRECTORIES:
            raise NotPlain
        overviews = tuple(cls(ranges, directories, index) for index in range(1, len(directories.entries)))
        image = cls(ranges, directories, 0, overviews)
        if image.subfile_type or any(
            overview.subfile_type != _OVERVIEW or overview.signature != image.signature for overview in overviews
        ):
            raise NotPlain
        return image

    def overview(self, level: int) -> PlainTiff:
        """Return an overview."""
        return self._overviews[level]

    def _check(self) -> None:
        """Check what the type of the samples doesn't: sizes, colors, nodata and the tables of tiles."""
        extra, photometric = self._tags.integers(_EXTRA_SAMPLES), self._tags.integer(_PHOTOMETRIC)
        colors = {_GRAY: 1, _RGB: 3}.get(photometric, 0)
        if not colors or self.count < colors or extra != (0,) * (self.count - colors):
            raise NotPlain
        dtype = self._format.dtype
        if self._tags.text(_GDAL_NODATA) and (dtype.kind == "c" or dtype.name in {"int64", "uint64"}):
            raise NotPlain
        if self._tags.integer(_PLANAR, _BY_PIXEL) not in {_BY_PIXEL, _BY_BAND}:
            raise NotPlain

    @cached_property
    def _metadata(self) -> GdalMetadata:
        return parse_gdal_metadata(self._tags.text(_GDAL_METADATA), self.count)

    @property
    def signature(self) -> tuple[str, int, str, int]:
        """Properties that overviews have in common with their image."""
        nodata = self._tags.text(_GDAL_NODATA)
        return self._format.sample, self.count, nodata, self._tags.integer(_PHOTOMETRIC)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Name of the type of each band."""
        return (self._format.sample,) * self.count

    @property
    def block_shapes(self) -> list[tuple[int, int]]:
        """Rows and columns of the tiles of each band."""
        return [self._format.shape[:2]] * self.count

    @property
    def interleaving(self) -> Interleaving:
        """Whether a tile has all bands."""
        return Interleaving.pixel if self._is_by_pixel and self.count > 1 else Interleaving.band

    @property
    def colorinterp(self) -> tuple[ColorInterp, ...]:
        """Meaning of each band."""
        is_rgb = self._tags.integer(_PHOTOMETRIC) == _RGB
        known = (ColorInterp.red, ColorInterp.green, ColorInterp.blue) if is_rgb else (ColorInterp.gray,)
        return known + (ColorInterp.undefined,) * (self.count - len(known))

    @property
    def descriptions(self) -> tuple[str | None, ...]:
        """Description of each band."""
        return self._metadata.descriptions

    @property
    def scales(self) -> tuple[float, ...]:
        """Scale of each band: 1."""
        return (1.0,) * self.count

    @property
    def offsets(self) -> tuple[float, ...]:
        """Offset of each band: 0."""
        return (0.0,) * self.count

    @property
    def mask_flag_enums(self) -> tuple[list[MaskFlags], ...]:
        """Kind of mask of each band, which is never a mask of its own."""
        return ([MaskFlags.all_valid if self.nodatavals[0] is None else MaskFlags.nodata],) * self.count

    @cached_property
    def nodatavals(self) -> tuple[float | None, ...]:
        """Nodata value of each band."""
        text = self._tags.text(_GDAL_NODATA).strip(" ")
        if not text:
            return (None,) * self.count
        if not _NUMBER.fullmatch(text) or abs(nodata := float(text)) > _MAX_NODATA:
            raise NotPlain
        return (nodata if in_dtype_range(nodata, self._format.dtype.name) else None,) * self.count

    def tags(self, band: int = 0, ns: str | None = None) -> dict[str, str]:
        """Metadata of the image or of a band, counted from 1; those of other tags than these two aren't needed."""
        if ns is not None:
            return {}
        if band:
            return self._metadata.band_tags[band - 1]
        description = self._tags.text(_DESCRIPTION)
        return {**self._metadata.tags, **({"TIFFTAG_IMAGEDESCRIPTION": description} if description else {})}

    def overviews(self, band: int) -> list[int]:
        """Reduction factor of each overview."""
        return [round(self.width / overview.width) for overview in self._overviews]

    def read(self, numbers: list[int], window: RasterioWindow) -> NDArray[Any]:
        """Return the pixels of bands, counted from 1, in a window, of shape (band, row, col).

        Raises:
            NotPlain: a tile is damaged.
            SarlensError: the object can't be read, or needs more bytes than its budget.
        """
        pixels = np.empty((len(numbers), window.height, window.width), self._format.dtype)
        for batch in batches(self._table.parts(numbers, window)):
            stored = [tile for tile in batch if tile.length]
            found = self._ranges.get_byte_ranges([tile.offset for tile in stored], [tile.length for tile in stored])
            self._ranges.raise_first_error()
            for tile, data in zip(stored, found, strict=True):
                check_task()
                samples = self._format.decode(data)[tile.rows[1], tile.cols[1]]
                target = pixels[tile.bands, tile.rows[0], tile.cols[0]]
                if isinstance(tile.bands, int):
                    target[...] = samples[..., 0]
                else:
                    for plane, number in zip(target, numbers, strict=True):
                        plane[...] = samples[..., number - 1]
            for tile in batch:
                if not tile.length:
                    pixels[tile.bands, tile.rows[0], tile.cols[0]] = self._fill_value
        return pixels

    @property
    def _fill_value(self) -> float:
        """The value of pixels whose tile isn't stored."""
        nodata = self.nodatavals[0]
        is_exact = nodata is not None and (self._format.dtype.kind == "f" or nodata.is_integer())
        if self._tags.text(_GDAL_NODATA) and not is_exact:
            raise NotPlain
        return nodata or 0
