"""TIFF of many forms: which pixels are read, and how many bytes are fetched for them."""

from __future__ import annotations

import asyncio
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import MemoryFile

from imagery.object_fixtures import TILED, RecordingReader, geotiff, raster_of
from sarlens.errors import NotGeoreferenced, PayloadTooLarge, SourceChanged, UnsupportedImage, WindowOutOfBounds
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.formats.gdal_range_reader import GdalRangeReader, RangeFile
from sarlens.imagery.formats.reader import DecodeLimits, read_extent, read_image
from sarlens.imagery.formats.tiff import _scale_window, check_limits, reserve_bytes
from sarlens.imagery.formats.tiff_file import open_tiff
from sarlens.imagery.geo.georeference import Georeference
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RAMP = np.arange(30 * 40).reshape(30, 40)
PAGE = 64 * 1024
FORMS = [("NO", "BIG"), ("YES", "LITTLE"), ("YES", "BIG")]


def read_raster(reader: RecordingReader, size: int = 448, **params: Any) -> Raster:
    """Read a raster through a reader that records its reads."""
    raster = read_image(reader, RenderParams(**params), size, DecodeLimits())
    assert isinstance(raster, Raster)
    return raster


@pytest.mark.parametrize(
    ("dtype", "quantity"),
    [
        ("uint8", Quantity.BRIGHTNESS),
        ("uint16", Quantity.AMPLITUDE),
        ("int16", Quantity.AMPLITUDE),
        ("float32", Quantity.INTENSITY),
        ("float64", Quantity.INTENSITY),
        ("complex64", Quantity.COMPLEX),
        ("complex128", Quantity.COMPLEX),
    ],
)
@pytest.mark.parametrize(
    "layout", [{}, TILED | {"compress": "deflate"}, *({"BIGTIFF": big, "ENDIANNESS": order} for big, order in FORMS)]
)
def test_every_type_of_number_is_read_exactly(dtype: str, quantity: Quantity, layout: dict[str, Any]) -> None:
    """Pixels equal the stored ones for every type, tiling, byte order and offset size."""
    pixels = (RAMP % 200).astype(dtype)
    raster = raster_of(geotiff(pixels, **layout))
    np.testing.assert_array_equal(raster.pixels, pixels[np.newaxis])
    assert (raster.quantity, raster.shape) == (quantity, (30, 40))
    assert raster.valid.all()


def test_complex_integers_are_read() -> None:
    """A single-look complex image of 16-bit integers, as Capella delivers it, is COMPLEX with its phase."""
    pixels = (RAMP - 500 + 1j * (RAMP % 7)).astype(np.complex64)
    with MemoryFile() as file:
        with file.open(driver="GTiff", width=40, height=30, count=1, dtype="complex_int16") as dataset:
            dataset.write(pixels, 1)
        raster = raster_of(bytes(file.getbuffer()))
    np.testing.assert_array_equal(raster.pixels[0], pixels)
    assert raster.quantity is Quantity.COMPLEX


@given(st.integers(0, 39), st.integers(0, 29), st.integers(1, 40), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_a_window_has_those_pixels_of_the_image(col: int, row: int, width: int, height: int) -> None:
    """A window inside the image has the image's pixels; any other is rejected with the image's size."""
    data = geotiff(RAMP.astype(np.uint16), **TILED)
    if col + width <= 40 and row + height <= 30:
        raster = raster_of(data, window=(col, row, width, height))
        np.testing.assert_array_equal(raster.pixels[0], RAMP[row : row + height, col : col + width])
        assert raster.window == (col, row, width, height)
    else:
        with pytest.raises(WindowOutOfBounds, match=r"40.*30"):
            raster_of(data, window=(col, row, width, height))


@pytest.mark.parametrize("window", [(0, 0, 0, 5), (0, 0, 5, 0), (-1, 0, 5, 5), (0, -1, 5, 5), (2**31, 2**31, 1, 1)])
def test_an_impossible_window_is_rejected(window: tuple[int, int, int, int]) -> None:
    """An empty window, or one that starts outside the image, is an error of the request."""
    with pytest.raises(WindowOutOfBounds):
        raster_of(geotiff(RAMP.astype(np.uint16)), window=window)


def test_a_window_fetches_only_its_own_blocks() -> None:
    """512 x 512 pixels of an image of 8192 x 8192 fetch four blocks and one header page, in three requests."""
    pixels = np.random.default_rng(0).integers(1, 4000, (8192, 8192), dtype=np.uint16)
    reader = RecordingReader(geotiff(pixels, tiled=True, blockxsize=512, blockysize=512))
    raster = read_raster(reader, window=(3000, 5000, 512, 512))
    np.testing.assert_array_equal(raster.pixels[0], pixels[5000:5512, 3000:3512])
    assert reader.size > 128 * 2**20
    assert reader.bytes_fetched <= 4 * 512 * 512 * 2 + PAGE
    assert len(reader.reads) == 3


def test_a_window_of_32_mib_is_fetched_in_one_request_for_each_row_of_tiles() -> None:
    """GDAL requests up to 64 MiB of blocks at once: here, eight runs of eight adjacent tiles of 512 KiB."""
    pixels = np.random.default_rng(0).integers(1, 4000, (4096, 8192), dtype=np.uint16)
    reader = RecordingReader(geotiff(pixels, tiled=True, blockxsize=512, blockysize=512))
    raster = read_raster(reader, size=2048, window=(4096, 0, 4096, 4096))
    assert raster.shape == (4096, 4096)
    header = [length for start, length in reader.reads if start < PAGE]
    assert [length for start, length in reader.reads if start >= PAGE] == [8 * 512 * 512 * 2] * 8
    assert header == [PAGE]


def test_gdal_opens_no_other_file() -> None:
    """For pixels, overviews and the georeference, GDAL opens the path of the image only."""
    paths = []

    class RecordingRanges(GdalRangeReader):
        def open(self, path: str, mode: str = "rb") -> RangeFile:
            paths.append(path)
            return super().open(path, mode)

        def isfile(self, path: str) -> bool:
            paths.append(path)
            return super().isfile(path)

    data = geotiff(np.ones((600, 600), np.uint16), overviews=[2], **TILED)
    for options in ({}, {"OVERVIEW_LEVEL": 0}):
        with open_tiff(RecordingRanges(RecordingReader(data), data[:PAGE], 2**20), **options) as dataset:
            dataset.read((0,), Window(0, 0, 10, 10))
            dataset.overview_level(Window(0, 0, 600, 600), 16)
            with suppress(NotGeoreferenced):
                Georeference.from_dataset(dataset.rasterio_dataset, "image")
    assert set(paths) == {"image.tif"}


def test_a_whole_scene_is_read_from_its_overview() -> None:
    """For an image of 4096 x 4096 at 448 pixels, only the overview of 1024 pixels is fetched."""
    scene = np.random.default_rng(0).integers(1, 4000, (4096, 4096), dtype=np.uint16)
    reader = RecordingReader(geotiff(scene, overviews=[2, 4, 8], **TILED))
    raster = read_raster(reader)
    assert raster.shape == (1024, 1024)
    assert raster.window == (0, 0, 4096, 4096)
    assert reader.bytes_fetched < reader.size / 12


@pytest.mark.parametrize(
    "window", [(512, 1024, 512, 512), (260, 8, 400, 300), (1, 3, 399, 201), (1999, 2001, 49, 47), (0, 0, 2048, 2048)]
)
def test_an_overview_has_the_pixels_of_the_window(window: tuple[int, int, int, int]) -> None:
    """Each overview pixel that overlaps the window is read, at its offset. Others aren't."""
    scene = np.random.default_rng(0).integers(1, 60_000, (2048, 2048), dtype=np.uint16)
    data = geotiff(scene, overviews=[2, 4, 8], resampling=Resampling.nearest, **TILED)
    col, row, width, height = window
    raster = raster_of(data, size=16, window=window)
    factor = max([1, *(factor for factor in (2, 4, 8) if max(width, height) >= 1.5 * 16 * factor)])
    overview = read_overview(data, factor)
    cols = slice(col // factor, -(-(col + width) // factor))
    np.testing.assert_array_equal(raster.pixels[0], overview[row // factor : -(-(row + height) // factor), cols])
    assert raster.window == window


def read_overview(data: bytes, factor: int) -> NDArray[np.uint16]:
    """Read the whole overview of a factor by rasterio."""
    options = {} if factor == 1 else {"overview_level": [2, 4, 8].index(factor)}
    with MemoryFile(data) as file, file.open(**options) as dataset:
        pixels: NDArray[np.uint16] = dataset.read(1)
        assert pixels.shape == (2048 // factor, 2048 // factor)
        return pixels


@pytest.mark.parametrize(
    ("window", "factors", "expected"),
    [
        (Window(8, 12, 16, 20), (0.5, 0.25), Window(4, 3, 8, 5)),
        (Window(9, 13, 16, 20), (0.5, 0.25), Window(4, 3, 9, 6)),
        (Window(7, 0, 1, 1), (0.1, 0.1), Window(0, 0, 1, 1)),
        (Window(5, 6, 7, 8), (1.0, 1.0), Window(5, 6, 7, 8)),
        (Window(0, 0, 0, 0), (0.5, 0.5), Window(0, 0, 1, 1)),
    ],
)
def test_a_window_is_scaled_to_whole_overview_pixels(
    window: Window, factors: tuple[float, float], expected: Window
) -> None:
    """The scaled window covers the window, and has at least one pixel."""
    assert _scale_window(window, *factors) == expected


def test_overviews_of_complex_pixels_are_not_used() -> None:
    """Complex pixels are detected at full resolution before they are averaged, since their phases cancel."""
    phase = np.exp(2j * np.pi * np.random.default_rng(0).random((1024, 1024))).astype(np.complex64)
    raster = raster_of(geotiff(3 * phase, overviews=[2, 4, 8], **TILED), size=64)
    power = raster.pixels if raster.quantity is Quantity.INTENSITY else np.abs(raster.pixels) ** 2
    np.testing.assert_allclose(power, 9, rtol=1e-4)


def test_a_large_window_is_averaged_while_it_is_read() -> None:
    """Without overviews, a large window is read as mean power over looks, and is never in memory as a whole."""
    power = np.square(np.random.default_rng(0).integers(1, 3000, (4096, 5120), dtype=np.uint16), dtype=np.float32)
    reader = RecordingReader(geotiff(np.sqrt(power).astype(np.uint16), **TILED))
    tracemalloc.start()
    raster = read_raster(reader, size=128)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert raster.quantity is Quantity.INTENSITY
    assert raster.shape == (205, 256)
    np.testing.assert_allclose(raster.pixels[0, :204], power[:4080].reshape(204, 20, 256, 20).mean((1, 3)), rtol=1e-4)
    assert peak < power.nbytes
    assert reader.bytes_fetched <= reader.size + PAGE


@pytest.mark.parametrize(("window_pixels", "accepted"), [(4096 * 4096, True), (4096 * 4096 - 1, False)])
def test_pixels_to_unpack_are_limited(window_pixels: int, accepted: bool) -> None:
    """A window of one column unpacks whole strips: 4096 x 4096 pixels. One less is rejected before a strip is read."""
    reader = RecordingReader(geotiff(np.ones((4096, 4096), np.uint16), compress="deflate"))
    params = RenderParams(window=(0, 0, 1, 4096))
    limits = DecodeLimits(window_pixels=window_pixels)
    if accepted:
        assert isinstance(read_image(reader, params, 448, limits), Raster)
    else:
        with pytest.raises(PayloadTooLarge, match=f"requires decoding {4096 * 4096} pixels .*smaller window") as caught:
            read_image(reader, params, 448, limits)
        assert caught.value.param == "sar.window"
        assert len(reader.reads) == 1


@pytest.mark.parametrize(("dtype", "itemsize"), [("uint8", 1), ("uint16", 2), ("complex64", 8)])
def test_the_byte_budget_grows_by_three_times_the_uncompressed_size(dtype: str, itemsize: int) -> None:
    """A window in one tile of 256 x 256 pixels and two bands adds 3 x 256² x 2 pixels to the budget of the header."""
    data = geotiff(np.ones((2, 600, 600), dtype), interleave="band", **TILED)
    ranges = GdalRangeReader(RecordingReader(data), data, 1000)
    with open_tiff(ranges) as dataset:
        reserve_bytes(ranges, dataset, 2, Window(300, 300, 10, 10), DecodeLimits())
    assert ranges.byte_budget == 1000 + 3 * 256 * 256 * 2 * itemsize


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"bands": 2}, "declares 40 x 30 pixels in 3 band.s.; the limit is 2 bands"),
        ({"scene_pixels": 3599}, "the limit is 3599 pixels times bands"),
        (
            {"block_bytes": 2 * 3 * 32 * 64 - 1},
            f"64 x 32; one may have 12287 bytes uncompressed, and these have {12288}",
        ),
    ],
)
def test_limits_of_the_header_are_exact(limits: dict[str, int], message: str) -> None:
    """An image at a limit is accepted, and one above is rejected with the limit in the message."""
    data = geotiff(np.ones((3, 30, 40), np.uint16), interleave="pixel", tiled=True, blockxsize=64, blockysize=32)
    reader = RecordingReader(data)
    with open_tiff(GdalRangeReader(reader, data, 0)) as dataset:
        check_limits(dataset, reader, DecodeLimits(**{name: limit + 1 for name, limit in limits.items()}))
        with pytest.raises(PayloadTooLarge, match=message):
            check_limits(dataset, reader, DecodeLimits(**limits))


def test_limits_hold_for_the_extent_and_the_overview() -> None:
    """The header is checked for the extent too, before pixels are read."""
    reader = RecordingReader(geotiff(np.ones((30, 40), np.uint16)))
    with pytest.raises(PayloadTooLarge, match="limit is 1199"):
        read_extent(reader, DecodeLimits(scene_pixels=1199))
    extent = read_extent(reader, DecodeLimits(scene_pixels=1200))
    assert extent is not None
    assert (extent.width, extent.height) == (40, 30)


def test_tiles_of_an_overview_are_limited() -> None:
    """An overview with tiles of 1024 x 1024 exceeds a limit that the image's own tiles of 256 x 256 meet."""
    with rasterio.Env(GDAL_TIFF_OVR_BLOCKSIZE=1024):
        data = geotiff(np.ones((2048, 2048), np.uint16), overviews=[2], **TILED)
    limits = DecodeLimits(block_bytes=2 * 1024**2 - 1)
    assert read_extent(RecordingReader(data), limits) is not None
    with pytest.raises(PayloadTooLarge, match="1024 x 1024"):
        raster_of(data, 448, limits)
    assert raster_of(data, 448, DecodeLimits(block_bytes=2 * 1024**2)).shape == (1024, 1024)


def test_overviews_of_another_type_are_rejected() -> None:
    """An overview whose numbers have another type than the image's isn't one of the image."""
    data = bytearray(geotiff(np.ones((1024, 1024), np.uint16), overviews=[2], **TILED))
    second_ifd = data.rindex(b"\x02\x01\x03\x00\x01\x00\x00\x00\x10\x00")  # tag 258, BitsPerSample: 16
    data[second_ifd + 8 : second_ifd + 10] = b"\x08\x00"
    with pytest.raises(UnsupportedImage, match="overviews don't match the image"):
        raster_of(bytes(data), size=64)


async def test_threads_decode_many_images_concurrently() -> None:
    """Threads that decode at the same time never read each other's image."""
    images = [geotiff(np.full((300, 300), level, np.uint16), **TILED) for level in range(1, 9)]
    with ThreadPoolExecutor(8) as threads:
        loop = asyncio.get_running_loop()
        rasters = await asyncio.gather(
            *(loop.run_in_executor(threads, raster_of, images[turn % 8]) for turn in range(64))
        )
    assert [int(raster.pixels.min()) for raster in rasters] == [1 + turn % 8 for turn in range(64)]
    assert all(raster.pixels.min() == raster.pixels.max() for raster in rasters)


@pytest.mark.parametrize("successful_reads", [0, 1, 2])
def test_an_error_of_the_store_reaches_the_caller(successful_reads: int) -> None:
    """The store's own error passes through GDAL unchanged, whether header or pixels are read."""

    class FailingReader(RecordingReader):
        def read(self, start: int, length: int) -> bytes:
            if len(self.reads) >= successful_reads:
                raise SourceChanged("The object changed while it was read.")
            return super().read(start, length)

    reader = FailingReader(geotiff(np.ones((600, 600), np.float64), overviews=[2], **TILED))
    with pytest.raises(SourceChanged):
        read_image(reader, RenderParams(), 448, DecodeLimits())


def test_pixels_agree_with_rasterio() -> None:
    """For every interleaving, predictor and compression, pixels equal those that rasterio reads."""
    pixels = np.random.default_rng(1).integers(0, 2**16, (3, 500, 700), dtype=np.uint16)
    for options in ({"interleave": "pixel"}, {"interleave": "band"}, {"predictor": 2}):
        for compress in ("lzw", "deflate", "zstd"):
            data = geotiff(pixels, compress=compress, **TILED, **options)
            with MemoryFile(data) as file, file.open() as dataset:
                expected = dataset.read([3, 1], window=rasterio.windows.Window(250, 100, 300, 200))
            raster = raster_of(data, bands=(3, 1), window=(250, 100, 300, 200))
            np.testing.assert_array_equal(raster.pixels, expected)
