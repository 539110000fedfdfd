"""Measurements of Sentinel-1 SLC with merged bursts; each version of a measurement is merged once."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from sarlens.errors import UnsupportedImage
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import ObjectReader
from sarlens.imagery.products.bursts import KEEP, read_bursts
from sarlens.imagery.products.file_headers import FileHeaders, RowReader

KEEP_BURSTS = KEEP
MERGE_REVISION = 1
"""Increase this number with every change of the rule, so that no cache returns an outdated image."""
_MAX_LINES = 2**20
"""Lines of cached headers, which take about 20 bytes each."""


class _Merged(NamedTuple):
    """How a measurement is read."""

    open_rows: RowReader | None
    """Opener of the merged image; None if the measurement has no bursts."""
    lines: int


class BurstFiles:
    """Merges bursts."""

    def __init__(self, threads: ImageThreads, headers: FileHeaders) -> None:
        self._threads = threads
        self._headers = headers
        self._merged: LRUCache[str, _Merged] = LRUCache(_MAX_LINES, getsizeof=lambda merged: merged.lines)

    async def merge(self, reader: ObjectReader, annotation: ObjectReader) -> ObjectReader:
        """Return the image of the merged bursts of a measurement, or the measurement if it has none.

        Raises:
            UnsupportedImage: the bursts can't be merged.
            SarlensError: a file can't be read.
        """
        identity = f"{MERGE_REVISION} {reader.version} {annotation.version}"
        version = f"bursts:{sha256(identity.encode()).hexdigest()}"
        merged = self._merged.get(version)
        if merged is None:
            merged = await self._threads.run(reader, self._merge, reader, annotation)
            self._merged.put(version, merged)
        return reader if merged.open_rows is None else merged.open_rows(reader, version)

    def _merge(self, reader: ObjectReader, annotation: ObjectReader) -> _Merged:
        bursts = read_bursts(annotation)
        if bursts is None:
            return _Merged(None, 1)
        try:
            open_rows = self._headers.select_rows(reader, bursts.shape, bursts.rows, bursts.tie_points)
        except UnsupportedImage as error:
            raise UnsupportedImage(f"The bursts can't be merged: {error.message}{KEEP}") from None
        return _Merged(open_rows, len(bursts.rows))
