"""PNG files: pixels survive, the file is well-formed, and it is small."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from imagery.object_fixtures import speckled
from sarlens.imagery.render.png import encode_png


@given(
    mode=st.sampled_from(["L", "RGB"]), width=st.integers(1, 40), height=st.integers(1, 40), seed=st.integers(0, 999)
)
def test_pixels_survive(mode: str, width: int, height: int, seed: int) -> None:
    """Pillow, which checks the CRC of each chunk, reads the same mode, size and pixels."""
    shape = (height, width) if mode == "L" else (height, width, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    rendered = encode_png(Image.fromarray(pixels))
    assert (rendered.media_type, rendered.width, rendered.height) == ("image/png", width, height)
    with Image.open(io.BytesIO(rendered.data)) as decoded:
        assert isinstance(decoded, PngImagePlugin.PngImageFile)
        assert decoded.mode == mode
        np.testing.assert_array_equal(np.asarray(decoded), pixels)


def test_the_file_is_a_header_one_data_chunk_and_an_end() -> None:
    """The chunks are IHDR, IDAT and IEND. The data inflates with zlib to rows with the filter "up" (2)."""
    png = encode_png(Image.fromarray(np.array([[1, 2], [4, 1]], dtype=np.uint8))).data
    assert png[:16] == b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
    assert png[16:29] == struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)
    (length,) = struct.unpack(">I", png[33:37])
    assert png[37:41] == b"IDAT"
    assert zlib.decompress(png[41 : 41 + length]) == bytes([2, 1, 2, 2, 3, 255])
    assert png[45 + length :] == b"\0\0\0\0IEND\xae\x42\x60\x82"


@pytest.mark.parametrize("side", [256, 448])
def test_a_file_is_not_larger_than_pillows(side: int) -> None:
    """A rendered radar image takes fewer bytes than with Pillow's lowest compression level."""
    decibels = 10 * np.log10(speckled((2 * side, 2 * side), looks=4).reshape(side, 2, side, 2).mean(axis=(1, 3)))
    image = Image.fromarray(np.clip(decibels * 20 + 128, 0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    assert len(encode_png(image).data) < len(buffer.getvalue())
