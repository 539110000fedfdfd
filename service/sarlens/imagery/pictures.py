"""From a URL to the picture that a model sees: open, look in the cache, decode, render."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import ParamSpec, TypeVar

from sarlens import tracing
from sarlens.chat import Shown
from sarlens.errors import (
    AccessDenied,
    ImageNotFound,
    NothingMeasured,
    SourceChanged,
    SourceUnavailable,
    Timeout,
)
from sarlens.imagery.blob import Limits
from sarlens.imagery.cache import ByteLRU, SingleFlight
from sarlens.imagery.calibration import Calibrator
from sarlens.imagery.decode import Layout, decode_all, lay_out, locate
from sarlens.imagery.finder import Finder, Found
from sarlens.imagery.identity import image_id
from sarlens.imagery.original import Original
from sarlens.imagery.raster import Picture, Raster
from sarlens.imagery.reel import Reel, Strip
from sarlens.imagery.render import develop
from sarlens.imagery.source import Blob, Sources
from sarlens.imagery.tables import Tables
from sarlens.metrics import Metrics
from sarlens.request import Place, Render, Terms, Window, scheme
from sarlens.stac import Acquisition

P = ParamSpec("P")
T = TypeVar("T")

_TROUBLE = (AccessDenied, ImageNotFound, SourceChanged, SourceUnavailable, Timeout)
"""What a place that holds images does to who asks it; anything else is the request's or the image's own fault."""


@dataclass(frozen=True, slots=True)
class Negative:
    """An image that has been found and not yet drawn: one version of it, and how it is to be rendered.

    ``size`` is the longest side that the model sees; ``public`` says that anybody may fetch the image. ``place`` is
    where it is; where a STAC Item led to it, ``acquisition`` is what that says of it.
    """

    id: str
    original: Original
    render: Render
    size: int
    public: bool
    place: str | bytes
    acquisition: Acquisition | None = None

    @property
    def side(self) -> int:
        """Longest side that the picture may have, in pixels."""
        return self.render.size or self.size

    @property
    def pixels(self) -> int:
        """Most pixels that the picture has."""
        return self.side**2

    def shown(self, picture: Picture) -> Shown:
        """The picture under its content id."""
        return Shown(self.id, picture.data, picture.media_type)


class Pictures:
    """The darkroom: every image is fetched and rendered once, however many ask for it at the same time."""

    def __init__(
        self, sources: Sources, cache: ByteLRU[str, Picture], threads: Executor, limits: Limits, metrics: Metrics
    ) -> None:
        self._sources = sources
        self._finder = Finder(self._open, threads)
        self._tables = Tables(threads)
        self._cache = cache
        self._threads = threads
        self._limits = limits
        self._metrics = metrics
        self._flights: SingleFlight[str, Picture] = SingleFlight()

    async def find(
        self, place: Place, render: Render | None, size: int, terms: Terms, version: str | None = None
    ) -> Negative:
        """Find an image and settle its version, window and id, for a model that sees ``size`` pixels on the long side.

        A place on the map becomes the window that covers it, so that both ways of asking share an id.

        Raises:
            SourceChanged: the image is no longer of the ``version`` that is wanted.
            SarlensError: the image cannot be had.
        """
        with self._metrics.stage("fetch") as span:
            found = await self._finder.find(place, render or Render(), terms)
            original, render = found.original, found.render
            span.set({"sarlens.image": original.name})
            if version is not None and original.version != version:
                raise SourceChanged(f"{original.name} is another version now than the one that was asked about.")
        if render.on_map:
            with self._noting(original.name):
                render = render.at(await self._in_thread(locate, original.first, render, self._limits))
        for each in found.opened:
            self._count(each, 0)
        name = image_id("\n".join(each.version for each in original.blobs), render, size)
        public = self._sources.public(found.place)
        return Negative(name, original, render, size, public, found.place, found.acquisition)

    async def draw(self, negative: Negative) -> Picture:
        """The picture of an image that has been found.

        Raises:
            SarlensError: the image cannot be read or rendered.
        """
        picture = self._cache.get(negative.id)
        self._metrics.cache.labels("miss" if picture is None else "hit").inc()
        if picture is not None:
            return picture
        blobs = negative.original.blobs
        moved = [blob.bytes_moved for blob in blobs]
        try:
            return await self._flights.run(negative.id, lambda: self._make(negative))
        finally:
            for blob, before in zip(blobs, moved, strict=True):
                self._count(blob, before)

    @asynccontextmanager
    async def reel(self, negative: Negative) -> AsyncIterator[Reel]:
        """The image of a negative, open for ``draw_together``; raises as ``draw`` does."""
        blobs = negative.original.blobs
        async with Reel.of(negative.original, negative.render, negative.side, self._limits) as reel:
            moved = [blob.bytes_moved for blob in blobs]
            try:
                yield reel
            finally:
                for blob, before in zip(blobs, moved, strict=True):
                    self._count(blob, before)

    async def draw_together(self, reel: Reel, negatives: Sequence[Negative]) -> set[str]:
        """Draw windows of one strip of an image, and keep their pictures for who asks next.

        Returns:
            The ids of those in which nothing was measured.

        Raises:
            SarlensError: the image cannot be read or rendered.
        """
        missing = [negative for negative in negatives if self._cache.get(negative.id) is None]
        if not missing:
            return set()
        with self._metrics.stage("decode"), self._noting(missing[0].original.name):
            strip = await reel.read([Window(*negative.render.window or ()) for negative in missing])
        calibrator = await self._calibrator(missing[0])
        drawn = (self._in_thread(self._cut, strip, negative, calibrator) for negative in missing)
        pictures = dict(zip(missing, await asyncio.gather(*drawn), strict=True))
        for negative, picture in pictures.items():
            if picture is not None:
                self._cache.put(negative.id, picture)
        return {negative.id for negative, picture in pictures.items() if picture is None}

    async def _calibrator(self, negative: Negative) -> Calibrator | None:
        with self._noting(negative.original.name):
            return await self._tables.of(negative.original, negative.render.calibration)

    def _cut(self, strip: Strip, negative: Negative, calibrator: Calibrator | None) -> Picture | None:
        """The picture of one window of a strip; None where nothing was measured. Runs in a thread."""
        raster = strip.raster(Window(*negative.render.window or ()))
        if not raster.valid.any():
            return None
        try:
            return self._render(raster, negative, calibrator)
        except NothingMeasured:
            return None

    def _render(self, raster: Raster, negative: Negative, calibrator: Calibrator | None) -> Picture:
        with self._metrics.stage("render"):
            return develop(raster, negative.render, negative.size, calibrator)

    async def lay_out(self, place: Place, render: Render, terms: Terms) -> tuple[Found, Layout | None]:
        """An image, how large it is and where it lies; None where it is no TIFF.

        Raises:
            SarlensError: the image cannot be had, or its header not be read.
        """
        found = await self._finder.find(place, render, terms)
        with self._noting(found.original.name):
            return found, await self._in_thread(lay_out, found.original.first, self._limits)

    async def show(self, place: Place, render: Render | None, size: int, terms: Terms) -> Shown:
        """The picture of an image, found and drawn; raises as both do."""
        negative = await self.find(place, render, size, terms)
        return negative.shown(await self.draw(negative))

    async def _open(self, place: str | bytes) -> Blob:
        name = place if isinstance(place, str) else "data:"
        with self._noting(name):
            blob = await self._sources.open(place)
        self._metrics.source.labels(scheme(name), "found").inc()
        return blob

    @contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        """Count what goes wrong at the place that holds an image; a scheme that is not offered is never asked."""
        try:
            yield
        except _TROUBLE as error:
            self._metrics.source.labels(scheme(name), error.code).inc()
            raise

    def _count(self, blob: Blob, before: int) -> None:
        self._metrics.fetched_bytes.labels(scheme(blob.name)).inc(blob.bytes_moved - before)

    async def _make(self, negative: Negative) -> Picture:
        calibrator = await self._calibrator(negative)
        with self._noting(negative.original.name):
            picture = await self._in_thread(self._develop, perf_counter(), negative, calibrator)
        self._cache.put(negative.id, picture)
        return picture

    async def _in_thread(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What blocking work comes to; it goes on in the same trace."""
        run = partial(copy_context().run, work, *given, **named)
        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def _develop(self, asked: float, negative: Negative, calibrator: Calibrator | None) -> Picture:
        """Runs in a thread; what is fetched while the image is decoded is counted as fetching."""
        original = negative.original
        stages = self._metrics.stages
        begun = perf_counter()
        stages.labels("queue").observe(begun - asked)
        tracing.here().child("queue", begun=asked).end()
        with tracing.span("decode") as span:
            raster = decode_all(original, negative.render, negative.size, self._limits)
            fetching = sum(each.blob.seconds for each in original.measurements)
            span.set({"sarlens.fetch_seconds": fetching})
        decoded = perf_counter()
        stages.labels("fetch").observe(fetching)
        stages.labels("decode").observe(decoded - begun - fetching)
        if isinstance(raster, Picture):
            return raster
        return self._render(raster, negative, calibrator)
