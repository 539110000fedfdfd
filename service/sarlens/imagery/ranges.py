"""Lets GDAL read a blob by ranges: few, exact and never more than the image can need."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence

from rasterio.abc import MultiByteRangeResourceContainer

from sarlens.errors import SarlensError, TooLarge, UnsupportedImage
from sarlens.imagery.blob import Blob

PAGE = 64 * 1024
_GAP = 64 * 1024
_KEPT = 256
"""Pages that are kept, the last ones fetched: 16 MB."""


class Ranges:
    """The one file of a virtual folder that is all GDAL gets to see.

    Headers come through ``read``: libtiff takes them in bites of some bytes, so that they are fetched in pages, of
    which some are kept. Tiles and strips come through ``get_byte_ranges``: GDAL names all that a window needs at once,
    and neighbours are fetched together. ``allowance`` counts down the bytes that may still move.

    Nothing raises towards GDAL, which cannot carry an exception: the first failure is kept in ``failure`` and
    reads as the end of the file.
    """

    name = "image.tif"

    def __init__(self, blob: Blob, head: bytes, allowance: int) -> None:
        self.blob = blob
        self.allowance = allowance
        self.failure: Exception | None = None
        self._pages = {start // PAGE: head[start : start + PAGE] for start in range(0, len(head), PAGE)}

    def check(self) -> None:
        """Raise what failed first, if anything did."""
        if self.failure:
            raise self.failure

    def open(self, path: str, mode: str = "rb") -> _Cursor:
        """A cursor on the image. GDAL looks for companions of an image too, and finds none."""
        if path != self.name or "w" in mode or "+" in mode:
            raise FileNotFoundError(path)
        return _Cursor(self)

    def isfile(self, path: str) -> bool:
        """Whether GDAL means the image itself."""
        return path == self.name

    def isdir(self, path: str) -> bool:
        """There are no folders."""
        return False

    def ls(self, path: str) -> list[str]:
        """Nothing lies beside the image."""
        return []

    def mtime(self, path: str) -> int:
        """One version of an object has no history."""
        return 0

    def size(self, path: str) -> int:
        """Length of the image in bytes."""
        if path != self.name:
            raise FileNotFoundError(path)
        return self.blob.size

    def rm(self, path: str) -> None:
        """Nothing here is written, so nothing is removed."""
        raise PermissionError(path)

    def page_bytes(self, start: int, length: int) -> bytes:
        """Bytes of the header, from pages that are fetched when they are first touched."""
        stop = min(start + length, self.blob.size)
        if start >= stop:
            return b""
        first, last = start // PAGE, (stop - 1) // PAGE
        missing = [page for page in range(first, last + 1) if page not in self._pages]
        if missing:
            begin = missing[0] * PAGE
            data = self._fetch(begin, min((missing[-1] + 1) * PAGE, self.blob.size))
            self._pages.update({(begin + at) // PAGE: data[at : at + PAGE] for at in range(0, len(data), PAGE)})
        if self.failure:
            return b""
        joined = b"".join(self._pages[page] for page in range(first, last + 1))
        for page in list(self._pages)[:-_KEPT]:
            del self._pages[page]
        return joined[start - first * PAGE : stop - first * PAGE]

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        """The bytes of several ranges, in the order asked."""
        spans = _merged(sorted(zip(offsets, (o + s for o, s in zip(offsets, sizes, strict=True)), strict=True)))
        begins = [begin for begin, _ in spans]
        fetched = [self._fetch(begin, end) for begin, end in spans]
        if self.failure:
            return [b"" for _ in offsets]
        found = []
        for offset, size in zip(offsets, sizes, strict=True):
            span = bisect_right(begins, offset) - 1
            at = offset - begins[span]
            found.append(fetched[span][at : at + size])
        return found

    def _fetch(self, start: int, stop: int) -> bytes:
        """Bytes of the blob; what fails is kept, and the answer is empty then and from then on."""
        if self.failure:
            return b""
        try:
            return self._checked(start, stop)
        except Exception as error:  # noqa: BLE001 - GDAL cannot carry it; whoever opened the image raises it
            self.failure = error
            return b""

    def _checked(self, start: int, stop: int) -> bytes:
        if all(page in self._pages for page in range(start // PAGE, (stop - 1) // PAGE + 1)):
            return self.page_bytes(start, stop - start)
        self.allowance -= stop - start
        if self.allowance < 0:
            raise TooLarge(f"{self.blob.name} spreads over more bytes than an image of its size can need.")
        data = self.blob.read(start, stop - start) if stop <= self.blob.size else b""
        if len(data) < stop - start:
            raise cut_short(self.blob)
        return data


MultiByteRangeResourceContainer.register(Ranges)


class _Cursor(io.RawIOBase):
    """A place in the image, as GDAL expects of an open file."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._at = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ranges.blob.size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        length = size if size >= 0 else self._ranges.blob.size
        data = self._ranges.page_bytes(self._at, length)
        self._at += len(data)
        return data

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        """The bytes of several ranges, in the order asked."""
        return self._ranges.get_byte_ranges(offsets, sizes)


def cut_short(blob: Blob) -> SarlensError:
    """The error for an image whose header points behind its end."""
    return UnsupportedImage(f"{blob.name} is cut short: its header points behind its last byte, {blob.size}.")


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted spans, with those joined that overlap or lie so near that one request costs less than two."""
    joined: list[tuple[int, int]] = []
    for begin, end in spans:
        if joined and begin - joined[-1][1] <= _GAP:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined
