"""Images made to harm: each gets an error that says why, and moves next to nothing."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imagery.blobs import TILED, BytesBlob, encoded, geotiff, raster_of
from sarlens.errors import BadRequest, SarlensError, TooLarge, UnsupportedImage
from sarlens.imagery.decode import Limits, decode
from sarlens.imagery.raster import Raster
from sarlens.imagery.render import develop
from sarlens.request import Render

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SMALL = Limits(window_pixels=2**22, block_bytes=2**22)


def ifd(*entries: tuple[int, int, int, int], after: int = 0) -> bytes:
    """A little-endian TIFF of one directory: (tag, type, count, value) each, then the offset of the next."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I", after)


def grey(width: int, height: int, *, offset: int = 8, count: int = 4) -> list[tuple[int, int, int, int]]:
    """The entries of an 8-bit grey image in one strip."""
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


def refused(data: bytes, limits: Limits | None = None, render: Render | None = None) -> tuple[SarlensError, BytesBlob]:
    """The error of an image, after a look at how it speaks."""
    blob = BytesBlob(data)
    with pytest.raises(SarlensError) as caught:
        decode(blob, render or Render(), 448, limits or Limits())
    message = caught.value.message
    assert "s3://scenes/port.tif" in message
    for inside in ("/vsi", "image.tif", "GDAL", "TIFFRead", "CPLE", "/tmp", "rasterio"):
        assert inside not in message
    return caught.value, blob


def test_a_hundred_thousand_pixels_each_way_are_refused_by_the_header() -> None:
    """A valid sparse TIFF of 100,000 x 100,000 pixels is refused before a pixel of it moves."""
    data = geotiff(np.ones((1, 1), np.uint16), width=100_000, height=100_000, SPARSE_OK=True, **TILED)
    error, blob = refused(data)
    assert isinstance(error, TooLarge)
    assert "100000 x 100000" in error.message
    assert blob.moved <= 128 * 1024


@pytest.mark.parametrize("name", ["VRT", "PNG", "JSON"])
def test_only_what_the_bytes_are_counts(name: str, tmp_path: Path) -> None:
    """A VRT that names a local file is no image, whatever the object is called."""
    secret = tmp_path / "secret.tif"
    secret.write_bytes(geotiff(np.full((8, 8), 42, np.uint8)))
    bodies = {
        "VRT": f'<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{secret}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        f"</VRTDataset>",
        "PNG": "\x7fPNG\r\n\x1a\n",
        "JSON": '{"type": "STACTA"}',
    }
    error, _ = refused(bodies[name].encode())
    assert isinstance(error, UnsupportedImage)
    assert error.message == "s3://scenes/port.tif is no PNG, JPEG, WebP, TIFF or SICD."


def test_drivers_that_follow_references_are_never_registered() -> None:
    """In a process that reads an image as the gateway does, GDAL has no driver that opens what a file names."""
    script = (
        "from sarlens.imagery import tiff\n"
        "import rasterio\n"
        "with rasterio.Env(**tiff._GDAL) as env: print(*env.drivers())\n"
    )
    drivers = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "GTiff" in drivers
    assert not {"VRT", "GTI", "STACTA", "STACIT", "WMS", "WMTS", "WCS", "HTTP", "DERIVED"} & set(drivers)


@pytest.mark.parametrize("domain", ["OVERVIEWS", "overviews"])
def test_a_tiff_cannot_name_a_local_file_as_its_overview(domain: str, tmp_path: Path) -> None:
    """The tag OVERVIEW_FILE, which makes GDAL read any file, gets the image refused."""
    secret = tmp_path / "secret.tif"
    secret.write_bytes(geotiff(np.full((64, 64), 4242, np.uint16)))
    data = geotiff(np.full((2048, 2048), 7, np.uint16), tags={domain: {"OVERVIEW_FILE": str(secret)}})
    error, _ = refused(data, render=Render(size=16))
    assert isinstance(error, UnsupportedImage)
    assert "another file" in error.message
    assert str(tmp_path) not in error.message


@pytest.mark.timeout(30)
def test_a_tiff_cannot_make_the_gateway_call_a_url() -> None:
    """The same tag with a URL in it opens no connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"/vsicurl/http://127.0.0.1:{server.getsockname()[1]}/o.tif"
        tags = {"OVERVIEWS": {"OVERVIEW_FILE": url, "MASK_FILE": url}}
        refused(geotiff(np.full((2048, 2048), 7, np.uint16), tags=tags), render=Render(size=16))
        with pytest.raises(BlockingIOError):
            server.accept()


def test_nothing_beside_the_image_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sidecar of the same name in the working directory changes nothing."""
    monkeypatch.chdir(tmp_path)
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    for name in ("image.tif.aux.xml", "image.tif.msk", "image.tif.ovr", "image.tfw", "port.tif.ovr"):
        (tmp_path / name).write_bytes(geotiff(np.full((4, 4), 1, np.uint16)))
    raster = raster_of(geotiff(pixels))
    np.testing.assert_array_equal(raster.pixels[0], pixels)
    assert raster.valid.all()


def test_a_huge_tile_is_refused() -> None:
    """One tile that would unpack to gigabytes is refused by the header."""
    tiled = [*grey(60_000, 30_000), (322, 4, 1, 60_000), (323, 4, 1, 30_000), (324, 4, 1, 8), (325, 4, 1, 4)]
    error, _ = refused(ifd(*(entry for entry in tiled if entry[0] not in (273, 278, 279))))
    assert isinstance(error, TooLarge)
    assert "tiles or strips of 60000 x 30000" in error.message


def test_too_many_bands_are_refused() -> None:
    """An image of 500 bands is no radar image."""
    error, _ = refused(geotiff(np.zeros((500, 2, 2), np.uint8)))
    assert isinstance(error, TooLarge)
    assert "500 band" in error.message


def test_a_truncated_tiff_is_refused_wherever_it_ends() -> None:
    """Cut anywhere, a TIFF gives an error and never pixels that were not there."""
    pixels = np.random.default_rng(0).integers(1, 2**16, (200, 200), dtype=np.uint16)
    for options in ({}, {"compress": "deflate"}, TILED):
        data = geotiff(pixels, **options)
        for end in np.linspace(4, len(data) - 1, 25, dtype=int):
            error, _ = refused(data[:end])
            assert isinstance(error, UnsupportedImage)


def test_a_loop_of_directories_ends() -> None:
    """A directory that names itself as the next is read once, and neither hangs nor crashes."""
    raster = raster_of(ifd(*grey(10, 10), after=8))
    assert raster.shape == (10, 10)


def test_strips_that_claim_the_whole_object_move_no_more_than_an_image_needs() -> None:
    """The bytes that a header asks for are bounded by the pixels that it declares, times a margin."""
    strips = 50
    body = 8 + 2 + 12 * 9 + 4
    entries = {entry[0]: entry for entry in [*grey(64, strips), (259, 3, 1, 8)]}
    entries |= {278: (278, 4, 1, 1), 273: (273, 4, strips, body), 279: (279, 4, strips, body + 4 * strips)}
    offsets = [body + 8 * strips + 70_000 * at for at in range(strips)]
    data = ifd(*(entries[tag] for tag in sorted(entries))) + struct.pack(f"<{2 * strips}I", *offsets, *[4**8] * strips)
    error, blob = refused(data + b"\1" * 70_000 * (strips + 1), Limits(header_bytes=2**17))
    assert isinstance(error, TooLarge)
    assert "more bytes than an image of its size can need" in error.message
    assert blob.moved <= 2**17


def test_an_unmeasured_window_is_refused() -> None:
    """A window of nothing but nodata has no picture, and the caller hears why."""
    raster = raster_of(geotiff(np.full((64, 64), -99, np.float32), nodata=-99))
    with pytest.raises(BadRequest, match="no measured pixel"):
        develop(raster, Render(), 448)


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
    """Decode and render bytes; only our own errors may come out."""
    for render in (Render(), Render(size=16, window=(1, 1, 8, 8)), Render(bands=(1, 2), scale="linear")):
        try:
            raster = decode(BytesBlob(data), render, 64, SMALL)
            if isinstance(raster, Raster):
                develop(raster, render, 64)
        except SarlensError as error:
            assert error.message


# rasterio logs GDAL's messages as UTF-8; where a message quotes a damaged byte, Python reports that aside.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@given(st.sampled_from(MAGIC), st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_random_bytes_give_only_our_errors(magic: bytes, rest: bytes) -> None:
    """Bytes that merely begin like an image are refused and nothing else happens."""
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
    """An image with some bytes changed, most often in its header, and its end cut off harms nothing."""
    data = bytearray(image)
    for place, value in changes:
        data[int(place * (min(len(data), 400) if front else len(data)))] = value
    survives(bytes(data[: len(data) - int(cut * len(data) / 4)]))
