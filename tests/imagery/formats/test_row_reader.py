"""Reading of rows of windows: grouping, equality with single reads, requests, and recovery after errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imagery.object_fixtures import TILED, RecordingReader, encoded, geotiff, speckled
from sarlens.errors import SourceUnavailable, UnsupportedImage, WindowOutOfBounds
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.raster import Raster
from sarlens.imagery.core.source_image import Measurement, SourceImage
from sarlens.imagery.formats import row_reader
from sarlens.imagery.formats.gdal_range_reader import GdalRangeReader
from sarlens.imagery.formats.reader import DecodeLimits, read_image
from sarlens.imagery.formats.row_reader import RowReader, bounding_window
from sarlens.imagery.formats.tiff_directories import read_directories
from sarlens.imagery.formats.tiff_file import open_tiff
from sarlens.imagery.formats.tiff_tags import Tags
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
AMPLITUDE = np.round(300 * np.sqrt(speckled((2, 600, 800)))).astype(np.uint16)
ROW = [Window(col, 100, 200, 150) for col in (0, 200, 400, 600)]


def with_longer_tile(data: bytes, tile: int) -> bytes:
    """Move a tile to the end of a file, with four bytes after its data, which libtiff ignores."""
    directories = read_directories(lambda start, length: data[start : start + length], "image")
    tags = Tags(directories, 0, lambda start, length: data[start : start + length])
    entries = {entry.tag: entry for entry in directories.entries[0]}
    (offset,), (length,) = (tags.slice(tag, tile, tile + 1) for tag in (324, 325))
    changed = bytearray(data + data[offset : offset + length] + b"more")
    for tag, value in ((324, len(data)), (325, length + 4)):
        size = {3: 2, 4: 4}[entries[tag].type]
        start = int.from_bytes(entries[tag].value, "little") + tile * size
        changed[start : start + size] = value.to_bytes(size, "little")
    return bytes(changed)


def source_image(*readers: RecordingReader, bands: tuple[str | None, ...] = (None,)) -> SourceImage:
    """Return an image of one file, or of one file for each band."""
    measurements = tuple(Measurement(*pair) for pair in zip(readers, bands, strict=True))
    return SourceImage("image", measurements, "s3://scenes/image.tif")


@pytest.mark.parametrize(
    "params", [{}, {"bands": (2, 1)}, {"looks": (2, 3)}, {"scale": "db"}, {"calibration": "sigma0"}, {"nodata": 300}]
)
async def test_a_window_of_a_block_equals_the_window_alone(params: dict[str, Any], threads: ImageThreads) -> None:
    """Pixels, mask, bands, quantity and calibration factors are those of ``read_image``."""
    iceye = {"PRODUCT_NAME": "ICEYE", "CALIBRATION_FACTOR": "2"}
    data = geotiff(AMPLITUDE, names=["VV", "VH"], nodata=200, tags={"": iceye}, **TILED)
    async with RowReader.open(
        source_image(RecordingReader(data)), RenderParams(**params), 448, DecodeLimits(), threads
    ) as reader:
        assert await reader.group_windows(ROW) == [ROW]
        block = await reader.read(ROW)
    assert block.window == Window(0, 100, 800, 150)
    for window in ROW:
        alone = read_image(
            RecordingReader(data), RenderParams.model_validate({"window": window, **params}), 448, DecodeLimits()
        )
        assert isinstance(alone, Raster)
        raster = block.raster(window)
        np.testing.assert_array_equal(raster.pixels, alone.pixels)
        np.testing.assert_array_equal(raster.valid, alone.valid)
        assert (raster.bands, raster.quantity, raster.window) == (alone.bands, alone.quantity, alone.window)
        assert raster.calibration_factors == alone.calibration_factors == {"sigma0": 2}


async def test_gdal_takes_over_at_a_tile_that_is_not_plain(
    threads: ImageThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows before and after a tile with bytes after its data have the same pixels. GDAL is opened once, at the tile."""
    opened: list[GdalRangeReader] = []

    def recorded(ranges: GdalRangeReader, nodata: float | None) -> Any:
        opened.append(ranges)
        return open_tiff(ranges, nodata)

    monkeypatch.setattr(row_reader, "open_tiff", recorded)
    reader = RecordingReader(with_longer_tile(geotiff(AMPLITUDE[0], compress="deflate", **TILED), 4))
    async with RowReader.open(source_image(reader), RenderParams(), 448, DecodeLimits(), threads) as rows:
        for row, count in ((0, 0), (256, 1), (512, 1)):
            block = await rows.read([Window(0, row, 800, 80)])
            np.testing.assert_array_equal(block.pixels[0], AMPLITUDE[0, row : row + 80])
            assert len(opened) == count


async def test_a_row_fetches_each_block_once(threads: ImageThreads) -> None:
    """Four windows in a row of 256 x 256 tiles fetch the header and four tiles of each of two rows of tiles."""
    reader = RecordingReader(geotiff(AMPLITUDE[0], **TILED))
    async with RowReader.open(source_image(reader), RenderParams(), 448, DecodeLimits(), threads) as rows:
        before = reader.bytes_fetched
        await rows.read(ROW)
    assert 64 * 1024 <= before <= 2 * 64 * 1024
    assert reader.bytes_fetched - before <= 4 * 256 * 256 * 2


async def test_windows_are_grouped_by_row_up_to_the_block_size(
    monkeypatch: pytest.MonkeyPatch, threads: ImageThreads
) -> None:
    """Windows of one row share a block of at most 64 MiB; here, of three windows of two bands and two bytes."""
    assert row_reader._MAX_BLOCK_BYTES == 64 * 2**20
    data = geotiff(AMPLITUDE, **TILED)
    params = RenderParams(bands=(1, 2))
    for block_bytes, sizes in ((3 * 200 * 150 * 2 * 2, [3, 1, 1]), (3 * 200 * 150 * 2 * 2 - 1, [2, 2, 1])):
        monkeypatch.setattr(row_reader, "_MAX_BLOCK_BYTES", block_bytes)
        async with RowReader.open(source_image(RecordingReader(data)), params, 448, DecodeLimits(), threads) as reader:
            groups = await reader.group_windows([*ROW, Window(0, 250, 200, 150)])
        assert [len(group) for group in groups] == sizes
        assert [window for group in groups for window in group] == [*ROW, Window(0, 250, 200, 150)]


@pytest.mark.parametrize(("params", "grouped"), [({}, [Window(0, 0, 191, 9)]), ({"looks": (1, 1)}, None)])
async def test_windows_that_are_read_from_overviews_are_left_out(
    params: dict[str, Any], grouped: list[Window] | None, threads: ImageThreads
) -> None:
    """At size 64, windows of 192 pixels are read from the overview by 2, unless looks require full resolution."""
    data = geotiff(AMPLITUDE[0], overviews=[2], **TILED)
    windows = [Window(0, 0, 191, 9), Window(191, 0, 192, 9)]
    async with RowReader.open(
        source_image(RecordingReader(data)), RenderParams(**params), 64, DecodeLimits(), threads
    ) as reader:
        assert await reader.group_windows(windows) == [grouped or windows]


async def test_large_windows_are_left_out(threads: ImageThreads) -> None:
    """A window of more than 4 Mi pixels is averaged while it is read, alone."""
    data = geotiff(np.ones((2049, 2048), np.uint16), **TILED)
    windows = [Window(0, 0, 2048, 2048), Window(0, 0, 2048, 2049)]
    async with RowReader.open(
        source_image(RecordingReader(data)), RenderParams(), 448, DecodeLimits(), threads
    ) as reader:
        assert await reader.group_windows(windows) == [windows[:1]]


async def test_an_image_that_is_not_a_tiff_has_no_groups(threads: ImageThreads) -> None:
    """A PNG is read whole for each window, and not by rows."""
    reader = RecordingReader(encoded(AMPLITUDE[0]))
    async with RowReader.open(source_image(reader), RenderParams(), 448, DecodeLimits(), threads) as rows:
        assert await rows.group_windows(ROW) == []


async def test_files_of_a_product_are_bands(threads: ImageThreads) -> None:
    """Each file is one band; a pixel is valid if it is valid in both."""
    files = [AMPLITUDE[0].copy(), AMPLITUDE[1].copy()]
    files[0][110, 10], files[1][120, 20] = 60_000, 60_000
    readers = [RecordingReader(geotiff(pixels, nodata=60_000)) for pixels in files]
    image = source_image(*readers, bands=("VV", "VH"))
    async with RowReader.open(image, RenderParams(), 448, DecodeLimits(), threads) as reader:
        raster = (await reader.read(ROW)).raster(ROW[0])
    assert raster.bands == ("VV", "VH")
    np.testing.assert_array_equal(raster.pixels, [pixels[100:250, :200] for pixels in files])
    assert np.argwhere(~raster.valid).tolist() == [[10, 10], [20, 20]]


async def test_files_of_different_sizes_are_rejected(threads: ImageThreads) -> None:
    """Measurements of a product must have the same size."""
    readers = [RecordingReader(geotiff(AMPLITUDE[0])), RecordingReader(geotiff(AMPLITUDE[0, 1:]))]
    with pytest.raises(UnsupportedImage, match="aren't images of the same size"):
        async with RowReader.open(
            source_image(*readers, bands=("VV", "VH")), RenderParams(), 448, DecodeLimits(), threads
        ):
            pass


async def test_a_read_after_a_transient_error_succeeds(threads: ImageThreads) -> None:
    """An error of the store is raised, and the next read starts without it."""

    class FlakyReader(RecordingReader):
        failing = False

        def read(self, start: int, length: int) -> bytes:
            if self.failing:
                raise SourceUnavailable("The store doesn't respond.")
            return super().read(start, length)

    reader = FlakyReader(geotiff(AMPLITUDE[0], **TILED))
    async with RowReader.open(source_image(reader), RenderParams(), 448, DecodeLimits(), threads) as rows:
        reader.failing = True
        with pytest.raises(SourceUnavailable):
            await rows.read(ROW)
        reader.failing = False
        block = await rows.read(ROW)
    np.testing.assert_array_equal(block.pixels[0], AMPLITUDE[0, 100:250])


async def test_a_window_outside_the_image_is_rejected(threads: ImageThreads) -> None:
    """The bounding window must be inside the image."""
    reader = RecordingReader(geotiff(AMPLITUDE[0]))
    async with RowReader.open(source_image(reader), RenderParams(), 448, DecodeLimits(), threads) as rows:
        with pytest.raises(WindowOutOfBounds):
            await rows.read([Window(700, 0, 101, 10)])


def test_a_bounding_window_covers_all_windows() -> None:
    """Its corners are the extremes of the windows'."""
    assert bounding_window([Window(5, 7, 10, 2), Window(1, 8, 3, 20)]) == Window(1, 7, 14, 21)
