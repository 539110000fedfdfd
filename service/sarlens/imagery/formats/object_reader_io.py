"""A file object over an object reader, with a byte budget."""

from __future__ import annotations

import io
from typing import Any

from sarlens.errors import PayloadTooLarge
from sarlens.imagery.core.image_task import check_task
from sarlens.imagery.core.object_reader import ObjectReader


class ObjectReaderIO(io.RawIOBase):
    """A raw, read-only file whose bytes come from an object reader."""

    def __init__(self, reader: ObjectReader, byte_budget: int) -> None:
        self.byte_budget = byte_budget
        """Bytes that may still be fetched."""
        self._reader = reader
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset`` bytes from the start, the position or the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._reader.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with bytes from the position on, and return their number.

        Raises:
            PayloadTooLarge: The byte budget is exhausted, or the task has used too much CPU time.
            SarlensError: The object can't be read.
        """
        check_task()
        data = self._reader.read(self._position, min(len(buffer), max(0, self._reader.size - self._position)))
        self.byte_budget -= len(data)
        if self.byte_budget < 0:
            raise PayloadTooLarge(f"{self._reader.name} spreads over more bytes than an image of its size needs.")
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
