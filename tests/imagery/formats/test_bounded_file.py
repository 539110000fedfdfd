"""Files that are small and would take long to decode: scans of a JPEG, and parts of a PNG or JPEG."""

from __future__ import annotations

import io
import struct
import zlib
from time import thread_time

import numpy as np
import pytest
from PIL import Image

from imagery.object_fixtures import geotiff, raster_of
from sarlens.errors import PayloadTooLarge, UnsupportedImage
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.formats.bounded_file import MAX_ARITHMETIC_SCANS, MAX_SCANS, BoundedFile, check_jpeg_scans

HUFFMAN, ARITHMETIC = 0xC2, 0xCA
PNG = b"\x89PNG\r\n\x1a\n"


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def progressive(side: int, scans: int, frame: int = HUFFMAN, *, between: bytes = b"", restarts: bool = False) -> bytes:
    """A gray progressive JPEG whose scans have one byte of data, with other bytes between the scans."""
    head = segment(0xDB, b"\0" + bytes([1] * 64)) + segment(frame, struct.pack(">BHHB3B", 8, side, side, 1, 1, 0x11, 0))
    if frame == HUFFMAN:
        head += segment(0xC4, b"\0\1" + bytes(16)) + segment(0xC4, b"\x10\1\1" + bytes(14) + b"\xe0\0")
    if restarts:
        head += segment(0xDD, b"\0\1")
    scan = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + b"\x55" + (b"\xff\xd0\x55" if restarts else b"")
    first = segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + b"\x55"
    return b"\xff\xd8" + head + first + (between + scan) * (scans - 1) + b"\xff\xd9"


def in_tiff(tiff: bytes, jpeg: bytes) -> bytes:
    """Replace the only strip of a TIFF by a JPEG with tables of its own."""
    (ifd,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, ifd)
    data = bytearray(tiff)
    for entry in range(ifd + 2, ifd + 2 + 12 * count, 12):
        tag, _, values = struct.unpack_from("<HHI", data, entry)
        if tag in {273, 279}:
            assert values == 1
            struct.pack_into("<HHII", data, entry, tag, 4, 1, len(tiff) if tag == 273 else len(jpeg))
        elif tag == 347:
            struct.pack_into("<H", data, entry, 65000)
    return bytes(data) + jpeg


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(before: bytes = b"", after: bytes = b"") -> bytes:
    """A gray PNG of 8 x 8 pixels with chunks before and after the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    return PNG + header + before + chunk(b"IDAT", zlib.compress(bytes(72))) + after + chunk(b"IEND")


@pytest.mark.parametrize(("frame", "limit"), [(HUFFMAN, MAX_SCANS), (ARITHMETIC, MAX_ARITHMETIC_SCANS)])
def test_scans_are_limited_by_their_coding(frame: int, limit: int) -> None:
    """A JPEG with as many scans as the limit is decoded, and one with one more is rejected."""
    assert raster_of(progressive(16, limit, frame), size=8).shape == (16, 16)
    with pytest.raises(PayloadTooLarge, match=f"more than {limit} scans"):
        raster_of(progressive(16, limit + 1, frame), size=8)


@pytest.mark.parametrize("frame", [HUFFMAN, ARITHMETIC])
def test_a_scan_bomb_costs_no_time(frame: int) -> None:
    """A JPEG of 8184 x 8184 pixels with 3,000 scans, 15 s or 6 minutes of work, is rejected within 0.2 s."""
    bomb = progressive(8184, 3000, frame)
    started = thread_time()
    with pytest.raises(PayloadTooLarge):
        raster_of(bomb)
    assert thread_time() - started < 0.2


@pytest.mark.parametrize(
    "between",
    [
        b"\xff" * 40,
        b"garbage",
        segment(0xFE, b"comment" * 9),
        segment(0xE1, b"\xff\xd9" * 9),
        segment(0xDD, b"\0\1"),
        b"\xff\xd3",
        b"\xff\x01",
        segment(0xFE, b"\xff\xd8\xff\xd9"),
    ],
)
def test_bytes_between_scans_hide_none(between: bytes) -> None:
    """Fill bytes, garbage, restarts, comments and ends of images inside of segments don't end the count of scans."""
    with pytest.raises(PayloadTooLarge, match="more than 100 scans"):
        check_jpeg_scans(progressive(16, 101, between=between), "bomb")
    check_jpeg_scans(progressive(16, 100, between=between), "fine")


def test_restarts_hide_no_scan() -> None:
    """Scans with restart markers count as others do."""
    check_jpeg_scans(progressive(16, 100, restarts=True), "fine")
    with pytest.raises(PayloadTooLarge, match="more than 100 scans"):
        check_jpeg_scans(progressive(16, 101, restarts=True), "bomb")


def test_other_data_in_a_jpeg_is_no_scan() -> None:
    """A thumbnail, a second image or a video in or after a JPEG may have any number of bytes that look like scans."""
    plain = progressive(16, 12)
    noise = b"\xff\xda\xff\xc9" * 5000
    for data in (plain + noise, plain[:2] + segment(0xE1, noise) + plain[2:]):
        assert raster_of(data, size=8).shape == (16, 16)
    frames = [Image.new("L", (32, 32), 40 * number) for number in range(6)]
    file = io.BytesIO()
    frames[0].save(file, "MPO", save_all=True, append_images=frames[1:], progressive=True)
    many = file.getvalue() + file.getvalue() * 40
    assert many.count(b"\xff\xda") > MAX_SCANS
    assert raster_of(many, size=8).shape == (32, 32)


def test_scans_of_a_jpeg_in_a_tiff_are_limited() -> None:
    """A TIFF whose tile is a JPEG of ten scans is decoded, and one with eleven is rejected."""
    tiff = geotiff(np.zeros((512, 512), np.uint8), compress="jpeg", blockysize=512)
    for scans, frame in ((10, HUFFMAN), (10, ARITHMETIC)):
        assert raster_of(in_tiff(tiff, progressive(512, scans, frame)), size=512).shape == (512, 512)
        with pytest.raises(UnsupportedImage):
            raster_of(in_tiff(tiff, progressive(512, scans + 1, frame)), size=512)


@pytest.mark.parametrize("data", [png(before=chunk(b"abCd") * 140_000), png(after=chunk(b"abCd") * 140_000)])
def test_parts_of_a_png_are_limited(data: bytes) -> None:
    """A PNG of 8 x 8 pixels with 140,000 empty chunks, before or after its pixels, is rejected."""
    with pytest.raises(PayloadTooLarge, match="takes more than 262144 reads"):
        raster_of(data)


@pytest.mark.parametrize("filler", [b"\xff\xfe\0\2" * 140_000, b"\xff" * 300_000])
def test_parts_of_a_jpeg_are_limited(filler: bytes) -> None:
    """A JPEG with 140,000 empty comments, or with 300,000 fill bytes, is rejected."""
    jpeg = progressive(16, 1)
    with pytest.raises(PayloadTooLarge, match="takes more than 262144 reads"):
        raster_of(jpeg[:2] + filler + jpeg[2:])


async def test_decoding_ends_when_its_cpu_time_is_used() -> None:
    """A PNG with 20,000 color profiles of 1 MB, 10 s of work, ends shortly after its CPU limit of 0.1 s."""
    threads = ImageThreads(max_decodes=1, max_reads=1, max_reads_per_bucket=1, max_decode_cpu_s=0.1)
    bomb = png(before=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000), 9)) * 20_000)
    spent: list[float] = []

    def decode() -> None:
        started = thread_time()
        try:
            raster_of(bomb)
        finally:
            spent.append(thread_time() - started)

    with pytest.raises(PayloadTooLarge, match=r"more than 0\.1 s of CPU time"):
        await threads.run_in_memory(decode)
    assert 0.1 <= spent[0] < 0.6
    threads.close()


def test_a_bounded_file_reads_as_any_file() -> None:
    """Reads and seeks have the bytes of the data."""
    file = BoundedFile(b"0123456789", "name")
    assert (file.read(3), file.read(), file.seek(-1, io.SEEK_END), file.read(5)) == (b"012", b"3456789", 9, b"9")
