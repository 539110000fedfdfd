"""A TIFF whose directories are known: its byte budget, and the errors of GDAL."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from rasterio.errors import RasterioIOError

from imagery.object_fixtures import TILED, RecordingReader, geotiff
from sarlens.errors import PayloadTooLarge, SarlensError, UnsupportedImage
from sarlens.imagery.core.object_reader import PAGE_BYTES
from sarlens.imagery.formats.reader import DecodeLimits
from sarlens.imagery.formats.tiff_file import TiffFile, map_gdal_errors, open_tiff_file
from sarlens.imagery.formats.tiff_tags import NotPlain

DATA = geotiff(np.ones((600, 600), np.uint16), **TILED)


def opened(data: bytes = DATA) -> TiffFile:
    """Open a TIFF; the limit of the header is 1 MB."""
    return open_tiff_file(RecordingReader(data), data[:PAGE_BYTES], DecodeLimits(header_bytes=10**6))


def test_a_file_that_is_not_plain_keeps_the_budget_of_its_header() -> None:
    """What was fetched until then counts, and what the window added doesn't; other errors pass."""
    file = opened()
    ranges = file.ranges
    fetched = ranges.bytes_fetched
    assert ranges.byte_budget + fetched == 10**6
    with file.until_not_plain():
        ranges.byte_budget += 5 * 10**6
        ranges.get_byte_ranges([400_000], [1000])
        raise NotPlain
    spent = ranges.bytes_fetched - fetched
    assert spent >= 1000
    assert ranges.byte_budget == 10**6 - fetched - spent
    with file.until_not_plain():
        ranges.byte_budget += 7
    assert ranges.byte_budget == 10**6 - fetched - spent + 7
    with pytest.raises(PayloadTooLarge), file.until_not_plain():
        raise PayloadTooLarge("too large")


def test_an_error_of_the_object_precedes_that_of_the_format() -> None:
    """If the object can't be read, a file that seems not plain is not given to GDAL."""
    file = opened()
    file.ranges.first_error = UnsupportedImage("gone")
    with pytest.raises(UnsupportedImage, match="gone"), file.until_not_plain():
        raise NotPlain
    for error in (RasterioIOError("damaged"), ValueError("x"), KeyError("x"), PayloadTooLarge("x")):
        with pytest.raises(UnsupportedImage, match="gone"), map_gdal_errors(file.ranges):
            raise error
    with pytest.raises(UnsupportedImage, match="gone"), map_gdal_errors(file.ranges):
        pass


@pytest.mark.parametrize("error", [RasterioIOError, ValueError, KeyError])
def test_errors_of_gdal_are_errors_of_the_image(error: Callable[[str], Exception]) -> None:
    """Each error of GDAL says that the TIFF is damaged or not supported, with its name; errors of Sarlens pass."""
    ranges = opened().ranges
    expected = r"^s3://scenes/port\.tif is a damaged TIFF, or of a kind that isn't supported\.$"
    with pytest.raises(UnsupportedImage, match=expected), map_gdal_errors(ranges):
        raise error("x")
    with pytest.raises(PayloadTooLarge, match=r"^large$"), map_gdal_errors(ranges):
        raise PayloadTooLarge("large")


def test_a_plain_file_is_opened() -> None:
    """A plain file is opened, one in strips isn't, and the reader is that of the object."""
    plain = opened().open_plain()
    assert plain is not None
    assert (plain.width, plain.height, plain.count) == (600, 600, 1)
    strips = opened(geotiff(np.ones((9, 9), np.uint16)))
    assert strips.open_plain() is None
    assert strips.reader is strips.ranges.reader


def test_an_object_that_cannot_be_read_is_no_image_for_gdal() -> None:
    """If the directories are past the end of the object, opening it fails with the error of the object."""
    data = b"II*\0" + (2**20).to_bytes(4, "little") + bytes(PAGE_BYTES)

    class Failing(RecordingReader):
        def read(self, start: int, length: int) -> bytes:
            raise UnsupportedImage("gone")

    reader = Failing(data + bytes(2**21))
    with pytest.raises(SarlensError, match="gone"):
        open_tiff_file(reader, data[:PAGE_BYTES], DecodeLimits())
