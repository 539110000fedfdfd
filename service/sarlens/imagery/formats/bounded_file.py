"""Bytes of a PNG, JPEG or WebP whose decoding is bounded in time, and not only by the size of the image."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import numpy as np

from sarlens.errors import PayloadTooLarge
from sarlens.imagery.core.image_task import check_task

MAX_SCANS = 100
"""Maximum number of scans of a JPEG: each passes over all pixels, even without data. libtiff has the same limit."""
MAX_ARITHMETIC_SCANS = 10
"""Maximum number of scans of an arithmetic-coded JPEG, whose scans take 25 times as long."""
MAX_READS = 256 * 1024
"""Maximum number of reads of a decoder, which are a few for each chunk or segment."""

_BLOCK = 2**20
_MAX_SEGMENTS = 64 * 1024
_START_OF_SCAN = 0xDA
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A marker that isn't a restart; entropy-coded data has none."""
_START_OF_IMAGE, _END_OF_IMAGE = 0xD8, 0xD9
_FIRST_WITH_LENGTH = 0xC0
_HUFFMAN_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7})
_ARITHMETIC_FRAMES = frozenset({0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})


class BoundedFile(io.BytesIO):
    """A file for Pillow, which checks the limits of the task as often as the decoder reads."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self._name = name
        self._reads_left = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Read bytes.

        Raises:
            PayloadTooLarge: the decoder has read too often, or used too much CPU time.
            ImageTaskCanceled: the task was canceled.
        """
        self._reads_left -= 1
        if self._reads_left < 0:
            raise PayloadTooLarge(
                f"{self._name} consists of too many parts: decoding takes more than {MAX_READS} reads."
            )
        check_task()
        return super().read(size)


def check_jpeg_scans(data: bytes, name: str) -> None:
    """Reject a JPEG with too many scans before it is decoded.

    The count of all byte pairs of a start of scan is fast and never too low. It can be too high for a JPEG with other
    data inside or after it, so that only then all segments are walked.

    Raises:
        PayloadTooLarge: the JPEG has more scans than the limit of its coding, or too many segments.
    """
    pairs = _count_pairs(data)
    if pairs <= MAX_ARITHMETIC_SCANS:
        return
    frames = _HUFFMAN_FRAMES | _ARITHMETIC_FRAMES
    frame = next((marker for marker in _markers(data, name) if marker in frames), 0)
    limit = MAX_SCANS if frame in _HUFFMAN_FRAMES else MAX_ARITHMETIC_SCANS
    if pairs > limit and sum(marker == _START_OF_SCAN for marker in _markers(data, name)) > limit:
        raise PayloadTooLarge(f"{name} is a JPEG with more than {limit} scans, which is the limit for its coding.")


def _count_pairs(data: bytes) -> int:
    """Count the bytes of a start of scan, wherever they are. ``bytes.count`` takes eight times as long."""
    count = 0
    for start in range(0, len(data) - 1, _BLOCK):
        block = np.frombuffer(data, np.uint8, min(_BLOCK + 1, len(data) - start), start)
        count += int(np.count_nonzero((block[:-1] == 0xFF) & (block[1:] == _START_OF_SCAN)))
    return count


def _markers(data: bytes, name: str) -> Iterator[int]:
    """Yield the markers of the first image, as libjpeg finds them: garbage is skipped, segments have a length."""
    position = len(b"\xff\xd8")
    for _ in range(_MAX_SEGMENTS):
        match = _MARKER.search(data, position)
        marker = data[match.end() - 1] if match else _END_OF_IMAGE
        if match is None or marker == _END_OF_IMAGE:
            return
        yield marker
        position = match.end()
        if marker >= _FIRST_WITH_LENGTH and marker != _START_OF_IMAGE:
            position += max(2, int.from_bytes(data[position : position + 2]))
    raise PayloadTooLarge(f"{name} is a JPEG with more than {_MAX_SEGMENTS} segments.")
