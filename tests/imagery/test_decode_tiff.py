"""TIFF in its many forms: what is read, and how much of it."""

from __future__ import annotations

import asyncio
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from imagery.blobs import TILED, BytesBlob, geotiff, raster_of, speckled
from sarlens.errors import BadRequest, BandMissing, SourceChanged, TooLarge, WindowOutside
from sarlens.imagery.decode import Limits, decode
from sarlens.imagery.ranges import PAGE, Ranges
from sarlens.imagery.raster import Quantity, Raster
from sarlens.request import Render

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RAMP = np.arange(30 * 40).reshape(30, 40)


@pytest.mark.parametrize(
    ("dtype", "quantity"),
    [
        ("uint8", Quantity.PICTURE),
        ("uint16", Quantity.AMPLITUDE),
        ("int16", Quantity.AMPLITUDE),
        ("float32", Quantity.INTENSITY),
        ("float64", Quantity.INTENSITY),
        ("complex64", Quantity.COMPLEX),
        ("complex128", Quantity.COMPLEX),
    ],
)
@pytest.mark.parametrize("layout", [{}, TILED | {"compress": "deflate"}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}])
def test_every_type_of_number_is_read_exactly(dtype: str, quantity: Quantity, layout: dict[str, Any]) -> None:
    """Pixels arrive as they are stored, whatever their type, tiling, byte order or size of offsets."""
    pixels = (RAMP % 200).astype(dtype)
    raster = raster_of(geotiff(pixels, **layout))
    np.testing.assert_array_equal(raster.pixels, pixels[np.newaxis])
    assert (raster.quantity, raster.shape) == (quantity, (30, 40))
    assert raster.valid.all()


def test_complex_integers_are_read() -> None:
    """A single-look complex image of 16-bit integers, as Capella delivers, is COMPLEX with its phase."""
    pixels = (RAMP - 500 + 1j * (RAMP % 7)).astype(np.complex64)
    with MemoryFile() as held:
        with held.open(driver="GTiff", width=40, height=30, count=1, dtype="complex_int16") as dataset:
            dataset.write(pixels, 1)
        raster = raster_of(bytes(held.getbuffer()))
    np.testing.assert_array_equal(raster.pixels[0], pixels)
    assert raster.quantity is Quantity.COMPLEX


@given(st.integers(0, 39), st.integers(0, 29), st.integers(1, 40), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_a_window_is_that_part_of_the_image_or_refused(col: int, row: int, width: int, height: int) -> None:
    """A window inside the image gives those pixels; one that reaches out of it is refused with the image's size."""
    data = geotiff(RAMP.astype(np.uint16), **TILED)
    if col + width <= 40 and row + height <= 30:
        raster = raster_of(data, window=(col, row, width, height))
        np.testing.assert_array_equal(raster.pixels[0], RAMP[row : row + height, col : col + width])
        assert raster.window == (col, row, width, height)
    else:
        with pytest.raises(WindowOutside, match="40 pixels wide and 30 high"):
            raster_of(data, window=(col, row, width, height))


@pytest.mark.parametrize("window", [(0, 0, 0, 5), (0, 0, 5, 0), (-1, 0, 5, 5), (0, -1, 5, 5), (2**31, 2**31, 1, 1)])
def test_an_impossible_window_is_refused(window: tuple[int, int, int, int]) -> None:
    """An empty window, or one that begins outside the image, is the caller's mistake."""
    with pytest.raises(WindowOutside):
        raster_of(geotiff(RAMP.astype(np.uint16)), window=window)


def test_a_window_moves_only_its_own_blocks() -> None:
    """512 x 512 of an 8192 x 8192 image moves the four blocks it touches and a header page, in three requests."""
    tile = np.random.default_rng(0).integers(1, 4000, (8192, 8192), dtype=np.uint16)
    blob = BytesBlob(geotiff(tile, tiled=True, blockxsize=512, blockysize=512))
    raster = decode(blob, Render(window=(3000, 5000, 512, 512)), 448, Limits())
    np.testing.assert_array_equal(raster.pixels[0], tile[5000:5512, 3000:3512])  # type: ignore[union-attr]
    assert blob.size > 128 * 2**20
    assert blob.moved <= 4 * 512 * 512 * 2 + 64 * 1024
    assert len(blob.reads) == 3


def test_a_whole_scene_is_read_from_its_overview() -> None:
    """To show all of a 4096 x 4096 image at 448 pixels, only the overview of 1024 pixels moves."""
    scene = np.random.default_rng(0).integers(1, 4000, (4096, 4096), dtype=np.uint16)
    blob = BytesBlob(geotiff(scene, overviews=[2, 4, 8], **TILED))
    raster = decode(blob, Render(), 448, Limits())
    assert raster.shape == (1024, 1024)  # type: ignore[union-attr]
    assert raster.window == (0, 0, 4096, 4096)  # type: ignore[union-attr]
    assert blob.moved < blob.size / 12


def test_an_overview_shows_the_same_place() -> None:
    """A window read from an overview shows the part of the scene that was asked for."""
    scene = np.zeros((2048, 2048), np.uint16) + 100
    scene[1024:1280, 512:1024] = 5000
    raster = raster_of(geotiff(scene, overviews=[2, 4], **TILED), size=64, window=(512, 1024, 512, 512))
    assert raster.shape == (128, 128)
    assert (raster.pixels[0, :63] > 4000).all()
    assert (raster.pixels[0, 65:] < 200).all()


def test_overviews_of_complex_pixels_are_left_alone() -> None:
    """Complex pixels are detected at full resolution before they are averaged, for their phases cancel."""
    phase = np.exp(2j * np.pi * np.random.default_rng(0).random((1024, 1024))).astype(np.complex64)
    raster = raster_of(geotiff(3 * phase, overviews=[2, 4, 8], **TILED), size=64)
    power = raster.pixels if raster.quantity is Quantity.INTENSITY else np.abs(raster.pixels) ** 2
    np.testing.assert_allclose(power, 9, rtol=1e-4)


def test_a_window_far_larger_than_the_picture_is_averaged_as_it_is_read() -> None:
    """Without overviews a large window comes as mean power over looks, and never lies in memory whole."""
    power = np.square(np.random.default_rng(0).integers(1, 3000, (4096, 5120), dtype=np.uint16), dtype=np.float32)
    blob = BytesBlob(geotiff(np.sqrt(power).astype(np.uint16), **TILED))
    tracemalloc.start()
    raster = decode(blob, Render(), 128, Limits())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(raster, Raster)
    assert raster.quantity is Quantity.INTENSITY
    assert raster.shape == (205, 256)
    np.testing.assert_allclose(raster.pixels[0, :204], power[:4080].reshape(204, 20, 256, 20).mean((1, 3)), rtol=1e-4)
    assert peak < power.nbytes
    assert blob.moved <= blob.size + 64 * 1024


def test_looks_may_be_taller_than_the_strips_they_are_read_in() -> None:
    """A very wide image, of which hundreds of rows become one, is averaged all the same."""
    raster = raster_of(geotiff(np.full((300, 40_000), 3, np.uint16)), size=16)
    assert raster.shape == (1, 32)
    np.testing.assert_array_equal(raster.pixels, 9)


@pytest.mark.parametrize("shape", [(1500, 3000), (300, 600)])
def test_looks_are_averaged_at_full_resolution(shape: tuple[int, int]) -> None:
    """Power is averaged over the looks asked for, in one piece or in strips, and never taken from an overview."""
    dn = np.random.default_rng(0).integers(1, 4000, shape).astype(np.uint16)
    found = raster_of(geotiff(dn, **TILED, overviews=[2, 4]), looks=(4, 1))
    down = 2 if shape[0] > 1000 else 1
    power = dn.astype(float).reshape(shape[0] // down, down, -1, 4 * down) ** 2
    assert (found.quantity, found.detected) == (Quantity.INTENSITY, Quantity.AMPLITUDE)
    np.testing.assert_allclose(found.pixels[0], power.mean(axis=(1, 3)), rtol=1e-5)


def test_looks_of_complex_pixels_are_means_of_power() -> None:
    """Each look is |DN|²; phases do not cancel. A picture of 8 bits has no power, and stays as it is."""
    turning = (np.exp(1j * np.arange(64 * 64)) * 7).reshape(64, 64).astype(np.complex64)
    np.testing.assert_allclose(raster_of(geotiff(turning), looks=(8, 2)).pixels, 49, rtol=1e-5)
    assert raster_of(geotiff(np.ones((64, 64), dtype=np.uint8)), looks=(8, 2)).shape == (64, 64)


def test_strips_without_a_measured_pixel_do_not_decide_what_the_rest_is() -> None:
    """A large dB image that begins with nodata is still recognised as dB."""
    level = np.full((5000, 2000), -12, np.float32)
    level[:4500] = np.nan
    raster = raster_of(geotiff(level), size=64)
    np.testing.assert_allclose(raster.pixels[0][raster.valid], 10**-1.2, rtol=1e-5)
    assert 0.08 < raster.valid.mean() < 0.12


def test_what_unpacks_to_too_much_is_refused_before_it_is_read() -> None:
    """A window is measured by the whole strips it touches, and refused with a sentence that helps."""
    blob = BytesBlob(geotiff(np.ones((4096, 4096), np.uint16), compress="deflate"))
    with pytest.raises(TooLarge, match="smaller window"):
        decode(blob, Render(window=(0, 0, 1, 4096)), 448, Limits(window_pixels=2**20))
    assert len(blob.reads) == 1


@pytest.mark.parametrize(
    ("layout", "names", "wanted", "indexes"),
    [
        (3, ["VH", "VV", "angle"], ("vv", "Angle"), [1, 2]),
        (3, ["VH", "VV", "angle"], (3, "1"), [2, 0]),
        (3, ["VH", "VV", "angle"], None, [1]),
        (2, ["Sigma0_HV_db", "Sigma0_HH_db"], None, [1]),
        (2, ["Sigma0_HV_db", "Sigma0_HH_db"], ("HV",), [0]),
        (2, ["bands", "bands"], ("VV", "VH"), [0, 1]),
        (2, None, ("vh", "vv"), [1, 0]),
        (3, None, None, [0]),
        (2, ["VV", "VV/VH"], ("VV",), [0]),
    ],
)
def test_bands_are_found_by_name_then_number(
    layout: int, names: list[str] | None, wanted: tuple[str | int, ...] | None, indexes: list[int]
) -> None:
    """A band answers to its name, to the polarisation in it, to its number; two nameless bands are VV and VH."""
    pixels = np.arange(layout * 6, dtype=np.uint16).reshape(layout, 2, 3)
    raster = raster_of(geotiff(pixels, names=names), bands=wanted)
    np.testing.assert_array_equal(raster.pixels, pixels[indexes])


def test_bands_are_found_by_their_tags() -> None:
    """A polarisation tag names a band, on the band itself or, in order, on the image."""
    pixels = np.arange(12, dtype=np.uint16).reshape(2, 2, 3)
    tagged = geotiff(pixels, band_tags=[{"POLARISATION": "HV"}, {"POLARISATION": "HH"}])
    assert raster_of(tagged, bands=("hh",)).bands == ("HH",)
    listed = raster_of(geotiff(pixels, tags={"": {"POLARIZATION": "VH, VV"}}))
    assert listed.bands == ("VV",)
    np.testing.assert_array_equal(listed.pixels, pixels[1:])


@pytest.mark.parametrize("band", ["HV", "0", "3", 3, "²", "VV "])
def test_a_missing_band_is_named_beside_those_that_are_there(band: str | int) -> None:
    """Who asks for a band that is not there learns which are."""
    with pytest.raises(BandMissing, match="It has 2 bands: VV, VH"):
        raster_of(geotiff(np.ones((2, 4, 4), np.uint16), names=["VV", "VH"]), bands=(band,))


@pytest.mark.parametrize("dtype", ["float32", "uint16", "int16"])
def test_nodata_is_not_measured(dtype: str) -> None:
    """The file's nodata value in any band wanted marks a pixel as not measured."""
    pixels = np.full((2, 4, 4), 7, dtype)
    pixels[0, 0, 0] = pixels[1, 3, 3] = 99
    raster = raster_of(geotiff(pixels, nodata=99), bands=(1, 2))
    assert np.argwhere(~raster.valid).tolist() == [[0, 0], [3, 3]]


def test_what_is_not_finite_is_not_measured() -> None:
    """NaN and infinities mark a pixel as not measured, in real and in complex images."""
    pixels = np.ones((3, 3), np.float32)
    pixels[0] = np.nan, np.inf, -np.inf
    for data in (geotiff(pixels), geotiff(pixels.astype(np.complex64))):
        assert raster_of(data).valid.sum() == 6


def test_the_mask_inside_a_file_is_obeyed() -> None:
    """An internal mask marks pixels as not measured, at full resolution and in an overview."""
    mask = np.tri(512, dtype=bool)
    data = geotiff(np.full((512, 512), 9, np.uint16), mask=mask, overviews=[2], **TILED)
    np.testing.assert_array_equal(raster_of(data).valid, mask)
    assert 0.49 < raster_of(data, size=100).valid.mean() < 0.51


def test_scale_and_offset_of_the_file_are_applied() -> None:
    """Whole numbers that the file scales into decibels are decibels, bytes as well."""
    packed = np.arange(40, 90).reshape(5, 10)
    for dtype in ("uint8", "uint16", "int16"):
        raster = raster_of(geotiff(packed.astype(dtype), scales=(0.5,), offsets=(-50.0,)))
        np.testing.assert_allclose(raster.pixels[0], packed / 2 - 50)
        assert raster.quantity is Quantity.DECIBEL


def test_a_colour_map_gives_colours() -> None:
    """Bytes that index a colour map come as red, green and blue."""
    index = np.array([[0, 1], [2, 1]], np.uint8)
    data = geotiff(index, colormap={0: (1, 2, 3, 255), 1: (40, 50, 60, 255), 2: (7, 8, 9, 255)})
    raster = raster_of(data)
    assert raster.bands == ("R", "G", "B")
    np.testing.assert_array_equal(raster.pixels[:, 0, 1], [40, 50, 60])
    np.testing.assert_array_equal(raster_of(data, bands=("g",)).pixels, [[[2, 50], [8, 50]]])


def test_a_picture_in_a_tiff_shows_its_colours() -> None:
    """A uint8 TIFF of red, green, blue and alpha is a picture of three bands, its alpha a mask."""
    pixels = np.stack([np.full((8, 8), level, np.uint8) for level in (200, 0, 0, 255)])
    pixels[3, 0] = 0
    raster = raster_of(geotiff(pixels, photometric="RGB", alpha="YES"))
    assert (raster.quantity, len(raster.bands)) == (Quantity.PICTURE, 3)
    np.testing.assert_array_equal(raster.valid[:, 0], [False] + 7 * [True])


def test_bits_fill_the_range_of_a_byte() -> None:
    """A TIFF of one bit a pixel is black and white, not black and nearly black."""
    bits = np.array([[0, 1], [1, 0]], np.uint8)
    np.testing.assert_array_equal(raster_of(geotiff(bits, NBITS=1)).pixels[0], 255 * bits)


DECIBELS = 10 * np.log10(speckled((64, 64), looks=4)) - 12


@pytest.mark.parametrize(
    ("pixels", "scale", "quantity"),
    [
        (DECIBELS, "auto", Quantity.DECIBEL),
        (DECIBELS.round().astype(np.int16), "auto", Quantity.DECIBEL),
        (DECIBELS + 60, "auto", Quantity.INTENSITY),
        (DECIBELS + 60, "db", Quantity.DECIBEL),
        (speckled((64, 64)), "auto", Quantity.INTENSITY),
        (speckled((64, 64)) - np.float32(0.9), "auto", Quantity.INTENSITY),
        (DECIBELS, "linear", Quantity.INTENSITY),
        (np.ones((4, 4), np.uint8), "linear", Quantity.AMPLITUDE),
        (np.ones((4, 4), np.uint8), "db", Quantity.DECIBEL),
        (np.full((4, 4), np.nan, np.float32), "auto", Quantity.INTENSITY),
    ],
)
def test_what_pixels_measure_is_recognised_or_told(pixels: Any, scale: str, quantity: Quantity) -> None:
    """Decibels show by their negative numbers, in whole numbers too; what the caller says goes before."""
    assert raster_of(geotiff(pixels), scale=scale).quantity is quantity


@pytest.mark.parametrize(("pixels", "scale"), [(-1000 * speckled((9, 9)).astype(np.int16) - 900, "auto"), (1j, "db")])
def test_what_pixels_measure_is_asked_where_nothing_fits(pixels: Any, scale: str) -> None:
    """Numbers that are neither power nor decibels are not guessed at."""
    with pytest.raises(BadRequest) as refused:
        raster_of(geotiff(pixels * np.ones((9, 9), np.asarray(pixels).dtype)), scale=scale)
    assert refused.value.param == "sar.scale"


async def test_many_images_are_decoded_at_once() -> None:
    """Threads that decode at the same time never see each other's image."""
    images = [geotiff(np.full((300, 300), level, np.uint16), **TILED) for level in range(1, 9)]
    with ThreadPoolExecutor(8) as threads:
        loop = asyncio.get_running_loop()
        rasters = await asyncio.gather(
            *(loop.run_in_executor(threads, raster_of, images[turn % 8]) for turn in range(64))
        )
    assert [int(raster.pixels.min()) for raster in rasters] == [1 + turn % 8 for turn in range(64)]
    assert all(raster.pixels.min() == raster.pixels.max() for raster in rasters)


@pytest.mark.parametrize("good_reads", [0, 1, 2])
def test_a_failing_store_is_what_the_caller_hears_of(good_reads: int) -> None:
    """The store's own error comes through GDAL unchanged, whether it strikes in the header or in the pixels."""

    class Failing(BytesBlob):
        def read(self, start: int, length: int) -> bytes:
            if len(self.reads) >= good_reads:
                raise SourceChanged("The object changed while it was read.")
            return super().read(start, length)

    blob = Failing(geotiff(np.ones((600, 600), np.float64), overviews=[2], **TILED))
    with pytest.raises(SourceChanged):
        decode(blob, Render(), 448, Limits())


def test_pixels_agree_with_rasterio() -> None:
    """Interleaved, predicted, compressed: what is read is what rasterio reads."""
    pixels = np.random.default_rng(1).integers(0, 2**16, (3, 500, 700), dtype=np.uint16)
    for options in ({"interleave": "pixel"}, {"interleave": "band"}, {"predictor": 2}):
        for compress in ("lzw", "deflate", "zstd"):
            data = geotiff(pixels, compress=compress, **TILED, **options)
            with MemoryFile(data) as held, held.open() as dataset:
                expected = dataset.read([3, 1], window=rasterio.windows.Window(250, 100, 300, 200))
            raster = raster_of(data, bands=(3, 1), window=(250, 100, 300, 200))
            np.testing.assert_array_equal(raster.pixels, expected)


def test_reading_on_and_on_keeps_little() -> None:
    """However much GDAL reads of a file byte by byte, no more than some 16 MB of it stay in memory."""
    blob = BytesBlob(bytes(48 * 2**20))
    cursor = Ranges(blob, blob.data[:PAGE], allowance=2**30).open(Ranges.name)
    tracemalloc.start()
    while cursor.read(300_000):
        pass
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 18 * 2**20
