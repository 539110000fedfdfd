"""From a URL to the picture that a model sees: open, look in the cache, decode, render."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import ParamSpec, TypeVar

from sarlens import tracing
from sarlens.chat import Shown
from sarlens.errors import (
    AccessDenied,
    CalibrationMissing,
    ImageNotFound,
    NothingMeasured,
    SourceChanged,
    SourceUnavailable,
    Timeout,
)
from sarlens.imagery.annotation import read_sentinel1
from sarlens.imagery.blob import Limits
from sarlens.imagery.cache import ByteLRU, SingleFlight
from sarlens.imagery.decode import Layout, decode, lay_out, locate
from sarlens.imagery.finder import Finder, Found
from sarlens.imagery.identity import image_id
from sarlens.imagery.raster import Picture, Raster
from sarlens.imagery.reel import Reel, Strip
from sarlens.imagery.render import develop
from sarlens.imagery.safe import annotation_places
from sarlens.imagery.source import Blob, Sources
from sarlens.metrics import Metrics
from sarlens.request import Place, Render, Terms, Window
from sarlens.stac import Acquisition

P = ParamSpec("P")
T = TypeVar("T")

_TROUBLE = (AccessDenied, ImageNotFound, SourceChanged, SourceUnavailable, Timeout)
"""What a place that holds images does to who asks it; anything else is the request's or the image's own fault."""


@dataclass(frozen=True, slots=True)
class Negative:
    """An image that has been found and not yet drawn: one version of it, and how it is to be rendered.

    ``size`` is the longest side that the model sees; ``public`` says that anybody may fetch the image. ``place`` is
    where it is; where a STAC Item led to it, ``acquisition`` is what that says of it. ``annotation`` are the files
    beside the image that calibrate it: of calibration and of noise, where they are wanted.
    """

    id: str
    blob: Blob
    render: Render
    size: int
    public: bool
    place: str | bytes
    acquisition: Acquisition | None = None
    annotation: tuple[Blob, Blob] | None = None

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
        self._finder = Finder(self._open)
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
            blob, render = found.blob, found.render
            span.set({"sarlens.image": blob.name})
            if version is not None and blob.version != version:
                raise SourceChanged(f"{blob.name} is another version now than the one that was asked about.")
            annotation = await self._annotation(found.place, render)
        if render.on_map:
            with self._noting(blob.name):
                render = render.at(await self._in_thread(locate, blob, render, self._limits))
        beside = annotation or ()
        for each in (*found.opened, *beside):
            self._count(each, 0)
        name = image_id("\n".join(each.version for each in (blob, *beside)), render, size)
        public = self._sources.public(found.place)
        return Negative(name, blob, render, size, public, found.place, found.acquisition, annotation)

    async def _annotation(self, place: str | bytes, render: Render) -> tuple[Blob, Blob] | None:
        """The annotation of calibration and noise beside an image, where it is wanted and the image has a place for it.

        Raises:
            CalibrationMissing: it is not there.
            SarlensError: it cannot be had.
        """
        wanted = render.calibration != "none" and isinstance(place, str)
        places = annotation_places(str(place)) if wanted else None
        return places and (await self._first(places[0]), await self._first(places[1]))

    async def _first(self, urls: tuple[str, ...]) -> Blob:
        for url in urls:
            with suppress(ImageNotFound):
                return await self._open(url)
        raise CalibrationMissing(f"The annotation {urls[0]} is not there, so the image cannot be calibrated.")

    async def draw(self, negative: Negative) -> Picture:
        """The picture of an image that has been found.

        Raises:
            SarlensError: the image cannot be read or rendered.
        """
        picture = self._cache.get(negative.id)
        self._metrics.cache.labels("miss" if picture is None else "hit").inc()
        if picture is not None:
            return picture
        blobs = (negative.blob, *(negative.annotation or ()))
        moved = [blob.bytes_moved for blob in blobs]
        try:
            return await self._flights.run(negative.id, lambda: self._make(negative))
        finally:
            for blob, before in zip(blobs, moved, strict=True):
                self._count(blob, before)

    @asynccontextmanager
    async def reel(self, negative: Negative) -> AsyncIterator[Reel]:
        """The image of a negative, open for ``draw_together``; raises as ``draw`` does."""
        async with Reel.of(negative.blob, negative.render, negative.side, self._limits) as reel:
            moved = negative.blob.bytes_moved
            try:
                yield reel
            finally:
                self._count(negative.blob, moved)

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
        with self._metrics.stage("decode"), self._noting(missing[0].blob.name):
            strip = await reel.read([Window(*negative.render.window or ()) for negative in missing])
        drawn = (self._in_thread(self._cut, strip, negative) for negative in missing)
        pictures = dict(zip(missing, await asyncio.gather(*drawn), strict=True))
        for negative, picture in pictures.items():
            if picture is not None:
                self._cache.put(negative.id, picture)
        return {negative.id for negative, picture in pictures.items() if picture is None}

    def _cut(self, strip: Strip, negative: Negative) -> Picture | None:
        """The picture of one window of a strip; None where nothing was measured. Runs in a thread."""
        raster = strip.raster(Window(*negative.render.window or ()))
        if not raster.valid.any():
            return None
        try:
            return self._render(raster, negative)
        except NothingMeasured:
            return None

    def _render(self, raster: Raster, negative: Negative) -> Picture:
        render, annotation = negative.render, negative.annotation
        calibrator = read_sentinel1(*annotation, render.calibration) if annotation else None
        with self._metrics.stage("render"):
            return develop(raster, render, negative.size, calibrator)

    async def lay_out(self, place: Place, render: Render, terms: Terms) -> tuple[Found, Layout | None]:
        """An image, how large it is and where it lies; None where it is no TIFF.

        Raises:
            SarlensError: the image cannot be had, or its header not be read.
        """
        found = await self._finder.find(place, render, terms)
        with self._noting(found.blob.name):
            return found, await self._in_thread(lay_out, found.blob, self._limits)

    async def show(self, place: Place, render: Render | None, size: int, terms: Terms) -> Shown:
        """The picture of an image, found and drawn; raises as both do."""
        negative = await self.find(place, render, size, terms)
        return negative.shown(await self.draw(negative))

    async def _open(self, place: str | bytes) -> Blob:
        name = place if isinstance(place, str) else "data:"
        with self._noting(name):
            blob = await self._sources.open(place)
        self._metrics.source.labels(_scheme(name), "found").inc()
        return blob

    @contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        """Count what goes wrong at the place that holds an image; a scheme that is not offered is never asked."""
        try:
            yield
        except _TROUBLE as error:
            self._metrics.source.labels(_scheme(name), error.code).inc()
            raise

    def _count(self, blob: Blob, before: int) -> None:
        self._metrics.fetched_bytes.labels(_scheme(blob.name)).inc(blob.bytes_moved - before)

    async def _make(self, negative: Negative) -> Picture:
        with self._noting(negative.blob.name):
            picture = await self._in_thread(self._develop, perf_counter(), negative)
        self._cache.put(negative.id, picture)
        return picture

    async def _in_thread(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What blocking work comes to; it goes on in the same trace."""
        run = partial(copy_context().run, work, *given, **named)
        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def _develop(self, asked: float, negative: Negative) -> Picture:
        """Runs in a thread; what the blob fetches while it is decoded is counted as fetching."""
        blob, render, size = negative.blob, negative.render, negative.size
        stages = self._metrics.stages
        begun = perf_counter()
        stages.labels("queue").observe(begun - asked)
        tracing.here().child("queue", begun=asked).end()
        with tracing.span("decode") as span:
            raster = decode(blob, render, size, self._limits)
            span.set({"sarlens.fetch_seconds": blob.seconds})
        decoded = perf_counter()
        stages.labels("fetch").observe(blob.seconds)
        stages.labels("decode").observe(decoded - begun - blob.seconds)
        if isinstance(raster, Picture):
            return raster
        return self._render(raster, negative)


def _scheme(name: str) -> str:
    return name.partition(":")[0].lower()
