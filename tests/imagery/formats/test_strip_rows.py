"""Rows of uncompressed strips, against GDAL, and views of whole images that read only some of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sarlens.errors import PayloadTooLarge
from sarlens.imagery.core.object_reader import PAGE_BYTES, DecodeLimits, InMemoryObject
from sarlens.imagery.formats.image_header import Level
from sarlens.imagery.formats.strip_rows import StripRows
from sarlens.imagery.formats.tiff import decode_tiff_level, read_tiff_header
from sarlens.imagery.formats.tiff_file import open_tiff_file
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Looks, Window
from support.georeferenced_scenes import geotiff

ROWS, COLS = 300, 2000
STRIPS: dict[str, Any] = {"tiled": False, "compress": "none", "blockxsize": COLS, "blockysize": 1}


class CountingObject(InMemoryObject):
    """An object that counts the bytes that are read."""

    read_bytes = 0

    def read(self, start: int, length: int) -> bytes:
        """The bytes, counted."""
        CountingObject.read_bytes += length
        return super().read(start, length)


def pixels_of(dtype: str) -> Any:
    """Values (row, col) that are all different in a row."""
    values = np.random.default_rng(7).integers(1, 250, (ROWS, COLS))
    return values.astype(dtype) if dtype[0] != "c" else (values + 1j * values[::-1]).astype(dtype)


def opened(tiff: bytes) -> StripRows | None:
    """The rows of a file, with a budget for all of it."""
    reader = InMemoryObject("s3://scenes/x.tif", "v", tiff)
    file = open_tiff_file(reader, tiff[:PAGE_BYTES], DecodeLimits())
    rows = StripRows.open(file.ranges, file.directories)
    if rows is not None:
        rows.reserve_bytes(ROWS, COLS, DecodeLimits())
    return rows


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "complex64"])
@pytest.mark.parametrize("rows_per_strip", [1, 7])
def test_rows_are_those_that_gdal_reads(dtype: str, rows_per_strip: int) -> None:
    """Parts of rows, also of the last strip, which is shorter."""
    pixels = pixels_of(dtype)
    rows = opened(geotiff(pixels, **{**STRIPS, "blockysize": rows_per_strip}))
    assert rows is not None
    numbers = np.array([0, 6, 7, 150, ROWS - 1])
    assert np.array_equal(rows.read(numbers, 100, 900)[0], pixels[numbers, 100:1000])


@pytest.mark.parametrize(
    "profile", [{"compress": "deflate"}, {"tiled": True, "blockxsize": 256, "blockysize": 256}], ids=str
)
def test_other_files_have_no_single_rows(profile: dict[str, Any]) -> None:
    """Compressed strips and tiles."""
    assert opened(geotiff(pixels_of("uint16"), **{**STRIPS, **profile})) is None


def test_strips_of_another_length_have_no_single_rows() -> None:
    """The table of lengths says that a strip is shorter than a row."""
    tiff = bytearray(geotiff(pixels_of("uint16"), **STRIPS))
    length = (2 * COLS).to_bytes(4, "little")
    at = tiff.find(length * 3)
    if at < 0:
        length, at = length[:2], tiff.find(length[:2] * 3)
    tiff[at : at + len(length)] = (1).to_bytes(len(length), "little")
    assert opened(bytes(tiff)) is None


def test_a_view_of_the_whole_image_reads_the_middle_row_of_each_look() -> None:
    """Ten rows a look: power is the mean over columns of one row, and a tenth of the file is read."""
    pixels = pixels_of("uint16")
    pixels = np.repeat(pixels, 4, axis=1)
    tiff = geotiff(pixels, **{**STRIPS, "blockxsize": 4 * COLS})
    reader = CountingObject("s3://scenes/x.tif", "v", tiff)
    header = read_tiff_header(reader, tiff[:PAGE_BYTES], DecodeLimits())
    assert header.has_sparse_rows
    CountingObject.read_bytes = 0
    level, window, looks = Level(None, 4 * COLS, ROWS), Window(0, 0, 4 * COLS, ROWS), Looks(20, 10)
    raster = decode_tiff_level(reader, tiff[:PAGE_BYTES], RenderParams(), level, window, looks, DecodeLimits())
    power = (pixels[5::10].astype(float) ** 2).reshape(ROWS // 10, -1, 20).mean(axis=2)
    assert np.allclose(raster.pixels[0], power, rtol=1e-5)
    assert raster.window == window
    assert CountingObject.read_bytes < 0.2 * len(tiff)


def test_rows_of_a_view_are_limited() -> None:
    """A view of more pixels than the limit is refused before a row is read."""
    tiff = geotiff(pixels_of("uint16"), **STRIPS)
    reader = InMemoryObject("s3://scenes/x.tif", "v", tiff)
    limits = DecodeLimits(window_pixels=30 * COLS - 1)
    with pytest.raises(PayloadTooLarge):
        decode_tiff_level(
            reader,
            tiff[:PAGE_BYTES],
            RenderParams(),
            Level(None, COLS, ROWS),
            Window(0, 0, COLS, ROWS),
            Looks(10, 10),
            limits,
        )
