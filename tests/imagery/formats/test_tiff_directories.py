"""Directories and tags of a TIFF, which are counted before GDAL parses them."""

from __future__ import annotations

import struct
from time import thread_time

import numpy as np
import pytest

from imagery.object_fixtures import TILED, RecordingReader, geotiff, raster_of
from sarlens.errors import PayloadTooLarge, UnsupportedImage
from sarlens.imagery.formats.reader import DecodeLimits, read_extent
from sarlens.imagery.formats.tiff_directories import MAX_DIRECTORIES, MAX_TAGS, MAX_TOTAL_TAGS, Layout, read_directories

_IMAGE_TAGS = ((256, 64), (257, 64), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 64), (279, 4096))


def tiff(directories: int, more_tags: int = 0, *, big: bool = False, order: str = "<", sub_ifds: bool = False) -> bytes:
    """A TIFF of 64 x 64 pixels with equal directories, chained or listed in the first one."""
    count, entry, offset = ("Q", "HHQQ", "Q") if big else ("H", "HHII", "I")
    tags = [*_IMAGE_TAGS, *((1000 + number, 1) for number in range(more_tags))]
    entry_size, offset_size = struct.calcsize(f"{order}{entry}"), struct.calcsize(f"{order}{offset}")
    start = 8192
    size = struct.calcsize(f"{order}{count}") + len(tags) * entry_size + offset_size
    starts = [start + number * (size + entry_size) for number in range(directories)]
    listed = struct.pack(f"{order}{len(starts)}{offset}", *starts)
    data = b""
    for number in range(directories):
        entries = [struct.pack(f"{order}{entry}", tag, 4, 1, value) for tag, value in sorted(tags)]
        if sub_ifds and number == 0:
            end = starts[-1] + size + entry_size
            entries.append(struct.pack(f"{order}{entry}", 330, 4, directories - 1, end + offset_size))
        last = number == directories - 1 or sub_ifds
        following = struct.pack(f"{order}{offset}", 0 if last else starts[number + 1])
        directory = struct.pack(f"{order}{count}", len(entries)) + b"".join(entries) + following
        data += directory.ljust(size + entry_size, b"\0")
    magic = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}H", 43 if big else 42)
    head = magic + (struct.pack(f"{order}HHQ", 8, 0, start) if big else struct.pack(f"{order}I", start))
    return head.ljust(start, b"\0") + data + listed


def check(data: bytes) -> None:
    """Check bytes in memory."""
    read_directories(lambda start, length: data[start : start + length], "image")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("sub_ifds", [False, True])
def test_directories_are_limited(order: str, big: bool, sub_ifds: bool) -> None:
    """As many directories as the limit pass, in both byte orders and sizes, chained or listed; one more doesn't."""
    directories = 3000
    assert directories < MAX_DIRECTORIES
    check(tiff(directories, big=big, order=order, sub_ifds=sub_ifds))
    with pytest.raises(PayloadTooLarge, match="4096 directories, 512 tags each and 32768 in all"):
        check(tiff(MAX_DIRECTORIES + 1, big=big, order=order, sub_ifds=sub_ifds))


def test_tags_are_limited() -> None:
    """512 tags of a directory pass, and 513 don't; 64 directories of 512 tags pass, and 65 don't."""
    check(tiff(1, MAX_TAGS - len(_IMAGE_TAGS)))
    check(tiff(MAX_TOTAL_TAGS // MAX_TAGS, MAX_TAGS - len(_IMAGE_TAGS)))
    for data in (tiff(1, MAX_TAGS - 8), tiff(MAX_TOTAL_TAGS // MAX_TAGS + 1, MAX_TAGS - len(_IMAGE_TAGS))):
        with pytest.raises(PayloadTooLarge, match="too many TIFF directories or tags"):
            check(data)


def test_empty_directories_are_limited() -> None:
    """4,096 directories without tags pass, and 4,097 don't."""
    for directories in (MAX_DIRECTORIES, MAX_DIRECTORIES + 1):
        starts = [8 + 6 * number for number in range(directories)]
        chain = b"".join(struct.pack("<HI", 0, start) for start in [*starts[1:], 0])
        data = b"II*\0" + struct.pack("<I", 8) + chain
        if directories > MAX_DIRECTORIES:
            with pytest.raises(PayloadTooLarge, match="limits are 4096 directories"):
                check(data)
        else:
            check(data)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("listed", [1, 2])
def test_subdirectories_are_read(big: bool, listed: int) -> None:
    """One subdirectory has its offset in the tag, and two have theirs elsewhere; both make the file not plain."""
    data = tiff(1 + listed, big=big, sub_ifds=True)
    if listed == 1:
        layout = Layout.of(data)
        position = (
            data.index(struct.pack("<HHQ" if big else "<HHI", 330, 4, 1)) + layout.entry.size - layout.offset.size
        )
        (where,) = layout.offset.unpack_from(data, position)
        data = data[:position] + data[where : where + layout.offset.size] + data[position + layout.offset.size :]
    found = read_directories(lambda start, length: data[start : start + length], "image")
    assert [len(entries) for entries in found.entries] == [10, *[9] * listed]
    assert not found.is_whole_chain


def test_a_chain_that_loops_ends() -> None:
    """A directory that follows itself counts once, and a damaged header ends the check."""
    data = bytearray(tiff(1))
    struct.pack_into("<I", data, 8192 + 2 + 12 * len(_IMAGE_TAGS), 8192)
    for damaged in (bytes(data), bytes(data[:8300]), b"II*\0", b"II*\0\xff\xff\xff\xff", b"II+\0\x08\0\0\0"):
        check(damaged)


@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
@pytest.mark.parametrize(("position", "value"), [(4, 1), (4, 0), (5, 8), (5, 4), (6, 1), (7, 1)])
def test_the_header_of_a_bigtiff_is_checked(order: str, position: int, value: int) -> None:
    """A BigTIFF with offsets of another size than 8 bytes, or with a reserved field, is rejected as by GDAL."""
    data = bytearray(geotiff(np.ones((16, 16), np.uint8), BIGTIFF="YES", ENDIANNESS=order, **TILED))
    expected = data[position] == value
    data[position] = value
    assert (
        read_directories(lambda start, length: bytes(data[start : start + length]), "image").is_whole_chain == expected
    )
    if not expected:
        with pytest.raises(UnsupportedImage):
            raster_of(bytes(data))


def test_a_tag_bomb_costs_no_time() -> None:
    """A TIFF of 14 MB with 300 directories of 4,000 tags, a minute of work, is rejected within 0.2 s of CPU time."""
    bomb = tiff(300, 4000)
    for read in (lambda: raster_of(bomb), lambda: read_extent(RecordingReader(bomb), DecodeLimits())):
        started = thread_time()
        with pytest.raises(PayloadTooLarge, match="too many TIFF directories or tags"):
            read()
        assert thread_time() - started < 0.2


def test_blocks_of_a_window_are_limited() -> None:
    """A window over 70,000 rows of one strip each is rejected, and one over 60,000 is read; tiles count by area."""
    rows = geotiff(np.ones((70_000, 1), np.uint16), blockysize=1)
    with pytest.raises(PayloadTooLarge, match=r"requires decoding 70000 tiles or strips .* limit is 65536"):
        raster_of(rows)
    assert raster_of(rows, window=(0, 5, 1, 60_000)).window.height == 60_000
    assert raster_of(geotiff(np.ones((300, 600), np.uint16), **TILED)).shape == (300, 600)
