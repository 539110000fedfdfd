"""The file that GDAL reads: pages, merged ranges, the byte budget, and errors."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagery.object_fixtures import RecordingReader
from sarlens.errors import PayloadTooLarge, SourceChanged, UnsupportedImage
from sarlens.imagery.formats.gdal_range_reader import GdalRangeReader

KIB = 1024
PAGE = 64 * KIB
DATA = np.random.default_rng(0).integers(0, 256, 10 * PAGE + 123, np.uint8).tobytes()


def ranges_of(reader: RecordingReader, byte_budget: int = 2**30, head: bytes = b"") -> GdalRangeReader:
    """Return a range reader without cached pages, unless ``head`` is given."""
    return GdalRangeReader(reader, head, byte_budget)


def test_header_bytes_are_fetched_in_pages_once() -> None:
    """A few bytes fetch the 64 KiB page that contains them; later reads of the page fetch nothing."""
    reader = RecordingReader(DATA)
    ranges = ranges_of(reader, byte_budget=PAGE)
    assert ranges.read_cached(PAGE + 10, 4) == DATA[PAGE + 10 : PAGE + 14]
    assert ranges.read_cached(PAGE, PAGE) == DATA[PAGE : 2 * PAGE]
    assert reader.reads == [(PAGE, PAGE)]
    assert ranges.byte_budget == 0
    ranges.raise_first_error()


def test_the_head_is_cached_and_costs_no_budget() -> None:
    """Bytes of the object that were read to identify its format are never fetched again."""
    reader = RecordingReader(DATA)
    ranges = ranges_of(reader, byte_budget=0, head=DATA[: 2 * PAGE])
    assert ranges.read_cached(PAGE - 2, 4) == DATA[PAGE - 2 : PAGE + 2]
    assert ranges.get_byte_ranges([5, PAGE], [10, PAGE]) == [DATA[5:15], DATA[PAGE : 2 * PAGE]]
    assert reader.reads == []
    ranges.raise_first_error()


def test_missing_pages_are_fetched_in_one_request() -> None:
    """A read over several pages fetches from the first missing page to the last."""
    reader = RecordingReader(DATA)
    ranges = ranges_of(reader, head=DATA[:PAGE])
    assert ranges.read_cached(100, 3 * PAGE) == DATA[100 : 100 + 3 * PAGE]
    assert reader.reads == [(PAGE, 3 * PAGE)]


def test_a_read_across_cached_and_fetched_pages_is_seamless() -> None:
    """A read that starts in a head of two pages ends in the third, which is fetched."""
    reader = RecordingReader(DATA)
    ranges = ranges_of(reader, head=DATA[: 2 * PAGE])
    assert ranges.read_cached(10, 2 * PAGE) == DATA[10 : 2 * PAGE + 10]
    assert reader.reads == [(2 * PAGE, PAGE)]


@pytest.mark.parametrize("size", [101, 1000])
def test_a_range_that_is_partly_cached_is_fetched_exactly(size: int) -> None:
    """Tiles are fetched by their own bytes, and not by pages, even if only the last byte is missing."""
    reader = RecordingReader(DATA)
    ranges = ranges_of(reader, head=DATA[:PAGE])
    assert ranges.get_byte_ranges([PAGE - 100], [size]) == [DATA[PAGE - 100 : PAGE - 100 + size]]
    assert reader.reads == [(PAGE - 100, size)]


@given(st.lists(st.tuples(st.integers(0, len(DATA) + 9), st.integers(0, 4 * PAGE)), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_reads_return_the_bytes_of_the_object(reads: list[tuple[int, int]]) -> None:
    """Any sequence of reads returns the object's bytes, and fewer only at its end."""
    ranges = ranges_of(RecordingReader(DATA))
    for start, length in reads:
        assert ranges.read_cached(start, length) == DATA[start : start + length]


@given(st.lists(st.tuples(st.integers(0, 9 * PAGE), st.integers(1, PAGE)), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_ranges_return_the_bytes_in_the_order_of_the_request(ranges: list[tuple[int, int]]) -> None:
    """Ranges may overlap, repeat and come in any order."""
    offsets, sizes = [offset for offset, _ in ranges], [size for _, size in ranges]
    expected = [DATA[offset : offset + size] for offset, size in ranges]
    assert ranges_of(RecordingReader(DATA)).get_byte_ranges(offsets, sizes) == expected


@pytest.mark.parametrize(("gap", "reads"), [(64 * KIB, 1), (64 * KIB + 1, 2)])
def test_ranges_with_a_gap_of_at_most_64_kib_are_fetched_in_one_request(gap: int, reads: int) -> None:
    """One request costs less than two, until the gap exceeds 64 KiB."""
    reader = RecordingReader(DATA)
    ranges_of(reader).get_byte_ranges([100 + 1000 + gap, 100], [500, 1000])
    expected = [(100, 1500 + gap)] if reads == 1 else [(100, 1000), (1100 + gap, 500)]
    assert reader.reads == expected


def test_a_range_inside_another_does_not_shorten_it() -> None:
    """The merged request ends at the last byte of all ranges."""
    reader = RecordingReader(DATA)
    assert ranges_of(reader).get_byte_ranges([0, 10], [5000, 20]) == [DATA[:5000], DATA[10:30]]
    assert reader.reads == [(0, 5000)]


@pytest.mark.parametrize("budget", [1000, 999])
def test_the_byte_budget_is_exact(budget: int) -> None:
    """1000 bytes are fetched with a budget of 1000, and not with 999: then the object isn't read at all."""
    reader = RecordingReader(DATA)
    ranges = ranges_of(reader, byte_budget=budget)
    data = ranges.get_byte_ranges([PAGE], [1000])
    if budget == 1000:
        assert data == [DATA[PAGE : PAGE + 1000]]
        assert ranges.byte_budget == 0
        ranges.raise_first_error()
    else:
        assert (data, reader.reads) == ([b""], [])
        with pytest.raises(PayloadTooLarge, match="more bytes than an image of its size needs"):
            ranges.raise_first_error()


def test_pages_and_ranges_share_the_budget() -> None:
    """After a page and a range, the next byte exceeds a budget of their sum."""
    reader = RecordingReader(DATA)
    ranges = ranges_of(reader, byte_budget=PAGE + 700)
    ranges.read_cached(0, 1)
    ranges.get_byte_ranges([5 * PAGE], [700])
    ranges.raise_first_error()
    ranges.get_byte_ranges([7 * PAGE], [1])
    assert reader.bytes_fetched == PAGE + 700
    with pytest.raises(PayloadTooLarge):
        ranges.raise_first_error()


def test_the_last_page_is_as_long_as_the_object() -> None:
    """The remainder of 123 bytes is fetched and charged, not a whole page."""
    reader = RecordingReader(DATA)
    ranges = ranges_of(reader)
    assert ranges.read_cached(10 * PAGE, PAGE) == DATA[10 * PAGE :]
    assert reader.reads == [(10 * PAGE, 123)]
    assert ranges.read_cached(len(DATA), 10) == b""
    ranges.raise_first_error()


def test_a_range_after_the_end_is_a_truncated_image() -> None:
    """The header of a truncated image refers to bytes after its end; nothing is fetched for them."""
    reader = RecordingReader(DATA)
    ranges = ranges_of(reader)
    assert ranges.get_byte_ranges([len(DATA) - 10, 0], [11, 5]) == [b"", b""]
    with pytest.raises(UnsupportedImage, match=f"truncated: .* at {len(DATA)}"):
        ranges.raise_first_error()
    assert reader.reads == [(0, 5)]


def test_one_byte_after_the_end_is_a_truncated_image() -> None:
    """The shortest range after the end is an error too."""
    ranges = ranges_of(RecordingReader(DATA))
    assert ranges.get_byte_ranges([len(DATA)], [1]) == [b""]
    with pytest.raises(UnsupportedImage, match="truncated"):
        ranges.raise_first_error()


def test_a_store_that_returns_too_few_bytes_is_an_error() -> None:
    """A short response counts as a truncated image, never as pixels."""

    class ShortReader(RecordingReader):
        def read(self, start: int, length: int) -> bytes:
            return super().read(start, length)[:-1]

    ranges = ranges_of(ShortReader(DATA))
    assert ranges.get_byte_ranges([0], [10]) == [b""]
    with pytest.raises(UnsupportedImage):
        ranges.raise_first_error()


def test_after_an_error_nothing_is_read() -> None:
    """The first error is kept, and later reads return no bytes without a request."""

    class FailingReader(RecordingReader):
        def read(self, start: int, length: int) -> bytes:
            super().read(start, length)
            raise SourceChanged(f"read {len(self.reads)}")

    reader = FailingReader(DATA)
    ranges = ranges_of(reader, head=DATA[:PAGE])
    assert ranges.read_cached(PAGE, 10) == b""
    assert ranges.read_cached(0, 10) == b""
    assert ranges.read_cached(5 * PAGE, 10) == b""
    assert ranges.get_byte_ranges([3 * PAGE], [5]) == [b""]
    assert len(reader.reads) == 1
    with pytest.raises(SourceChanged, match="read 1"):
        ranges.raise_first_error()


def test_reads_during_an_error_leave_no_page() -> None:
    """Once the error is cleared, pages that were requested in the meantime are fetched."""

    class FlakyReader(RecordingReader):
        failing = True

        def read(self, start: int, length: int) -> bytes:
            if self.failing:
                raise SourceChanged("changed")
            return super().read(start, length)

    reader = FlakyReader(DATA)
    ranges = ranges_of(reader)
    assert ranges.read_cached(PAGE, 10) == b""
    assert ranges.read_cached(3 * PAGE, 10) == b""
    reader.failing = False
    ranges.first_error = None
    assert ranges.read_cached(3 * PAGE, 10) == DATA[3 * PAGE : 3 * PAGE + 10]
    assert ranges.read_cached(PAGE, 10) == DATA[PAGE : PAGE + 10]


def test_256_pages_are_cached() -> None:
    """The 256 latest pages are served from memory; the page before them is fetched again."""
    reader = RecordingReader(bytes(300 * PAGE))
    ranges = ranges_of(reader)
    for page in range(258):
        ranges.read_cached(page * PAGE, 1)
    fetched = len(reader.reads)
    ranges.read_cached(2 * PAGE, 1)
    assert len(reader.reads) == fetched
    ranges.read_cached(1 * PAGE, 1)
    assert len(reader.reads) == fetched + 1


def test_reading_a_whole_file_keeps_16_mib() -> None:
    """However much GDAL reads in small pieces, at most about 16 MiB stay in memory."""
    reader = RecordingReader(bytes(48 * 2**20))
    file = ranges_of(reader, head=reader.data[:PAGE]).open("image.tif")
    tracemalloc.start()
    while file.read(300_000):
        pass
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 18 * 2**20


def test_a_file_has_a_position() -> None:
    """Seek and tell count from the start, the position and the end; a read moves the position."""
    file = ranges_of(RecordingReader(DATA)).open("image.tif")
    assert file.read(0) == b""
    assert file.read(3) == DATA[:3]
    assert file.seek(4, io.SEEK_CUR) == file.tell() == 7
    assert file.seek(-5, io.SEEK_END) == len(DATA) - 5
    assert file.read() == DATA[-5:]
    assert file.tell() == len(DATA)
    assert file.read(1) == b""
    assert file.seek(20) == 20
    assert file.get_byte_ranges([1, 7], [2, 2]) == [DATA[1:3], DATA[7:9]]
    assert file.tell() == 20


def test_gdal_sees_one_file_in_an_empty_folder() -> None:
    """Sidecar files don't exist, and the image can't be written or removed."""
    ranges = ranges_of(RecordingReader(DATA))
    assert (ranges.isfile("image.tif"), ranges.isfile("image.tif.ovr"), ranges.isdir("")) == (True, False, False)
    assert (ranges.ls(""), ranges.mtime("image.tif"), ranges.size("image.tif")) == ([], 0, len(DATA))
    for path, mode in (("image.tif.ovr", "rb"), ("image.tif", "wb"), ("image.tif", "r+b")):
        with pytest.raises(FileNotFoundError):
            ranges.open(path, mode)
    with pytest.raises(FileNotFoundError):
        ranges.size("image.tif.aux.xml")
    with pytest.raises(PermissionError):
        ranges.rm("image.tif")
