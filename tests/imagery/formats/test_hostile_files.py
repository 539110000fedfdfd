"""Malicious images: each is rejected with an error that states the reason, and few bytes are fetched for it."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imagery.object_fixtures import TILED, RecordingReader, encoded, geotiff, raster_of
from sarlens.errors import NoValidPixels, PayloadTooLarge, SarlensError, UnsupportedImage
from sarlens.imagery.core.raster import Raster
from sarlens.imagery.formats.reader import DecodeLimits, locate_window, read_extent, read_image
from sarlens.imagery.render.pipeline import render
from sarlens.types.render_params import RenderParams

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SMALL = DecodeLimits(window_pixels=2**22, block_bytes=2**22)


def ifd(*entries: tuple[int, int, int, int], after: int = 0) -> bytes:
    """Return a little-endian TIFF of one directory: (tag, type, count, value) each, then the offset of the next."""
    return b"II*\0" + struct.pack("<I", 8) + directory(*entries, after=after)


def directory(*entries: tuple[int, int, int, int], after: int) -> bytes:
    """Return one directory of a TIFF."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", after)


def gray(width: int, height: int, *, offset: int = 8, count: int = 4) -> list[tuple[int, int, int, int]]:
    """Return the entries of an 8-bit grayscale image in one strip."""
    return [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, offset),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, count),
    ]


def error_of(
    data: bytes, limits: DecodeLimits | None = None, params: RenderParams | None = None
) -> tuple[SarlensError, RecordingReader]:
    """Return the error of an image; its message names the image, and nothing of GDAL or this machine."""
    reader = RecordingReader(data)
    with pytest.raises(SarlensError) as caught:
        read_image(reader, params or RenderParams(), 448, limits or DecodeLimits())
    message = caught.value.message
    assert "s3://scenes/port.tif" in message
    for internal in ("/vsi", "image.tif", "GDAL", "TIFFRead", "CPLE", "/tmp", "rasterio"):
        assert internal not in message
    return caught.value, reader


def test_100_000_by_100_000_pixels_are_rejected_by_the_header() -> None:
    """A valid sparse TIFF of 100,000 x 100,000 pixels is rejected after at most two pages."""
    data = geotiff(np.ones((1, 1), np.uint16), width=100_000, height=100_000, SPARSE_OK=True, **TILED)
    error, reader = error_of(data)
    assert isinstance(error, PayloadTooLarge)
    assert "100000 x 100000" in error.message
    assert reader.bytes_fetched <= 128 * 1024


@pytest.mark.parametrize("name", ["VRT", "PNG", "JSON"])
def test_only_the_first_bytes_identify_a_format(name: str, tmp_path: Path) -> None:
    """A VRT that names a local file isn't an image, and the object's name doesn't matter."""
    secret = tmp_path / "secret.tif"
    secret.write_bytes(geotiff(np.full((8, 8), 42, np.uint8)))
    bodies = {
        "VRT": f'<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{secret}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        f"</VRTDataset>",
        "PNG": "\x7fPNG\r\n\x1a\n",
        "JSON": '{"type": "STACTA"}',
    }
    error, _ = error_of(bodies[name].encode())
    assert isinstance(error, UnsupportedImage)
    assert error.message == "s3://scenes/port.tif isn't a PNG, JPEG, WebP, TIFF or SICD."


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (
            b"PK\x03\x04\x14\0",
            "is a ZIP archive, which isn't supported: unpack it, and use the URL of the .SAFE",
        ),
        (b"\x89HDF\r\n\x1a\n", "is HDF5 or NetCDF 4, which isn't supported: convert it to GeoTIFF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "is JPEG 2000, which isn't supported"),
        (b'PRODUCT="SAR_IMP_1P', "is an ENVISAT or ERS product, which isn't supported"),
        (b"\0\0\0\x01\x0b\xc0\x12\x12", "is a CEOS file, such as ALOS PALSAR or ERS, which isn't supported"),
        (b"\x1f\x8b\x08", "is a gzip file, which isn't supported"),
    ],
)
def test_a_known_format_is_named_in_the_refusal(head: bytes, reason: str) -> None:
    """The error names the format and the way out."""
    error, _ = error_of(head + bytes(600))
    assert isinstance(error, UnsupportedImage)
    assert error.message.startswith(f"s3://scenes/port.tif {reason}")


def test_drivers_that_open_references_are_never_registered() -> None:
    """In a process that reads an image as the gateway does, GDAL has no driver that opens files named in a file."""
    script = (
        "from sarlens.imagery.formats import tiff_file\n"
        "import rasterio\n"
        "with rasterio.Env(**tiff_file._GDAL_OPTIONS) as env: print(*env.drivers())\n"
    )
    drivers = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "GTiff" in drivers
    assert not {"VRT", "GTI", "STACTA", "STACIT", "WMS", "WMTS", "WCS", "HTTP", "DERIVED"} & set(drivers)


@pytest.mark.parametrize("domain", ["OVERVIEWS", "overviews"])
def test_a_tiff_cannot_name_a_local_file_as_its_overview(domain: str, tmp_path: Path) -> None:
    """An image with the tag OVERVIEW_FILE, by which GDAL opens any file, is rejected."""
    secret = tmp_path / "secret.tif"
    secret.write_bytes(geotiff(np.full((64, 64), 4242, np.uint16)))
    data = geotiff(np.full((2048, 2048), 7, np.uint16), tags={domain: {"OVERVIEW_FILE": str(secret)}})
    error, _ = error_of(data, params=RenderParams(size=16))
    assert isinstance(error, UnsupportedImage)
    assert "another file" in error.message
    assert str(tmp_path) not in error.message


@pytest.mark.timeout(30)
def test_a_tiff_cannot_make_the_gateway_request_a_url() -> None:
    """The same tag with a URL opens no connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"/vsicurl/http://127.0.0.1:{server.getsockname()[1]}/o.tif"
        tags = {"OVERVIEWS": {"OVERVIEW_FILE": url, "MASK_FILE": url}}
        error_of(geotiff(np.full((2048, 2048), 7, np.uint16), tags=tags), params=RenderParams(size=16))
        with pytest.raises(BlockingIOError):
            server.accept()


def test_sidecar_files_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files named like sidecars in the working directory change nothing."""
    monkeypatch.chdir(tmp_path)
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    for name in ("image.tif.aux.xml", "image.tif.msk", "image.tif.ovr", "image.tfw", "port.tif.ovr"):
        (tmp_path / name).write_bytes(geotiff(np.full((4, 4), 1, np.uint16)))
    raster = raster_of(geotiff(pixels))
    np.testing.assert_array_equal(raster.pixels[0], pixels)
    assert raster.valid.all()


def test_a_huge_tile_is_rejected() -> None:
    """One tile of 1.8 GB uncompressed is rejected by the header."""
    tiled = [*gray(60_000, 30_000), (322, 4, 1, 60_000), (323, 4, 1, 30_000), (324, 4, 1, 8), (325, 4, 1, 4)]
    error, _ = error_of(ifd(*(entry for entry in tiled if entry[0] not in (273, 278, 279))))
    assert isinstance(error, PayloadTooLarge)
    assert "tiles or strips of 60000 x 30000" in error.message


def test_too_many_bands_are_rejected() -> None:
    """An image of 500 bands exceeds the limit of 64."""
    error, _ = error_of(geotiff(np.zeros((500, 2, 2), np.uint8)))
    assert isinstance(error, PayloadTooLarge)
    assert "500 band(s); the limit is 64 bands" in error.message


def test_a_truncated_tiff_is_rejected_wherever_it_ends() -> None:
    """A TIFF that is cut anywhere gives an error, and never pixels that the file doesn't have."""
    pixels = np.random.default_rng(0).integers(1, 2**16, (200, 200), dtype=np.uint16)
    for options in ({}, {"compress": "deflate"}, TILED):
        data = geotiff(pixels, **options)
        for end in np.linspace(4, len(data) - 1, 25, dtype=int):
            error, _ = error_of(data[:end])
            assert isinstance(error, UnsupportedImage)


@pytest.mark.parametrize("big_file", [False, True])
def test_a_tile_after_the_end_of_the_file_is_rejected(big_file: bool) -> None:
    """A tile after the end is an error, also if the whole file is in the first page.

    GDAL leaves the buffer of a tile without bytes as it is, with bytes of other images.
    """
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    data = bytearray(geotiff(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64), **tiles))
    second = data.index(struct.pack("<II", len(data) - 12 * 512, len(data) - 11 * 512)) + 4
    data += bytes(70_000 if big_file else 0)
    struct.pack_into("<I", data, second, len(data) + 1000)
    error, _ = error_of(bytes(data))
    assert isinstance(error, UnsupportedImage)
    assert "is truncated" in error.message


def test_a_loop_of_directories_ends() -> None:
    """A directory whose next directory is itself is read once."""
    raster = raster_of(ifd(*gray(10, 10), after=8))
    assert raster.shape == (10, 10)


def scattered_strips(count: int, distance: int, strip_bytes: int) -> bytes:
    """Return an 8-bit TIFF of 64 x ``count`` pixels, one row in each strip, whose strips claim ``strip_bytes``."""
    end = 8 + 2 + 12 * 9 + 4
    entries = {entry[0]: entry for entry in [*gray(64, count), (259, 3, 1, 8)]}
    entries |= {278: (278, 4, 1, 1), 273: (273, 4, count, end), 279: (279, 4, count, end + 4 * count)}
    offsets = [end + 8 * count + distance * index for index in range(count)]
    header = ifd(*(entries[tag] for tag in sorted(entries)))
    return header + struct.pack(f"<{2 * count}I", *offsets, *[strip_bytes] * count) + b"\1" * distance * (count + 1)


@pytest.mark.parametrize("header_bytes", [0, 2**17])
def test_strips_that_claim_more_than_the_image_needs_are_bounded(header_bytes: int) -> None:
    """64 x 50 pixels of one byte allow 9,600 bytes of strips, after the limit of the header and the first page.

    The strips claim 3.3 MB. Each is fetched alone, since the gap to the next is longer than 64 KiB.
    """
    data = scattered_strips(50, 140_000, 65_536)
    error, reader = error_of(data, DecodeLimits(header_bytes=header_bytes))
    assert isinstance(error, PayloadTooLarge)
    assert "more bytes than an image of its size needs" in error.message
    assert reader.bytes_fetched <= 64 * 1024 + header_bytes + 3 * 64 * 50


@pytest.mark.parametrize(
    ("strip_bytes", "error_class", "strips"), [(202, UnsupportedImage, 19), (203, PayloadTooLarge, 18)]
)
def test_strips_of_three_times_the_uncompressed_size_are_fetched(
    strip_bytes: int, error_class: type[SarlensError], strips: int
) -> None:
    """20 strips of 64 pixels have 1,280 bytes and a budget of 3,840: 19 strips of 202 bytes, but not of 203.

    The first strip is in the first page. The strips are damaged, so the image is rejected in any case.
    """
    error, reader = error_of(scattered_strips(20, 140_000, strip_bytes), DecodeLimits(header_bytes=0))
    assert isinstance(error, error_class)
    assert reader.bytes_fetched == 64 * 1024 + strips * strip_bytes


def directories(count: int, distance: int) -> bytes:
    """Return a TIFF whose ``count`` directories are ``distance`` bytes apart."""
    entries = [(254, 4, 1, 1), *gray(10, 10)]
    offsets = [8 + distance * index for index in range(count)]
    parts = [directory(*entries, after=after).ljust(distance, b"\0") for after in [*offsets[1:], 0]]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(parts)


@pytest.mark.parametrize(("limits", "bound"), [(DecodeLimits(header_bytes=2**20), 2**20), (DecodeLimits(), 2**24)])
def test_directories_all_over_a_file_are_bounded(limits: DecodeLimits, bound: int) -> None:
    """Of 400 directories in a file of 28 MB, exactly the limit of the header is read, by default 16 MiB."""
    error, reader = error_of(directories(400, 70_000), limits, RenderParams(size=16))
    assert isinstance(error, PayloadTooLarge)
    assert reader.bytes_fetched == bound + 64 * 1024


@pytest.mark.parametrize(
    "read",
    [
        lambda reader, limits: read_image(reader, RenderParams(), 448, limits),
        read_extent,
        lambda reader, limits: locate_window(reader, RenderParams(bbox=(4, 51, 5, 52)), limits),
    ],
    ids=["image", "extent", "window"],
)
def test_a_huge_tag_is_bounded(read: Callable[[RecordingReader, DecodeLimits], object]) -> None:
    """A tag of 20 MB is read up to the limit of the header, for pixels, the extent and a window."""
    reader = RecordingReader(ifd(*gray(10, 10), (42112, 2, 20 * 2**20, 4096)) + bytes(21 * 2**20))
    with pytest.raises(PayloadTooLarge, match="more bytes than an image of its size needs"):
        read(reader, DecodeLimits(header_bytes=2**20))
    assert reader.bytes_fetched <= 2**20 + 64 * 1024


def test_a_window_of_nodata_is_rejected() -> None:
    """A window in which every pixel is nodata can't be rendered."""
    raster = raster_of(geotiff(np.full((64, 64), -99, np.float32), nodata=-99))
    with pytest.raises(NoValidPixels, match="no valid pixel"):
        render(raster, RenderParams(), 448)


VALID = [
    geotiff(
        np.arange(48 * 64, dtype=np.uint16).reshape(48, 64),
        overviews=[2],
        **{**TILED, "blockxsize": 16, "blockysize": 16},
    ),
    geotiff(np.ones((2, 24, 24), np.float32), compress="deflate", nodata=-99, names=["VV", "VH"]),
    geotiff(np.ones((24, 24), np.complex64), BIGTIFF="YES", tags={"": {"POLARIZATION": "VV"}}),
    geotiff(np.ones((3, 24, 24), np.uint8), compress="jpeg", photometric="ycbcr", interleave="pixel"),
    geotiff(np.ones((24, 24), np.uint8), colormap={0: (1, 2, 3, 255)}),
    encoded(np.arange(24 * 24, dtype=np.uint16).reshape(24, 24)),
    encoded(np.ones((24, 24, 4), np.uint8)),
    encoded(np.ones((24, 24, 3), np.uint8), "JPEG"),
    encoded(np.ones((24, 24, 3), np.uint8), "WEBP"),
]
MAGIC = [b"", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF1234WEBP"]


def survives(data: bytes) -> None:
    """Decode and render bytes; no error other than SarlensError may be raised."""
    for params in (
        RenderParams(),
        RenderParams(size=16, window=(1, 1, 8, 8)),
        RenderParams(bands=(1, 2), scale="linear"),
    ):
        try:
            raster = read_image(RecordingReader(data), params, 64, SMALL)
            if isinstance(raster, Raster):
                render(raster, params, 64)
        except SarlensError as error:
            assert error.message


# rasterio decodes GDAL's messages as UTF-8. If one quotes a damaged byte, Python reports an unraisable exception.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@given(st.sampled_from(MAGIC), st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_random_bytes_give_only_our_errors(magic: bytes, rest: bytes) -> None:
    """Random bytes after the first bytes of a format are rejected with SarlensError."""
    survives(magic + rest)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    st.floats(0, 1),
    st.booleans(),
)
@example(VALID[0], [(0.0, 73)], 0.0, False)
@settings(max_examples=500, deadline=None)
def test_damaged_images_give_a_raster_or_our_errors(
    image: bytes, changes: list[tuple[float, int]], cut: float, front: bool
) -> None:
    """An image with changed bytes, often in its header, and a truncated end gives a raster or SarlensError."""
    data = bytearray(image)
    for position, value in changes:
        data[int(position * (min(len(data), 400) if front else len(data)))] = value
    survives(bytes(data[: len(data) - int(cut * len(data) / 4)]))
