"""The longest step of each decoder between two checks of its CPU time, at the limits of what is decoded."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from struct import pack
from time import thread_time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagery.formats.test_bounded_file import ARITHMETIC, HUFFMAN, PNG, chunk, in_tiff, progressive
from imagery.object_fixtures import RecordingReader, geotiff
from sarlens.imagery.formats.bounded_file import MAX_ARITHMETIC_SCANS, MAX_SCANS
from sarlens.imagery.formats.reader import DecodeLimits, read_image
from sarlens.types.render_params import RenderParams

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")]
SIDE, RGB_SIDE, TALL = 8184, 4720, 65_535
MAX_STEP_S = 5.0


def noise(kind: str, **options: Any) -> bytes:
    """The largest RGB image, of noise, which no codec compresses."""
    pixels = np.random.default_rng(0).integers(0, 255, (RGB_SIDE, RGB_SIDE, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def predicted_png(width: int, height: int) -> bytes:
    """A black PNG whose rows all have the Paeth filter, the slowest."""
    pixels = zlib.compress((b"\4" + bytes(width)) * height, 9)
    header = chunk(b"IHDR", pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return PNG + header + chunk(b"IDAT", pixels) + chunk(b"IEND")


def tiff(side: int, dtype: str, compress: str) -> bytes:
    """A TIFF of equal pixels in tiles of 512 x 512."""
    return geotiff(np.ones((side, side), dtype), compress=compress, tiled=True, blockxsize=512, blockysize=512)


def jpeg_tiff(frame: int) -> bytes:
    """A TIFF of one strip that is a JPEG of ten scans."""
    image = geotiff(np.zeros((SIDE, SIDE), np.uint8), compress="jpeg", blockysize=SIDE)
    return in_tiff(image, progressive(SIDE, 10, frame))


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(lambda: progressive(SIDE, MAX_SCANS, HUFFMAN), id="jpeg"),
        pytest.param(lambda: progressive(SIDE, MAX_ARITHMETIC_SCANS, ARITHMETIC), id="jpeg, arithmetic"),
        pytest.param(lambda: noise("JPEG", quality=80, subsampling=0), id="jpeg, noise"),
        pytest.param(lambda: noise("WEBP", quality=75, method=0), id="webp"),
        pytest.param(lambda: noise("WEBP", lossless=True, quality=0, method=0), id="webp, lossless"),
        pytest.param(lambda: predicted_png(SIDE, SIDE), id="png"),
        pytest.param(lambda: predicted_png(1024, TALL), id="png, tall"),
        pytest.param(lambda: jpeg_tiff(HUFFMAN), id="tiff, jpeg"),
        pytest.param(lambda: jpeg_tiff(ARITHMETIC), id="tiff, jpeg, arithmetic"),
        pytest.param(lambda: tiff(4096, "complex64", "lzma"), id="tiff, lzma"),
        pytest.param(lambda: tiff(4096, "complex64", "deflate"), id="tiff, deflate"),
    ],
)
def test_the_longest_step_is_short(file: Callable[[], bytes], record_property: Callable[[str, object], None]) -> None:
    """The most expensive file of each format within the limits needs less than 5 s of CPU time, from open to raster."""
    data = file()
    started = thread_time()
    read_image(RecordingReader(data), RenderParams(), 4096, DecodeLimits(bitmap_bytes=2**27))
    seconds = thread_time() - started
    record_property("seconds", round(seconds, 2))
    assert seconds < MAX_STEP_S
