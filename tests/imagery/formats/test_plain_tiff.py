"""Plain tiled TIFFs: the same metadata and pixels as by GDAL, which reads everything that isn't plain."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.dtypes import in_dtype_range
from rasterio.enums import ColorInterp, Resampling

from imagery.object_fixtures import TILED, RecordingReader, geotiff, raster_of
from sarlens.errors import PayloadTooLarge, SarlensError, UnsupportedImage
from sarlens.imagery.core.object_reader import PAGE_BYTES
from sarlens.imagery.core.raster import Raster
from sarlens.imagery.formats import tiff
from sarlens.imagery.formats.plain_tiff import PlainTiff
from sarlens.imagery.formats.reader import DecodeLimits, read_image
from sarlens.imagery.formats.tiff_dataset import TiffDataset
from sarlens.imagery.formats.tiff_file import TiffFile, open_tiff, open_tiff_file
from sarlens.imagery.formats.tiff_tags import NotPlain
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
DTYPES = [*INTEGERS, "float32", "float64", "complex64", "complex128", "complex_int16"]
NAMES = st.lists(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12), min_size=3, max_size=3)


def plain_file(data: bytes) -> tuple[TiffFile, PlainTiff]:
    """Open a file that must be plain."""
    file = open_tiff_file(RecordingReader(data), data[:PAGE_BYTES], DecodeLimits())
    return file, PlainTiff.open(file.ranges, file.directories)


def is_plain(data: bytes) -> bool:
    """Return whether a file is opened without GDAL."""
    try:
        plain_file(data)
    except NotPlain:
        return False
    return True


def stored_pixels(dtype: str, bands: int, rows: int, cols: int, seed: int) -> NDArray[Any]:
    """Return smooth numbers with noise; of floating point also NaN and infinities, of random bits."""
    generator = np.random.default_rng(seed)
    kind = np.dtype("complex64" if dtype == "complex_int16" else dtype)
    values = generator.integers(-100, 100, (bands, rows, cols)) + np.arange(cols) * 3
    if dtype == "complex_int16":
        return (values + 1j * generator.integers(-(2**15), 2**15, values.shape)).astype(np.complex64)
    if kind.kind in "ui":
        return values.astype(np.int64).astype(kind)
    pixels = values.astype(kind)
    pixels[generator.random(pixels.shape) < 0.01] = np.nan
    pixels[generator.random(pixels.shape) < 0.01] = -np.inf
    bits = pixels.view(np.uint8)
    bits[generator.random(bits.shape) < 0.01] ^= 0x41
    return pixels


def layout(
    dtype: str, compress: str, predictor: int, interleave: str, order: str, big: str, tile: tuple[int, int]
) -> dict[str, Any]:
    """Return the options of GDAL's driver."""
    predictors = {} if predictor == 1 or compress == "none" else {"predictor": predictor}
    forms = {"interleave": interleave, "ENDIANNESS": order, "BIGTIFF": big, "compress": compress}
    return {"dtype": dtype, "tiled": True, "blockysize": tile[0], "blockxsize": tile[1], **forms, **predictors}


LAYOUTS = st.tuples(
    st.sampled_from(DTYPES),
    st.sampled_from(["none", "deflate"]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(["pixel", "band"]),
    st.sampled_from(["LITTLE", "BIG"]),
    st.sampled_from(["YES", "NO"]),
    st.tuples(st.sampled_from([16, 32, 48]), st.sampled_from([16, 32, 64])),
)


def possible(dtype: str, predictor: int) -> bool:
    """Return whether GDAL writes a predictor, and this package reads it, for a type."""
    return {1: True, 2: not dtype.startswith("complex"), 3: dtype.startswith("float")}[predictor]


def storable(nodata: float, dtype: str) -> bool:
    """Return whether GDAL writes a nodata value for a type of integers."""
    return not np.isnan(nodata) and dtype not in {"int64", "uint64"} and bool(in_dtype_range(nodata, dtype))


@given(
    form=LAYOUTS,
    shape=st.tuples(st.sampled_from([1, 2, 3]), st.integers(1, 70), st.integers(1, 90)),
    bands=st.lists(st.integers(0, 2), min_size=1, max_size=3),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 999),
    extra=st.fixed_dictionaries(
        {},
        optional={
            "SPARSE_OK": st.just("TRUE"),
            "nodata": st.sampled_from([0, -3, 7, 300, 0.5, float("nan")]),
            "names": NAMES,
            "photometric": st.just("rgb"),
        },
    ),
)
@settings(max_examples=250, deadline=None)
def test_metadata_and_pixels_are_those_of_gdal(
    form: tuple[Any, ...],
    shape: tuple[int, int, int],
    bands: list[int],
    corner: tuple[float, float, float, float],
    seed: int,
    extra: dict[str, Any],
) -> None:
    """For every layout, each bit of the pixels, the mask, the names and the sizes equal those that GDAL reads."""
    dtype, compress, predictor = form[:3]
    assume(compress == "none" or possible(dtype, predictor))
    assume(extra.get("photometric") is None or (shape[0] == 3 and dtype in {"uint8", "uint16"}))
    assume(
        "nodata" not in extra
        or dtype in {"float32", "float64"}
        or (dtype in INTEGERS and storable(extra["nodata"], dtype))
    )
    options = layout(*form) | extra
    if "names" in options:
        options["names"] = options["names"][: shape[0]]
    pixels = stored_pixels(dtype, *shape, seed)
    if "SPARSE_OK" in options:
        pixels[:, :, : shape[2] // 2] = 0
    data = geotiff(pixels, **options)
    indexes = tuple(band for band in bands if band < shape[0]) or (0,)
    col, row = int(corner[0] * (shape[2] - 1)), int(corner[1] * (shape[1] - 1))
    window = Window(col, row, 1 + int(corner[2] * (shape[2] - col - 1)), 1 + int(corner[3] * (shape[1] - row - 1)))
    if not is_plain(data):
        assert "nodata" in extra
        return
    file, plain = plain_file(data)
    with open_tiff(file.ranges) as expected:
        try:
            assert_equal(TiffDataset(plain), expected, indexes, window)
        except NotPlain:
            assert "names" in extra or {"nodata", "SPARSE_OK"} <= extra.keys()


def assert_equal(found: TiffDataset, expected: TiffDataset, bands: tuple[int, ...], window: Window) -> None:
    """Compare all that decoding uses."""
    for name in ("width", "height", "count", "dtype", "signature", "block_shape", "block_bytes", "bands"):
        assert getattr(found, name) == getattr(expected, name), name
    assert found.rgb_indexes == expected.rgb_indexes
    assert found.calibration_factors == expected.calibration_factors
    assert found.blocks_to_unpack(len(bands), window) == expected.blocks_to_unpack(len(bands), window)
    assert found.pixels_to_unpack(len(bands), window) == expected.pixels_to_unpack(len(bands), window)
    assert found.rasterio_dataset.overviews(1) == expected.rasterio_dataset.overviews(1)
    np.testing.assert_array_equal(found.rasterio_dataset.nodatavals, expected.rasterio_dataset.nodatavals)
    (pixels, valid), (expected_pixels, expected_valid) = found.read(bands, window), expected.read(bands, window)
    assert pixels.dtype == expected_pixels.dtype
    np.testing.assert_array_equal(np.ascontiguousarray(pixels).view(np.uint8), expected_pixels.view(np.uint8))
    np.testing.assert_array_equal(valid, expected_valid)


@given(st.integers(30, 90), st.integers(30, 90), st.sampled_from(["none", "deflate"]), st.sampled_from(["NO", "YES"]))
@settings(max_examples=30, deadline=None)
def test_overviews_are_those_of_gdal(rows: int, cols: int, compress: str, big: str) -> None:
    """Each overview has the factor, the size and the pixels that GDAL reads."""
    pixels = stored_pixels("uint16", 2, rows, cols, rows)
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": compress, "BIGTIFF": big}
    data = geotiff(pixels, overviews=[2, 3, 4], resampling=Resampling.nearest, nodata=5, names=["VV", "VH"], **tiles)
    file, plain = plain_file(data)
    for level in range(3):
        overview = TiffDataset(plain.overview(level))
        with open_tiff(file.ranges, OVERVIEW_LEVEL=level) as expected:
            pixels, valid = overview.read((1, 0), Window(0, 0, overview.width, overview.height))
            expected_pixels, expected_valid = expected.read((1, 0), Window(0, 0, expected.width, expected.height))
            assert (overview.signature, overview.block_shape) == (expected.signature, expected.block_shape)
        np.testing.assert_array_equal(pixels, expected_pixels)
        np.testing.assert_array_equal(valid, expected_valid)
    with open_tiff(file.ranges) as dataset:
        assert plain.overviews(1) == dataset.rasterio_dataset.overviews(1)
        assert plain.descriptions == dataset.rasterio_dataset.descriptions


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9_.]{0,8}", fullmatch=True),
        st.text(st.characters(codec="utf-8"), max_size=20),
        max_size=4,
    ),
    st.text(st.characters(codec="ascii"), max_size=30),
)
@settings(max_examples=150, deadline=None)
def test_tags_are_those_of_gdal(tags: dict[str, str], description: str) -> None:
    """Items of an image and a band, and the description of the image, are the same, or the file isn't plain."""
    named = {"TIFFTAG_IMAGEDESCRIPTION": description} if description else {}
    data = geotiff(np.ones((16, 16), np.uint16), tags={"": tags | named}, band_tags=[tags], **TILED)
    if not is_plain(data):
        return
    file, plain = plain_file(data)
    try:
        found = plain.tags(), plain.tags(1)
    except NotPlain:
        return
    with open_tiff(file.ranges) as dataset:
        expected = dataset.rasterio_dataset.tags(), dataset.rasterio_dataset.tags(1)
    for some, others in zip(found, expected, strict=True):
        assert some == {key: text for key, text in others.items() if key != "AREA_OR_POINT"}


def test_tags_with_markup_are_plain() -> None:
    """JSON with quotes, as vendors write it, needs no GDAL."""
    text = '{"iceye:calibration_factor": 2e-5, "a": "<&>\'"}'
    data = geotiff(np.ones((16, 16), np.uint16), tags={"": {"ICEYE_PROPERTIES": text}}, **TILED)
    assert plain_file(data)[1].tags() == {"ICEYE_PROPERTIES": text}
    assert raster_of(data).calibration_factors == {"sigma0": 2e-5}


GRAY = np.arange(1, 64 * 64 + 1, dtype=np.uint16).reshape(64, 64)
NOT_PLAIN = {
    "strips": geotiff(GRAY),
    "LZW": geotiff(GRAY, compress="lzw", **TILED),
    "JPEG": geotiff((GRAY % 200).astype(np.uint8), compress="jpeg", **TILED),
    "mask": geotiff(GRAY, mask=GRAY > 100, **TILED),
    "scale": geotiff(GRAY, scales=[0.5], **TILED),
    "offset": geotiff(GRAY, offsets=[3.0], **TILED),
    "color map": geotiff((GRAY % 200).astype(np.uint8), colormap={0: (1, 2, 3, 255)}, **TILED),
    "bits": geotiff(GRAY % 1024, NBITS=10, **TILED),
    "alpha": geotiff(np.stack([GRAY, GRAY]), ALPHA="YES", **TILED),
    "white is 0": geotiff((GRAY % 200).astype(np.uint8), photometric="miniswhite", **TILED),
    "domain": geotiff(GRAY, tags={"OTHER": {"a": "b"}}, **TILED),
    "nodata of 64 bits": geotiff(GRAY.astype(np.int64), nodata=7, **TILED),
}


@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_gdal_reads_what_is_not_plain(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other kind is read by GDAL, with the same raster as if no file were plain."""
    opened = []

    def recorded(*args: Any, **options: Any) -> Any:
        opened.append(options)
        return open_tiff(*args, **options)

    monkeypatch.setattr(tiff, "open_tiff", recorded)
    raster = raster_of(NOT_PLAIN[kind])
    assert opened == [{}]
    monkeypatch.setattr(PlainTiff, "open", not_plain)
    assert_equal_rasters(raster, raster_of(NOT_PLAIN[kind]))


def not_plain(*_: object) -> PlainTiff:
    """Open no file without GDAL."""
    raise NotPlain


def assert_equal_rasters(found: Raster, expected: Raster) -> None:
    """Compare all fields."""
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    np.testing.assert_array_equal(found.valid, expected.valid)
    for name in ("bands", "quantity", "window", "calibration_factors"):
        assert getattr(found, name) == getattr(expected, name)


def test_a_plain_tiff_needs_no_gdal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain TIFF is read with one walk of its directories, without opening it with GDAL, overviews included."""
    monkeypatch.setattr(tiff, "open_tiff", lambda *_, **__: pytest.fail("GDAL opened the file"))
    scene = np.random.default_rng(0).integers(1, 4000, (1024, 1024), dtype=np.uint16)
    data = geotiff(scene, overviews=[2, 4], resampling=Resampling.nearest, crs="EPSG:32631", **TILED)
    np.testing.assert_array_equal(raster_of(data, window=(8, 9, 300, 40)).pixels[0], scene[9:49, 8:308])
    assert raster_of(data, size=128).shape == (256, 256)
    assert raster_of(geotiff(GRAY, compress="deflate", predictor=2, **TILED)).pixels[0].tolist() == GRAY.tolist()


def tile_of(data: bytes) -> tuple[int, int]:
    """Return offset and length of the only tile."""
    file, _ = plain_file(data)
    entries = {entry.tag: struct.unpack("<I", entry.value)[0] for entry in file.directories.entries[0]}
    return entries[324], entries[325]


@pytest.mark.parametrize("change", ["damaged", "truncated", "check sum", "longer"])
def test_a_damaged_tile_is_read_by_gdal(change: str) -> None:
    """GDAL alone judges what is damaged, so a tile that isn't perfect has GDAL's pixels or GDAL's error."""
    data = bytearray(geotiff(GRAY, compress="deflate", tiled=True, blockxsize=64, blockysize=64))
    offset, length = tile_of(bytes(data))
    if change == "damaged":
        data[offset + length // 2] ^= 0xFF
    elif change == "check sum":
        data[offset + length - 1] ^= 0xFF
    else:
        position = bytes(data).index(struct.pack("<HHII", 325, 4, 1, length))
        data[position + 8 : position + 12] = struct.pack("<I", length - 9 if change == "truncated" else length + 1)
        data += b"\0"
    results: list[Any] = []
    for opener in (PlainTiff.open, not_plain):
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(PlainTiff, "open", opener)
            try:
                results.append(raster_of(bytes(data)).pixels.tolist())
            except SarlensError as error:
                results.append(error.message)
    assert results[0] == results[1]


def test_a_bomb_has_the_memory_of_its_tile() -> None:
    """A tile that inflates to 200 MB is rejected with less than 4 MB, since it may have 8 kB."""
    data = bytearray(geotiff(GRAY, compress="deflate", tiled=True, blockxsize=64, blockysize=64))
    length = tile_of(bytes(data))[1]
    bomb = zlib.compress(bytes(200 * 2**20), 9)
    position = bytes(data).index(struct.pack("<HHII", 325, 4, 1, length))
    data[position - 12 : position] = struct.pack("<HHII", 324, 4, 1, len(data))
    data[position : position + 12] = struct.pack("<HHII", 325, 4, 1, len(bomb))
    file, plain = plain_file(bytes(data) + bomb)
    file.ranges.byte_budget = 2**20
    tracemalloc.start()
    with pytest.raises(NotPlain):
        plain.read([1], rasterio.windows.Window(0, 0, 64, 64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


def test_both_readers_share_one_byte_budget() -> None:
    """A tile that claims 12 kB of a budget of 24 kB is fetched by both readers; one of 12.1 kB exhausts the budget."""
    for claimed, error_class in ((3 * 8192 // 2, UnsupportedImage), (3 * 8192 // 2 + 1, PayloadTooLarge)):
        data = bytearray(geotiff(GRAY, compress="deflate", tiled=True, blockxsize=64, blockysize=64))
        position = bytes(data).index(struct.pack("<HHII", 325, 4, 1, tile_of(bytes(data))[1]))
        data[position - 12 : position] = struct.pack("<HHII", 324, 4, 1, 2 * PAGE_BYTES)
        data[position : position + 12] = struct.pack("<HHII", 325, 4, 1, claimed)
        reader = RecordingReader(bytes(data).ljust(3 * PAGE_BYTES, b"\x01"))
        with pytest.raises(error_class):
            read_image(reader, RenderParams(), 448, DecodeLimits(header_bytes=0))
        assert reader.bytes_fetched <= PAGE_BYTES + 3 * 8192


PLAIN = [
    geotiff(GRAY[:48], overviews=[2], tiled=True, blockxsize=16, blockysize=16),
    geotiff(np.ones((2, 24, 24), np.float32), compress="deflate", predictor=3, nodata=-99, names=["VV", "VH"], **TILED),
    geotiff(np.ones((24, 24), np.complex64), BIGTIFF="YES", ENDIANNESS="BIG", tags={"": {"A": "B"}}, **TILED),
    geotiff(np.ones((3, 24, 24), np.uint8), compress="deflate", photometric="rgb", interleave="pixel", **TILED),
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@given(
    st.sampled_from(PLAIN),
    st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), min_size=1, max_size=4),
)
@settings(max_examples=600, deadline=None)
def test_a_changed_file_is_read_as_by_gdal(image: bytes, changes: list[tuple[int, int]]) -> None:
    """If a file with changed bytes is read without GDAL, GDAL reads the same raster; if it is rejected, by both."""
    data = bytearray(image)
    for position, value in changes:
        data[position % len(data)] = value
    limits = DecodeLimits(window_pixels=2**20, block_bytes=2**20)
    for params in (RenderParams(), RenderParams(size=16, window=(1, 1, 20, 20), scale="linear")):
        results: list[Any] = []
        for opener in (PlainTiff.open, not_plain):
            with pytest.MonkeyPatch.context() as monkeypatch:
                monkeypatch.setattr(PlainTiff, "open", opener)
                try:
                    results.append(read_image(RecordingReader(bytes(data)), params, 64, limits))
                except SarlensError as error:
                    results.append(error)
        found, expected = results
        if isinstance(found, Raster) and isinstance(expected, Raster):
            assert_equal_rasters(found, expected)
        else:
            assert isinstance(found, SarlensError)
            assert isinstance(expected, SarlensError)


def test_colors_of_bands() -> None:
    """Gray bands without meaning and red, green and blue are what GDAL reports."""
    gray = plain_file(geotiff(np.ones((3, 16, 16), np.uint16), **TILED))[1]
    assert gray.colorinterp == (ColorInterp.gray, ColorInterp.undefined, ColorInterp.undefined)
    rgb = plain_file(geotiff(np.ones((3, 16, 16), np.uint8), photometric="rgb", **TILED))[1]
    assert rgb.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


SHORT, LONG = 3, 4
Tag = tuple[int, tuple[int, ...] | bytes]
"""Type and values of a tag."""


def tiff_of_tags(changes: dict[int, Tag | None], *, directories: int = 1) -> bytes:
    """Return a TIFF of one tile of 16 x 16 bytes, 0 to 255, with these tags changed, or left out if None.

    All directories are the same, apart from that those after the first one are marked as overviews.
    """
    data = b"II*\0" + struct.pack("<I", 8 + 256) + bytes(range(256))
    for index in range(directories):
        base: dict[int, Tag | None] = {
            254: (LONG, (int(index > 0),)),
            256: (SHORT, (16,)),
            257: (SHORT, (16,)),
            258: (SHORT, (8,)),
            259: (SHORT, (1,)),
            262: (SHORT, (1,)),
            322: (SHORT, (16,)),
            323: (SHORT, (16,)),
            324: (LONG, (8,)),
            325: (LONG, (256,)),
        }
        tags = {number: tag for number, tag in sorted((base | changes).items()) if tag is not None}
        entries, values, start = b"", b"", len(data) + 2 + 12 * len(tags) + 4
        for number, (kind, content) in tags.items():
            stored = content
            if not isinstance(stored, bytes):
                stored = struct.pack(f"<{len(stored)}{'H' if kind == SHORT else 'I'}", *stored)
            count = len(content)
            if len(stored) > 4:
                offset = struct.pack("<I", start + len(values))
                values += stored
            else:
                offset = stored.ljust(4, b"\0")
            entries += struct.pack("<HHI", number, kind, count) + offset
        following = start + len(values) if index + 1 < directories else 0
        data += struct.pack("<H", len(tags)) + entries + struct.pack("<I", following) + values
    return data


SINGLE: list[tuple[dict[int, Tag | None], bool]] = [
    ({}, True),
    ({254: None}, True),
    ({254: (LONG, (1,))}, False),
    ({266: (SHORT, (1,))}, True),
    ({266: (SHORT, (2,))}, False),
    ({274: (SHORT, (1,))}, True),
    ({274: (SHORT, (2,))}, False),
    ({277: (SHORT, (1,))}, True),
    ({277: (SHORT, (0,))}, False),
    ({277: (SHORT, (2,))}, False),
    ({277: (SHORT, (1, 2))}, False),
    ({339: (SHORT, (1,))}, True),
    ({339: (SHORT, (2,))}, True),
    ({339: (SHORT, (1, 1))}, False),
    ({339: (SHORT, (3,))}, False),
    ({339: (SHORT, (4,))}, False),
    ({258: (SHORT, (7,))}, False),
    ({258: (SHORT, (8, 8))}, False),
    ({258: None}, False),
    ({284: (SHORT, (1,))}, True),
    ({284: (SHORT, (2,))}, True),
    ({284: (SHORT, (3,))}, False),
    ({259: None}, True),
    ({259: (SHORT, (5,))}, False),
    ({317: (SHORT, (1,))}, True),
    ({317: (SHORT, (2,))}, False),
    ({262: None}, False),
    ({262: (SHORT, (0,))}, False),
    ({262: (SHORT, (2,))}, False),
    ({338: (SHORT, (0,))}, False),
    ({256: (SHORT, (0,))}, False),
    ({257: (SHORT, (0,))}, False),
    ({256: (1, b"\x10")}, False),
    ({256: None}, False),
    ({322: (SHORT, (0,))}, False),
    ({323: (SHORT, (0,))}, False),
    ({322: (SHORT, (8,))}, False),
    ({323: (SHORT, (24,))}, False),
    ({324: (LONG, (8, 8))}, False),
    ({325: (LONG, (256, 256))}, False),
    ({324: None}, False),
    ({324: (SHORT, (8,)), 325: (SHORT, (256,))}, True),
    ({256: (SHORT, (17,))}, False),
    ({257: (SHORT, (17,))}, False),
    ({65000: (SHORT, (1,))}, False),
    ({269: (2, b"page 1\0")}, True),
    ({270: (2, b"a port\0")}, True),
    ({305: (2, b"Sarlens\0"), 306: (2, b"2026:11:30 00:00:00\0")}, True),
    ({33550: (12, bytes(24)), 33922: (12, bytes(48))}, True),
    ({42113: (2, b"7\0")}, True),
]
SEVERAL: list[tuple[dict[int, Tag | None], bool]] = [
    ({277: (SHORT, (2,)), 258: (SHORT, (8, 8)), 338: (SHORT, (0,)), 325: (LONG, (512,))}, True),
    ({277: (SHORT, (2,)), 258: (SHORT, (8, 8)), 338: (SHORT, (1,)), 325: (LONG, (512,))}, False),
    ({277: (SHORT, (2,)), 258: (SHORT, (8, 8)), 325: (LONG, (512,))}, False),
    ({277: (SHORT, (2,)), 258: (SHORT, (8, 16)), 338: (SHORT, (0,)), 325: (LONG, (512,))}, False),
    ({277: (SHORT, (3,)), 258: (SHORT, (8,) * 3), 262: (SHORT, (2,)), 325: (LONG, (768,))}, True),
    ({277: (SHORT, (3,)), 258: (SHORT, (8,) * 3), 339: (SHORT, (1,) * 3), 262: (SHORT, (2,))}, True),
    ({277: (SHORT, (3,)), 258: (SHORT, (8,) * 3), 339: (SHORT, (1,) * 2), 262: (SHORT, (2,))}, False),
    ({277: (SHORT, (3,)), 258: (SHORT, (8,) * 3), 262: (SHORT, (2,)), 284: (SHORT, (2,))}, False),
    ({277: (SHORT, (2,)), 258: (SHORT, (8, 8)), 262: (SHORT, (2,))}, False),
]


@pytest.mark.parametrize(("changes", "plain"), [*SINGLE, *SEVERAL])
def test_the_tags_of_a_plain_tiff(changes: dict[int, Tag | None], plain: bool) -> None:
    """Each tag may be left out or have its default, and any value that changes the pixels isn't plain."""
    assert is_plain(tiff_of_tags(changes)) == plain


@pytest.mark.parametrize("changes", [changes for changes, plain in SINGLE if plain])
def test_a_tile_of_bytes_has_the_pixels_of_gdal(changes: dict[int, Tag | None]) -> None:
    """For every plain combination of tags, the pixels, the mask and the metadata are those that GDAL reads."""
    file, plain = plain_file(tiff_of_tags(changes))
    with open_tiff(file.ranges) as expected:
        assert_equal(TiffDataset(plain), expected, (0,), Window(3, 2, 9, 14))
        assert plain.scales == expected.rasterio_dataset.scales == (1.0,)
        assert plain.offsets == expected.rasterio_dataset.offsets == (0.0,)
        assert plain.mask_flag_enums == expected.rasterio_dataset.mask_flag_enums


@pytest.mark.parametrize(("offset", "length"), [(0, 256), (8, 0), (8, 255), (8, 257), (8, 2**31)])
def test_a_tile_that_is_not_where_the_table_says(offset: int, length: int) -> None:
    """A tile with an offset alone, a length alone, or another length than its pixels is left to GDAL."""
    _, plain = plain_file(tiff_of_tags({324: (LONG, (offset,)), 325: (LONG, (length,))}))
    with pytest.raises((NotPlain, UnsupportedImage)):
        plain.read([1], rasterio.windows.Window(0, 0, 16, 16))


def test_a_tile_that_is_not_stored_has_the_nodata_value() -> None:
    """Without an offset and a length, the pixels of a tile are 0, or the nodata value if the type has it exactly."""
    absent: dict[int, Tag | None] = {324: (LONG, (0,)), 325: (LONG, (0,))}
    for nodata, expected in (
        (None, 0),
        (b"7\0", 7),
        (b" 7 \0", 7),
        (b"2.5\0", None),
        (b"300\0", None),
        (b"-1\0", None),
    ):
        _, plain = plain_file(tiff_of_tags(absent | {42113: (2, nodata) if nodata else None}))
        if expected is None:
            with pytest.raises(NotPlain):
                plain.read([1], rasterio.windows.Window(0, 0, 4, 4))
        else:
            pixels = plain.read([1], rasterio.windows.Window(0, 0, 4, 4))
            assert pixels.tolist() == [[[expected] * 4] * 4]


def test_absent_tiles_are_filled_where_the_window_has_them() -> None:
    """A window over two absent tiles of 16 rows, which begins in the middle of one, has the nodata value everywhere."""
    tags: dict[int, Tag | None] = {257: (SHORT, (48,)), 324: (LONG, (0, 0, 0)), 325: (LONG, (0, 0, 0))}
    _, plain = plain_file(tiff_of_tags(tags | {42113: (2, b"7\0")}))
    assert (plain.read([1], rasterio.windows.Window(0, 20, 16, 20)) == 7).all()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0\0", 0.0),
        (b"255\0", 255.0),
        (b"256\0", None),
        (b"-1\0", None),
        (b"nan\0", None),
        (b"+.5e1\0", 5.0),
        (b" \0", None),
        (b"1e38\0", None),
    ],
)
def test_nodata_values(text: bytes, value: float | None) -> None:
    """A nodata value is a number within the type of the pixels, or none."""
    assert plain_file(tiff_of_tags({42113: (2, text)}))[1].nodatavals == (value,)


@pytest.mark.parametrize("text", [b"1.1e38\0", b"-1.1e38\0", b"x\0", b"1e\0", b"inf\0", b"0x7\0", b"7,5\0"])
def test_nodata_values_that_gdal_alone_reads(text: bytes) -> None:
    """A number near the largest of float32, or any other text, is left to GDAL."""
    with pytest.raises(NotPlain):
        _ = plain_file(tiff_of_tags({42113: (2, text)}))[1].nodatavals


@pytest.mark.parametrize(("directories", "plain"), [(1, True), (2, True), (32, True), (33, False)])
def test_the_number_of_overviews_is_bounded(directories: int, plain: bool) -> None:
    """A file has at most 32 directories; each after the first is an overview."""
    data = tiff_of_tags({}, directories=directories)
    assert is_plain(data) == plain
    if plain:
        assert plain_file(data)[1].overviews(1) == [1] * (directories - 1)


def test_an_overview_that_is_not_one_of_the_image() -> None:
    """A second directory that isn't marked as an overview, or has other pixels, makes the file not plain."""
    assert not is_plain(tiff_of_tags({254: (LONG, (0,))}, directories=2))
    assert not is_plain(tiff_of_tags({254: (LONG, (1,))}, directories=2))
    data = tiff_of_tags({42113: (2, b"7\0\0\0")}, directories=2)
    assert is_plain(data)
    position = data.rindex(b"7\0\0\0")
    assert not is_plain(data[:position] + b"8" + data[position + 1 :])


def test_tags_and_descriptions_are_those_of_the_band() -> None:
    """Each of two bands has its own items and description; other namespaces have none."""
    data = geotiff(np.ones((2, 16, 16), np.uint16), names=["VV", "VH"], band_tags=[{"a": "1"}, {"a": "2"}], **TILED)
    plain = plain_file(data)[1]
    assert [plain.tags(band) for band in (1, 2)] == [{"a": "1"}, {"a": "2"}]
    assert plain.descriptions == ("VV", "VH")
    assert (plain.tags(), plain.tags(ns="OVERVIEWS"), plain.tags(1, ns="IMAGE_STRUCTURE")) == ({}, {}, {})
    assert (plain.scales, plain.offsets) == ((1.0, 1.0), (0.0, 0.0))
    assert plain.dtypes == ("uint16", "uint16")
