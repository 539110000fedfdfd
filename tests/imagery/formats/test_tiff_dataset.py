"""Metadata of a TIFF: overview levels, block sizes, bands, and validity of pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from imagery.object_fixtures import TILED, RecordingReader, encoded, geotiff, raster_of
from sarlens.errors import BadRequest, BandNotFound
from sarlens.imagery.core.raster import Quantity
from sarlens.imagery.formats.gdal_range_reader import GdalRangeReader
from sarlens.imagery.formats.tiff_dataset import TiffDataset
from sarlens.imagery.formats.tiff_file import open_tiff
from sarlens.types.window import Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@contextmanager
def opened(data: bytes) -> Iterator[TiffDataset]:
    """Open a TIFF in memory."""
    with open_tiff(GdalRangeReader(RecordingReader(data), data[:65536], 2**30)) as dataset:
        yield dataset


class FakeDataset:
    """Dataset of rasterio with given overview factors."""

    width = height = count = 1
    scales, offsets = (1.0,), (0.0,)

    def __init__(self, factors: list[int], dtype: str = "uint16") -> None:
        self.factors = factors
        self.dtypes = (dtype,)

    def overviews(self, band: int) -> list[int]:
        """Return the factors."""
        return self.factors if band == 1 else []


@pytest.mark.parametrize(
    ("width", "height", "factors", "level"),
    [
        (1343, 1343, [2, 4, 8], None),
        (1344, 1, [2, 4, 8], 0),
        (1, 1344, [2, 4, 8], 0),
        (2687, 9, [2, 4, 8], 0),
        (2688, 9, [2, 4, 8], 1),
        (5376, 9, [2, 4, 8], 2),
        (99_999, 9, [2, 4, 8], 2),
        (5376, 9, [8, 2, 4], 0),
        (2688, 9, [8, 2, 4], 2),
        (5376, 9, [], None),
    ],
)
def test_the_coarsest_overview_with_oversampling_is_selected(
    width: int, height: int, factors: list[int], level: int | None
) -> None:
    """For 448 pixels, the longest side must have 672 pixels in the overview: 1344 for factor 2, 2688 for 4."""
    assert TiffDataset(FakeDataset(factors)).overview_level(Window(0, 0, width, height), 448) == level


def test_complex_overviews_are_never_selected() -> None:
    """A mean of complex pixels isn't a mean of power."""
    assert TiffDataset(FakeDataset([2, 4], "complex64")).overview_level(Window(0, 0, 9999, 9999), 16) is None


BLOCKS = {"tiled": True, "blockxsize": 64, "blockysize": 32}


@pytest.mark.parametrize(
    ("window", "pixels"),
    [
        ((0, 0, 1, 1), 32 * 64),
        ((63, 31, 1, 1), 32 * 64),
        ((63, 31, 2, 2), 64 * 128),
        ((64, 32, 64, 32), 32 * 64),
        ((10, 10, 64, 32), 64 * 128),
        ((0, 0, 200, 100), 128 * 256),
    ],
)
def test_pixels_to_unpack_are_those_of_whole_tiles(window: tuple[int, int, int, int], pixels: int) -> None:
    """A window unpacks all tiles of 64 x 32 that it overlaps; interleaved by pixel, all bands of them."""
    for options, factor in (({"interleave": "band"}, 2), ({"interleave": "pixel"}, 3)):
        with opened(geotiff(np.zeros((3, 100, 200), np.uint16), **BLOCKS, **options)) as dataset:
            assert dataset.block_shape == (32, 64)
            assert dataset.pixels_to_unpack(2, Window(*window)) == pixels * factor
            assert dataset.block_bytes == 32 * 64 * 2 * (1 if factor == 2 else 3)


def test_a_signature_is_type_and_number_of_bands() -> None:
    """Bytes with a scale count as uint16, so that they aren't an 8-bit image."""
    with opened(geotiff(np.zeros((2, 9, 9), np.float32))) as dataset:
        assert dataset.signature == (np.dtype(np.float32), 2)
    with opened(geotiff(np.zeros((9, 9), np.uint8), scales=(0.5,))) as dataset:
        assert dataset.signature == (np.dtype(np.uint16), 1)
    with opened(geotiff(np.zeros((9, 9), np.uint8), offsets=(1.0,))) as dataset:
        assert dataset.dtype == np.uint16


@pytest.mark.parametrize(
    ("layout", "names", "bands", "indexes"),
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
def test_bands_are_selected_by_name_then_number(
    layout: int, names: list[str] | None, bands: tuple[str | int, ...] | None, indexes: list[int]
) -> None:
    """A band has its name, the polarization in it, and its number; two bands without names are VV and VH."""
    pixels = np.arange(layout * 6, dtype=np.uint16).reshape(layout, 2, 3)
    raster = raster_of(geotiff(pixels, names=names), bands=bands)
    np.testing.assert_array_equal(raster.pixels, pixels[indexes])


def test_bands_are_selected_by_their_tags() -> None:
    """A polarization tag names a band, on the band itself or, in order, on the image."""
    pixels = np.arange(12, dtype=np.uint16).reshape(2, 2, 3)
    tagged = geotiff(pixels, band_tags=[{"POLARISATION": "HV"}, {"POLARISATION": "HH"}])
    assert raster_of(tagged, bands=("hh",)).bands == ("HH",)
    listed = raster_of(geotiff(pixels, tags={"": {"POLARIZATION": "VH, VV"}}))
    assert listed.bands == ("VV",)
    np.testing.assert_array_equal(listed.pixels, pixels[1:])
    incomplete = raster_of(geotiff(pixels, tags={"": {"POLARIZATION": "HH"}}))
    assert incomplete.bands == ("1",)


@pytest.mark.parametrize("band", ["HV", "0", "3", 3, "²", "VV "])
def test_a_missing_band_is_an_error_that_lists_the_bands(band: str | int) -> None:
    """The message names the bands of the image."""
    with pytest.raises(BandNotFound, match="It has 2 bands: VV, VH"):
        raster_of(geotiff(np.ones((2, 4, 4), np.uint16), names=["VV", "VH"]), bands=(band,))


@pytest.mark.parametrize("dtype", ["float32", "uint16", "int16"])
def test_nodata_in_any_selected_band_is_invalid(dtype: str) -> None:
    """The file's nodata value in one of two bands makes a pixel invalid; a band that isn't selected doesn't."""
    pixels = np.full((2, 4, 4), 7, dtype)
    pixels[0, 0, 0] = pixels[1, 3, 3] = 99
    data = geotiff(pixels, nodata=99)
    assert np.argwhere(~raster_of(data, bands=(1, 2)).valid).tolist() == [[0, 0], [3, 3]]
    assert np.argwhere(~raster_of(data, bands=(2,)).valid).tolist() == [[3, 3]]


def test_nodata_of_an_8_bit_image_must_be_in_all_bands() -> None:
    """One color of three may be 0; a pixel with 0 in all three is nodata."""
    pixels = np.full((3, 4, 4), 7, np.uint8)
    pixels[0, 0, 0] = 0
    pixels[:, 3, 3] = 0
    raster = raster_of(geotiff(pixels, nodata=0, photometric="RGB"))
    assert np.argwhere(~raster.valid).tolist() == [[3, 3]]


@pytest.mark.parametrize("compress", ["deflate", "lzma"])
@pytest.mark.parametrize(("dtype", "missing"), [("float32", -9999), ("int16", -9999), ("uint16", 65535)])
def test_a_requested_nodata_value_replaces_that_of_the_file(dtype: str, missing: int, compress: str) -> None:
    """The requested number is unmeasured and the declared one is measured, with GDAL and without, also as decibels."""
    pixels = np.full((256, 256), 7, dtype)
    pixels[0, 0], pixels[3, 3] = missing, 99
    data = geotiff(pixels, nodata=99, compress=compress, **TILED)
    assert np.argwhere(~raster_of(data).valid).tolist() == [[3, 3]]
    found = raster_of(data, nodata=missing)
    assert np.argwhere(~found.valid).tolist() == [[0, 0]]
    assert found.pixels[0, 3, 3] == 99
    assert raster_of(data, nodata=-1e38).valid.all()


def test_a_nodata_value_is_that_of_the_stored_numbers() -> None:
    """It is compared before the file's scale and offset are applied, as the declared one is."""
    pixels = np.full((4, 4), 7, np.uint16)
    pixels[1, 2] = 5
    data = geotiff(pixels, scales=(0.5,), offsets=(2.5,))
    assert np.argwhere(~raster_of(data, nodata=5).valid).tolist() == [[1, 2]]


def test_overviews_with_another_nodata_value_are_not_used() -> None:
    """They averaged the undeclared value as a measurement, so the full resolution is read; else the overview is."""
    pixels = np.full((1536, 1536), 8, np.float32)
    pixels[:, ::2] = -9999
    data = geotiff(pixels, overviews=(2,), **TILED)
    declared = geotiff(pixels, overviews=(2,), nodata=-9999, **TILED)
    assert raster_of(declared, nodata=-9999).shape == (768, 768)
    raster = raster_of(data, nodata=-9999)
    assert raster.shape == (1536, 1536)
    assert np.unique(raster.pixels[:, raster.valid]).tolist() == [8]
    assert raster.valid.mean() == 0.5


def test_only_tiffs_have_a_nodata_value() -> None:
    """A PNG with ``nodata`` is rejected with the field's name, also if it could pass unchanged."""
    with pytest.raises(BadRequest, match="isn't a TIFF") as rejected:
        raster_of(encoded(np.ones((8, 8), np.uint8)), nodata=1)
    assert rejected.value.param == "sar.nodata"


def test_values_that_are_not_finite_are_invalid() -> None:
    """NaN and infinities are invalid, in real and in complex images."""
    pixels = np.ones((3, 3), np.float32)
    pixels[0] = np.nan, np.inf, -np.inf
    for data in (geotiff(pixels), geotiff(pixels.astype(np.complex64))):
        assert raster_of(data).valid.tolist() == [[False] * 3, [True] * 3, [True] * 3]


def test_the_mask_of_a_file_is_applied() -> None:
    """An internal mask makes pixels invalid, at full resolution and in an overview."""
    mask = np.tri(512, dtype=bool)
    data = geotiff(np.full((512, 512), 9, np.uint16), mask=mask, overviews=[2], **TILED)
    np.testing.assert_array_equal(raster_of(data).valid, mask)
    np.testing.assert_array_equal(raster_of(data, window=(100, 90, 50, 40)).valid, mask[90:130, 100:150])
    overview = raster_of(data, size=100).valid
    assert overview.shape == (256, 256)
    rows, cols = np.mgrid[:256, :256]
    np.testing.assert_array_equal(overview[rows != cols], (rows > cols)[rows != cols])


def test_scale_and_offset_are_applied_by_band() -> None:
    """Integers that the file scales into decibels are decibels, bytes too; each band has its own scale."""
    packed = np.arange(40, 90).reshape(5, 10)
    for dtype in ("uint8", "uint16", "int16"):
        raster = raster_of(geotiff(packed.astype(dtype), scales=(0.5,), offsets=(-50.0,)))
        np.testing.assert_allclose(raster.pixels[0], packed / 2 - 50)
        assert raster.pixels.dtype == np.float32
        assert raster.quantity is Quantity.DECIBEL
        assert raster.calibration_factors == {}
    bands = geotiff(np.stack([packed, packed]).astype(np.uint16), scales=(2.0, 3.0), offsets=(1.0, -10.0))
    np.testing.assert_allclose(raster_of(bands, bands=(2, 1)).pixels, [packed * 3 - 10, packed * 2 + 1])


def test_a_color_map_gives_colors() -> None:
    """Bytes that index a color map are read as red, green and blue."""
    index = np.array([[0, 1], [2, 1]], np.uint8)
    data = geotiff(index, colormap={0: (1, 2, 3, 255), 1: (40, 50, 60, 255), 2: (7, 8, 9, 255)})
    raster = raster_of(data)
    assert raster.bands == ("R", "G", "B")
    np.testing.assert_array_equal(raster.pixels[:, 0, 1], [40, 50, 60])
    np.testing.assert_array_equal(raster_of(data, bands=("g",)).pixels, [[[2, 50], [8, 50]]])


def test_an_8_bit_tiff_is_read_in_color() -> None:
    """A uint8 TIFF of red, green, blue and alpha is BRIGHTNESS in three bands; transparent pixels are invalid."""
    pixels = np.stack([np.full((8, 8), level, np.uint8) for level in (200, 0, 0, 255)])
    pixels[3, 0] = 0
    raster = raster_of(geotiff(pixels, photometric="RGB", alpha="YES"))
    assert (raster.quantity, len(raster.bands)) == (Quantity.BRIGHTNESS, 3)
    np.testing.assert_array_equal(raster.pixels[:, 4, 4], [200, 0, 0])
    np.testing.assert_array_equal(raster.valid[:, 0], [False] + 7 * [True])
    two_bands = raster_of(geotiff(pixels[:2]))
    assert two_bands.bands == ("1",)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_small_integers_fill_the_range_of_a_byte(bits: int) -> None:
    """The largest number of 1, 2 or 4 bits is 255."""
    values: Any = np.arange(2**bits, dtype=np.uint8).reshape(1, -1)
    raster = raster_of(geotiff(values, NBITS=bits))
    np.testing.assert_array_equal(raster.pixels[0], values * (255 // (2**bits - 1)))
    assert raster.pixels.max() == 255
