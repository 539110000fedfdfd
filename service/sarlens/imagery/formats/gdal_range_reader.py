"""A file for GDAL that reads an object by byte ranges: in few requests, and within a byte budget."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence

from rasterio.abc import MultiByteRangeResourceContainer

from sarlens.errors import PayloadTooLarge, SarlensError, UnsupportedImage
from sarlens.imagery.core.image_task import check_task
from sarlens.imagery.core.object_reader import PAGE_BYTES, ObjectReader, RangePrefetcher

MAX_GAP_BYTES = 64 * 1024
"""Longest gap between two ranges that are fetched in one request."""
_MAX_PREFETCH_BYTES = 16 * 2**20
"""Bytes that are fetched at the same time, in many requests."""
_MAX_CACHED_PAGES = 256
"""Most recently fetched pages that stay in memory: 16 MiB."""


class GdalRangeReader:
    """A virtual folder with one file, the only one that GDAL can open.

    GDAL reads headers through ``read``, a few bytes at a time. They are fetched in pages, and the latest pages are
    cached. GDAL reads tiles and strips through ``get_byte_ranges``, all of a window at once. Ranges that are close to
    each other are fetched in one request.

    GDAL can't propagate Python exceptions. The first error is stored in ``first_error``, and from then on every read
    returns no bytes, as at the end of the file.
    """

    name = "image.tif"

    def __init__(self, reader: ObjectReader, head: bytes, byte_budget: int) -> None:
        self.reader = reader
        """The object."""
        self.byte_budget = byte_budget
        """Bytes that may still be fetched."""
        self.bytes_fetched = 0
        """Bytes fetched so far."""
        self.first_error: Exception | None = None
        """The first error of a read."""
        self._pages = {
            start // PAGE_BYTES: head[start : start + PAGE_BYTES] for start in range(0, len(head), PAGE_BYTES)
        }

    def raise_first_error(self) -> None:
        """Raise the first error of a read, if one failed."""
        if self.first_error:
            raise self.first_error

    def open(self, path: str, mode: str = "rb") -> RangeFile:
        """Open the image. GDAL also tries sidecar files, which don't exist."""
        if path != self.name or "w" in mode or "+" in mode:
            raise FileNotFoundError(path)
        return RangeFile(self)

    def isfile(self, path: str) -> bool:
        """Return whether the path is that of the image."""
        return path == self.name

    def isdir(self, path: str) -> bool:
        """Return False: there are no folders."""
        return False

    def ls(self, path: str) -> list[str]:
        """Return an empty list: GDAL sees no files next to the image."""
        return []

    def mtime(self, path: str) -> int:
        """Return 0: one version of an object doesn't change."""
        return 0

    def size(self, path: str) -> int:
        """Return the length of the image in bytes."""
        if path != self.name:
            raise FileNotFoundError(path)
        return self.reader.size

    def rm(self, path: str) -> None:
        """Refuse to remove a file."""
        raise PermissionError(path)

    def read_cached(self, start: int, length: int) -> bytes:
        """Return bytes from cached pages; missing pages are fetched first."""
        stop = min(start + length, self.reader.size)
        if start >= stop or not self._check_task():
            return b""
        first, last = start // PAGE_BYTES, (stop - 1) // PAGE_BYTES
        missing = [page for page in range(first, last + 1) if page not in self._pages]
        if missing:
            fetch_start = missing[0] * PAGE_BYTES
            data = self._fetch(fetch_start, min((missing[-1] + 1) * PAGE_BYTES, self.reader.size))
            for offset in range(0, len(data), PAGE_BYTES):
                self._pages[(fetch_start + offset) // PAGE_BYTES] = data[offset : offset + PAGE_BYTES]
        if self.first_error:
            return b""
        joined = b"".join(self._pages[page] for page in range(first, last + 1))
        for page in list(self._pages)[:-_MAX_CACHED_PAGES]:
            del self._pages[page]
        return joined[start - first * PAGE_BYTES : stop - first * PAGE_BYTES]

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        """Return the bytes of several ranges, in the order of the arguments; all empty after an error."""
        stops = (offset + size for offset, size in zip(offsets, sizes, strict=True))
        spans = _merge_spans(sorted(zip(offsets, stops, strict=True)))
        span_starts = [start for start, _ in spans]
        self._prefetch(spans)
        fetched = [self._fetch(start, stop) for start, stop in spans]
        if self.first_error:
            return [b"" for _ in offsets]
        ranges = []
        for offset, size in zip(offsets, sizes, strict=True):
            span = bisect_right(span_starts, offset) - 1
            start = offset - span_starts[span]
            ranges.append(fetched[span][start : start + size])
        return ranges

    def _prefetch(self, spans: Sequence[tuple[int, int]]) -> None:
        """Let a remote reader fetch many short spans at the same time; an error appears when they are read."""
        reader, size = self.reader, sum(stop - start for start, stop in spans)
        if len(spans) < 2 or size > min(_MAX_PREFETCH_BYTES, self.byte_budget) or not self._check_task():
            return
        if isinstance(reader, RangePrefetcher) and all(stop <= reader.size for _, stop in spans):
            try:
                reader.prefetch(spans)
            except Exception as error:  # noqa: BLE001 - GDAL can't propagate it; raise_first_error does
                self.first_error = error

    def _fetch(self, start: int, stop: int) -> bytes:
        """Return bytes of the object, or none after an error."""
        if not self._check_task():
            return b""
        try:
            return self._read_within_budget(start, stop)
        except Exception as error:  # noqa: BLE001 - GDAL can't propagate it; raise_first_error does
            self.first_error = error
            return b""

    def _check_task(self) -> bool:
        """Return whether the next read is allowed: none has failed, and the task is within its limits."""
        try:
            check_task()
        except Exception as error:  # noqa: BLE001 - GDAL can't propagate it; raise_first_error does
            self.first_error = self.first_error or error
        return self.first_error is None

    def _read_within_budget(self, start: int, stop: int) -> bytes:
        if stop > self.reader.size:  # GDAL would leave the rest of its buffer as it is, with bytes of other images
            raise _truncated_error(self.reader)
        if all(page in self._pages for page in range(start // PAGE_BYTES, (stop - 1) // PAGE_BYTES + 1)):
            return self.read_cached(start, stop - start)
        self.byte_budget -= stop - start
        self.bytes_fetched += stop - start
        if self.byte_budget < 0:
            raise PayloadTooLarge(f"{self.reader.name} spreads over more bytes than an image of its size needs.")
        data = self.reader.read(start, stop - start)
        if len(data) < stop - start:
            raise _truncated_error(self.reader)
        return data


MultiByteRangeResourceContainer.register(GdalRangeReader)


class RangeFile(io.RawIOBase):
    """An open file at a position, as GDAL expects it."""

    def __init__(self, range_reader: GdalRangeReader) -> None:
        self._range_reader = range_reader
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset`` bytes from the start, the position or the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._range_reader.reader.size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes, or the rest of the file."""
        length = size if size >= 0 else self._range_reader.reader.size
        data = self._range_reader.read_cached(self._position, length)
        self._position += len(data)
        return data

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        """Return the bytes of several ranges, in the order of the arguments."""
        return self._range_reader.get_byte_ranges(offsets, sizes)


def _truncated_error(reader: ObjectReader) -> SarlensError:
    """Return the error for an image whose header refers to bytes after its end."""
    return UnsupportedImage(
        f"{reader.name} is truncated: its header refers to bytes after the end of the file, at {reader.size}."
    )


def _merge_spans(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge sorted spans (start, stop) that overlap, or that are separated by a short gap."""
    merged: list[tuple[int, int]] = []
    for start, stop in spans:
        if merged and start - merged[-1][1] <= MAX_GAP_BYTES:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
