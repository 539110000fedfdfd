"""Calibration tables of Sentinel-1, read once for all pictures of a measurement."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from typing import TypeAlias

from sarlens.imagery.annotation import read_sentinel1
from sarlens.imagery.cache import ByteLRU, SingleFlight
from sarlens.imagery.calibration import Banded, Calibrator, Sentinel1
from sarlens.imagery.original import Annotation, Original
from sarlens.request import Calibration

KEPT_BYTES = 64 * 2**20
"""A table of Sentinel-1 IW weighs about half a megabyte."""

Key: TypeAlias = tuple[str, ...]


class Tables:
    """Reads annotation, and keeps the tables used last."""

    def __init__(self, threads: Executor, kept_bytes: int = KEPT_BYTES) -> None:
        self._threads = threads
        self._kept: ByteLRU[Key, Sentinel1] = ByteLRU(kept_bytes, weigh=lambda table: table.nbytes)
        self._flights: SingleFlight[Key, Sentinel1] = SingleFlight()

    async def of(self, original: Original, wanted: Calibration) -> Calibrator | None:
        """The calibration that stands beside an image; None where none does or none is wanted.

        Raises:
            CalibrationMissing: the annotation cannot be used.
            SarlensError: it cannot be had.
        """
        beside = [each.annotation for each in original.measurements if each.annotation is not None]
        tables = await asyncio.gather(*(self._table(each, wanted) for each in beside))
        return Banded(tuple(tables)) if len(tables) > 1 else next(iter(tables), None)

    async def _table(self, annotation: Annotation, wanted: Calibration) -> Sentinel1:
        key = (wanted, *(blob.version for blob in annotation.blobs))
        return self._kept.get(key) or await self._flights.run(key, lambda: self._read(key, annotation, wanted))

    async def _read(self, key: Key, annotation: Annotation, wanted: Calibration) -> Sentinel1:
        loop = asyncio.get_running_loop()
        table = await loop.run_in_executor(self._threads, read_sentinel1, annotation, wanted)
        self._kept.put(key, table)
        return table
