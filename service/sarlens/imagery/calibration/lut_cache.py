"""Sentinel-1 calibration lookup tables, read once for all renderings of a measurement."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from sarlens.imagery.calibration.models import Calibrator, PerBandCalibration, Sentinel1Calibration
from sarlens.imagery.calibration.sentinel1 import read_calibration_luts
from sarlens.imagery.core.cache import LRUCache, SingleFlight
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.source_image import Annotation, SourceImage
from sarlens.types.render_params import Calibration

MAX_CACHE_BYTES = 64 * 2**20
"""Default size of the cache in bytes. The tables of a Sentinel-1 IW measurement use about half a megabyte."""

Key: TypeAlias = tuple[str, ...]
"""A coefficient and the versions of the annotation files."""


class CalibrationCache:
    """Reads Sentinel-1 annotation, and caches the most recently used tables.

    Concurrent requests for the same tables share one read.
    """

    def __init__(self, threads: ImageThreads, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._threads = threads
        self._cache: LRUCache[Key, Sentinel1Calibration] = LRUCache(max_bytes, getsizeof=lambda luts: luts.nbytes)
        self._flights: SingleFlight[Key, Sentinel1Calibration] = SingleFlight()

    async def get(self, source_image: SourceImage, calibration: Calibration) -> Calibrator | None:
        """Return the calibration that an image's annotation files describe.

        Returns:
            One calibration for each measurement that has annotation; None if no measurement has any.

        Raises:
            CalibrationMissing: The annotation is damaged or incomplete.
            SarlensError: A file of the annotation can't be read.
        """
        measurements = source_image.measurements
        annotations = [measurement.annotation for measurement in measurements if measurement.annotation is not None]
        luts = await asyncio.gather(*(self._load(annotation, calibration) for annotation in annotations))
        return PerBandCalibration(tuple(luts)) if len(luts) > 1 else next(iter(luts), None)

    async def _load(self, annotation: Annotation, calibration: Calibration) -> Sentinel1Calibration:
        key = (calibration, *(reader.version for reader in annotation.objects))
        return self._cache.get(key) or await self._flights.run(key, lambda: self._read(key, annotation, calibration))

    async def _read(self, key: Key, annotation: Annotation, calibration: Calibration) -> Sentinel1Calibration:
        luts = await self._threads.run(annotation.calibration, read_calibration_luts, annotation, calibration)
        self._cache.put(key, luts)
        return luts
