"""The tiles of a plain TIFF that a window overlaps, and where the file has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rasterio.windows import Window

from sarlens.imagery.formats.tiff_tags import NotPlain, Tags
from sarlens.imagery.formats.tiff_tiles import TileFormat

_OFFSETS, _LENGTHS = 324, 325
_TILE_UNIT = 16
"""Tiles have a multiple of this number of rows and columns."""
_BATCH_BYTES = 64 * 2**20
"""Bytes of tiles that are requested at once."""


class TilePart(NamedTuple):
    """The part of a tile that a window overlaps."""

    offset: int
    """Offset in the file; 0 if the tile isn't stored."""
    length: int
    """Length in the file in bytes."""
    bands: slice | int
    """Bands of the window that the tile has."""
    rows: tuple[slice, slice]
    """Rows of the window and of the tile."""
    cols: tuple[slice, slice]
    """Columns of the window and of the tile."""


class TileTable:
    """Offsets and lengths of the tiles of a directory, of which only those of a window are read.

    Raises:
        NotPlain: the size of the tiles or of the table isn't that of the image.
    """

    def __init__(self, tags: Tags, width: int, height: int, bands: int, tile_format: TileFormat) -> None:
        self._tags = tags
        self._rows, self._cols, bands_per_tile = tile_format.shape
        if not (width and height and self._rows and self._cols) or (self._rows | self._cols) % _TILE_UNIT:
            raise NotPlain
        self._is_by_pixel = bands_per_tile == bands
        self._across, self._down = -(-width // self._cols), -(-height // self._rows)
        tiles = self._across * self._down * (bands // bands_per_tile)
        if {tags.count(_OFFSETS), tags.count(_LENGTHS)} != {tiles}:
            raise NotPlain

    def parts(self, numbers: list[int], window: Window) -> Iterator[TilePart]:
        """Yield the tiles that a window of bands, counted from 1, overlaps, row by row.

        Raises:
            NotPlain: the table is damaged.
        """
        first, last = window.col_off // self._cols, (window.col_off + window.width - 1) // self._cols
        planes: list[tuple[slice | int, int]] = [(slice(None), 0)]
        if not self._is_by_pixel:
            planes = [(band, (number - 1) * self._across * self._down) for band, number in enumerate(numbers)]
        for row in range(window.row_off // self._rows, (window.row_off + window.height - 1) // self._rows + 1):
            rows = _overlap(window.row_off, window.height, row * self._rows, self._rows)
            for bands, start in planes:
                span = start + row * self._across + first, start + row * self._across + last + 1
                tables = (self._tags.slice(tag, *span) for tag in (_OFFSETS, _LENGTHS))
                for col, (offset, length) in enumerate(zip(*tables, strict=True), start=first):
                    if bool(offset) != bool(length):
                        raise NotPlain
                    cols = _overlap(window.col_off, window.width, col * self._cols, self._cols)
                    yield TilePart(offset, length, bands, rows, cols)


def _overlap(start: int, length: int, tile_start: int, tile_length: int) -> tuple[slice, slice]:
    """Return where a window and a tile overlap along one axis, in the window and in the tile."""
    first, last = max(start, tile_start), min(start + length, tile_start + tile_length)
    return slice(first - start, last - start), slice(first - tile_start, last - tile_start)


def batches(parts: Iterator[TilePart]) -> Iterator[list[TilePart]]:
    """Group tiles, so that the bytes of a group are bounded."""
    batch: list[TilePart] = []
    size = 0
    for part in parts:
        if batch and size + part.length > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += part.length
    if batch:
        yield batch
