"""A TIFF whose directories are known, opened without GDAL or by GDAL with one driver, one file and no network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.session import DummySession

from sarlens.errors import SarlensError, UnsupportedImage
from sarlens.imagery.core.object_reader import DecodeLimits, ObjectReader
from sarlens.imagery.formats.gdal_range_reader import GdalRangeReader
from sarlens.imagery.formats.plain_tiff import PlainTiff
from sarlens.imagery.formats.tiff_dataset import TiffDataset
from sarlens.imagery.formats.tiff_directories import Directories, read_directories
from sarlens.imagery.formats.tiff_tags import NotPlain

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
# Fail at this scan of a JPEG in a TIFF, as each passes over all pixels of its tile; the default of libtiff is 100.
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", "11")

_REFERENCE_DRIVERS = "VRT,DERIVED,GTI,STACIT,STACTA,HTTP,WMS,WMTS,WCS,PLMOSAIC,EEDAI,DAAS"
"""Drivers that open files and URLs that a file names."""
_GDAL_OPTIONS = {
    "GDAL_SKIP": _REFERENCE_DRIVERS,
    # No sidecar files.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GTIFF_IMPLICIT_JPEG_OVR": "NO",
    # Size of the block cache, in MB.
    "GDAL_CACHEMAX": 64,
    # Bytes of compressed blocks that GDAL requests at once. The default is 10 MB; the rest is read block by block.
    "GDAL_MAX_RAW_BLOCK_CACHE_SIZE": 64 * 2**20,
}


@dataclass(frozen=True, slots=True)
class TiffFile:
    """A TIFF whose directories are known."""

    ranges: GdalRangeReader
    """Its bytes."""
    directories: Directories
    """Its directories."""

    @property
    def reader(self) -> ObjectReader:
        """The object."""
        return self.ranges.reader

    def open_plain(self) -> PlainTiff | None:
        """Open the file without GDAL, if it is plain.

        Raises:
            SarlensError: The object can't be read.
        """
        try:
            return PlainTiff.open(self.ranges, self.directories)
        except NotPlain:
            self.ranges.raise_first_error()
            return None

    @contextmanager
    def until_not_plain(self) -> Iterator[None]:
        """End the context without an error if a file that seemed plain isn't. GDAL can then read it.

        What was fetched counts towards the byte budget, and what the context has added to the budget doesn't.

        Raises:
            SarlensError: The object can't be read, or exceeds a limit.
        """
        budget = self.ranges.byte_budget + self.ranges.bytes_fetched
        try:
            yield
        except NotPlain:
            self.ranges.raise_first_error()
            self.ranges.byte_budget = budget - self.ranges.bytes_fetched


def open_tiff_file(reader: ObjectReader, head: bytes, limits: DecodeLimits) -> TiffFile:
    """Read the directories of a TIFF.

    Raises:
        PayloadTooLarge: The file has too many directories or tags.
        SarlensError: The object can't be read.
    """
    range_reader = GdalRangeReader(reader, head, limits.header_bytes)
    directories = read_directories(range_reader.read_cached, reader.name)
    range_reader.raise_first_error()
    return TiffFile(range_reader, directories)


@contextmanager
def open_tiff(range_reader: GdalRangeReader, nodata: float | None = None, **options: Any) -> Iterator[TiffDataset]:
    """Open a TIFF with a nodata value or that of the file, and GDAL's open options; raises as ``map_gdal_errors``."""
    with (
        map_gdal_errors(range_reader),
        rasterio.Env(session=DummySession(), **_GDAL_OPTIONS),
        rasterio.open(range_reader.name, driver="GTiff", opener=range_reader, **options) as dataset,
    ):
        yield TiffDataset(dataset, nodata)


@contextmanager
def map_gdal_errors(range_reader: GdalRangeReader) -> Iterator[None]:
    """Replace GDAL's errors by the first error of the range reader, or else by UnsupportedImage."""
    try:
        yield
    except (SarlensError, RasterioError, CPLE_BaseError, ValueError, KeyError) as error:
        range_reader.raise_first_error()
        if isinstance(error, SarlensError):
            raise
        name = range_reader.reader.name
        raise UnsupportedImage(f"{name} is a damaged TIFF, or of a kind that isn't supported.") from error
    range_reader.raise_first_error()
