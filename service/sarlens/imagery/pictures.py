"""From a URL to the picture that a model sees: open, look in the cache, decode, render."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from time import perf_counter

from sarlens.chat import Shown
from sarlens.imagery.blob import Limits
from sarlens.imagery.cache import ByteLRU, SingleFlight
from sarlens.imagery.decode import decode
from sarlens.imagery.identity import image_id
from sarlens.imagery.raster import Picture
from sarlens.imagery.render import develop
from sarlens.imagery.source import Blob, Sources
from sarlens.metrics import Metrics
from sarlens.request import Render


class Pictures:
    """The darkroom: every image is fetched and rendered once, however many ask for it at the same time."""

    def __init__(
        self, sources: Sources, cache: ByteLRU[str, Picture], threads: Executor, limits: Limits, metrics: Metrics
    ) -> None:
        self._sources = sources
        self._cache = cache
        self._threads = threads
        self._limits = limits
        self._metrics = metrics
        self._flights: SingleFlight[str, Picture] = SingleFlight()

    async def show(self, url: str, render: Render | None, size: int) -> Shown:
        """The picture of an image for a model that sees ``size`` pixels on the longest side.

        Raises:
            SarlensError: the image cannot be had, read or rendered.
        """
        render = render or Render()
        with self._metrics.stage("fetch"):
            blob = await self._sources.open(url)
        try:
            name = image_id(blob.version, render, size)
            picture = self._cache.get(name)
            self._metrics.cache.labels("miss" if picture is None else "hit").inc()
            if picture is None:
                picture = await self._flights.run(name, lambda: self._make(name, blob, render, size))
        finally:
            self._metrics.fetched_bytes.labels(blob.name.partition(":")[0]).inc(blob.bytes_moved)
        return Shown(name, picture.data, picture.media_type)

    async def _make(self, name: str, blob: Blob, render: Render, size: int) -> Picture:
        asked = perf_counter()
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(self._threads, self._develop, asked, blob, render, size)
        self._cache.put(name, picture)
        return picture

    def _develop(self, asked: float, blob: Blob, render: Render, size: int) -> Picture:
        """Runs in a thread; what the blob fetches while it is decoded is counted as fetching."""
        stages = self._metrics.stages
        begun = perf_counter()
        stages.labels("queue").observe(begun - asked)
        raster = decode(blob, render, size, self._limits)
        decoded = perf_counter()
        stages.labels("fetch").observe(blob.seconds)
        stages.labels("decode").observe(decoded - begun - blob.seconds)
        if isinstance(raster, Picture):
            return raster
        with self._metrics.stage("render"):
            return develop(raster, render, size)
