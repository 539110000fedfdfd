"""A TIFF that has some rows of another one, in any order: the rows stay in the file, under another header.

The measurements of Sentinel-1 SLC are TIFFs in strips of one row. The header of a strip TIFF lists the place of each
strip (TIFF 6.0, section 8), so a list of other places is another image of the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sarlens.errors import UnsupportedImage
from sarlens.imagery.core.object_reader import PAGE_BYTES, DecodeLimits, ObjectReader, RangePrefetcher
from sarlens.imagery.formats.tiff_directories import Layout
from sarlens.imagery.formats.tiff_file import open_tiff_file
from sarlens.imagery.formats.tiff_tags import NotPlain, Tags

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _SAMPLES = 256, 257, 258, 259, 262, 273, 277
_ROWS_PER_STRIP, _LENGTHS, _PLANAR, _PREDICTOR, _TILE_WIDTH, _SAMPLE_FORMAT = 278, 279, 284, 317, 322, 339
_TIE_POINTS, _GEO_KEYS = 33922, 34735
_KEPT = {_BITS: 1, _COMPRESSION: 1, _PHOTOMETRIC: 1, _PLANAR: 1, _PREDICTOR: 1, _SAMPLE_FORMAT: 1}
"""Tags that both images have in common, with their defaults."""
_LONGITUDE_LATITUDE = (1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326)
"""GeoKeys of coordinates in WGS 84, in degrees, of areas and not of points (OGC 19-008r4)."""
_SHORT, _LONG, _DOUBLE, _LONG8 = 3, 4, 12, 16
_CODES = {_SHORT: "u2", _LONG: "u4", _DOUBLE: "f8", _LONG8: "u8"}


class RowHeader(NamedTuple):
    """The header of an image of some rows of a TIFF."""

    start: bytes
    """First bytes of the image; they replace those of the file."""
    end: bytes
    """Bytes after the last one of the file."""


def make_row_header(
    reader: ObjectReader,
    shape: tuple[int, int],
    rows: NDArray[np.int64],
    tie_points: NDArray[np.float64],
    limits: DecodeLimits,
) -> RowHeader:
    """Return the header of an image with some rows of a TIFF. Blocks.

    Args:
        reader: A TIFF of one band in strips of one row.
        shape: Rows and columns that the TIFF must have.
        rows: Rows of the TIFF in the order of the image.
        tie_points: Columns and rows of the image with longitudes and latitudes, of shape (point, 4).
        limits: Limits that the header is checked against.

    Raises:
        UnsupportedImage: The TIFF has another shape, tiles, strips of several rows or several bands, or is damaged.
        SarlensError: The object can't be read.
    """
    file = open_tiff_file(reader, reader.read(0, min(PAGE_BYTES, reader.size)), limits)
    try:
        tags = Tags(file.directories, 0, file.ranges.read_cached)
        fields = _fields(tags, shape, rows, tie_points, wide=file.directories.layout.offset.size == 8)
    except (NotPlain, IndexError):
        file.ranges.raise_first_error()
        expected = f"a TIFF of {shape[1]} x {shape[0]} pixels in strips of one row"
        raise UnsupportedImage(f"{reader.name} isn't {expected}.") from None
    start, end = _encode(file.directories.layout, fields, reader.size)
    return RowHeader(reader.read(0, 4 if file.directories.layout.offset.size == 4 else 8) + start, end)


def _fields(
    tags: Tags, shape: tuple[int, int], rows: NDArray[np.int64], tie_points: NDArray[np.float64], *, wide: bool
) -> dict[int, tuple[int, Any]]:
    """Return type and values of each tag of the new directory."""
    height, width = tags.integer(_HEIGHT), tags.integer(_WIDTH)
    is_rows = tags.integer(_ROWS_PER_STRIP, height) == 1 or height == 1
    if (height, width) != shape or _TILE_WIDTH in tags.numbers or tags.integer(_SAMPLES, 1) != 1 or not is_rows:
        raise NotPlain
    if {tags.count(_OFFSETS), tags.count(_LENGTHS)} != {height} or not rows.size or not 0 <= rows.min() <= rows.max():
        raise NotPlain
    places, lengths = (np.array(tags.slice(tag, 0, height), np.uint64)[rows] for tag in (_OFFSETS, _LENGTHS))
    points = np.zeros((len(tie_points), 6))
    points[:, :2], points[:, 3:5] = tie_points[:, :2], tie_points[:, 2:]
    long = _LONG8 if wide else _LONG
    fields: dict[int, tuple[int, Any]] = {
        _WIDTH: (_LONG, [width]),
        _HEIGHT: (_LONG, [len(rows)]),
        _SAMPLES: (_SHORT, [1]),
        _ROWS_PER_STRIP: (_SHORT, [1]),
        _OFFSETS: (long, places),
        _LENGTHS: (long, lengths),
        _TIE_POINTS: (_DOUBLE, points.ravel()),
        _GEO_KEYS: (_SHORT, _LONGITUDE_LATITUDE),
    }
    return fields | {tag: (_SHORT, [tags.integer(tag, default)]) for tag, default in _KEPT.items()}


def _encode(layout: Layout, fields: dict[int, tuple[int, Any]], size: int) -> tuple[bytes, bytes]:
    """Return the offset of a directory that follows ``size`` bytes, and the directory with its values.

    Raises:
        UnsupportedImage: The file is so large that its offsets have no room.
    """
    inline = layout.offset.size
    values, entries = bytearray(-size % 8), []
    for tag, (kind, numbers) in sorted(fields.items()):
        data = np.asarray(numbers).astype(np.dtype(layout.order + _CODES[kind])).tobytes()
        value = data.ljust(inline, b"\0")
        if len(data) > inline:
            value = _pack_offset(layout, size + len(values))
            values += data + bytes(-len(data) % 8)
        entries.append(layout.entry.pack(tag, kind, len(numbers), value))
    directory = layout.tag_count.pack(len(entries)) + b"".join(entries) + layout.offset.pack(0)
    return _pack_offset(layout, size + len(values)), bytes(values) + directory


def _pack_offset(layout: Layout, offset: int) -> bytes:
    try:
        return layout.offset.pack(offset)
    except struct.error:
        raise UnsupportedImage("The TIFF is so large that it must be a BigTIFF.") from None


@dataclass(frozen=True, slots=True)
class TiffOfRows:
    """An image of some rows of a TIFF; implements ``ObjectReader``, and reads the TIFF."""

    archive: ObjectReader
    """The TIFF, which only this object reads."""
    version: str
    """Version of the image."""
    header: RowHeader
    """Its header."""

    @property
    def name(self) -> str:
        """URL of the TIFF."""
        return self.archive.name

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.archive.size + len(self.header.end)

    @property
    def bytes_fetched(self) -> int:
        """Bytes of the TIFF fetched so far."""
        return self.archive.bytes_fetched

    @property
    def fetch_seconds(self) -> float:
        """Seconds that reads have waited for the network so far."""
        return self.archive.fetch_seconds

    def read(self, start: int, length: int) -> bytes:
        """Return the bytes from ``start`` on; fewer than ``length`` only at the end; raises as the TIFF's reader."""
        stop, inside = start + length, self.archive.size
        data = self.archive.read(start, min(stop, inside) - start) if start < inside else b""
        patch = self.header.start
        if start < len(patch):
            data = patch[start:stop] + data[len(patch) - start :]
        if stop <= inside:
            return data
        return data + self.header.end[max(0, start - inside) : stop - inside]

    def prefetch(self, spans: Sequence[tuple[int, int]]) -> None:
        """Fetch spans (start, stop) of the TIFF into its cache; raises as ``read``."""
        if isinstance(self.archive, RangePrefetcher):
            inside = self.archive.size
            self.archive.prefetch([(start, min(stop, inside)) for start, stop in spans if start < inside])
