"""The image service: image request → resolved image → rendered image, each fetched and rendered once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sarlens.errors import SourceChanged, Timeout
from sarlens.imagery.calibration.models import Calibrator
from sarlens.imagery.core.cache import LRUCache, SingleFlight
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import DecodeLimits, ObjectReader
from sarlens.imagery.core.picture_frame import PictureFrame
from sarlens.imagery.core.raster import RenderedImage
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.imagery.core.source_image import SourceImage
from sarlens.imagery.core.turn import NO_TURN, Turn
from sarlens.imagery.detection.search import TargetSearch
from sarlens.imagery.detection.targets import Target
from sarlens.imagery.formats.file_headers import FileHeaders
from sarlens.imagery.formats.reader import locate_window, read_extent, read_turn_to_north
from sarlens.imagery.products.image_resolver import ImageResolver
from sarlens.imagery.service.image_id import image_id
from sarlens.imagery.service.renderer import Renderer
from sarlens.imagery.service.source_metrics import SourceMetrics
from sarlens.imagery.sources.registry import SourceRegistry
from sarlens.observability.metrics import Metrics, Stage
from sarlens.observability.route_receipt import image_time
from sarlens.types.caller import CallerPolicy
from sarlens.types.cfar_params import CfarParams
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams
from sarlens.types.sensor import Sensor
from sarlens.types.window import Window

if TYPE_CHECKING:
    from sarlens.imagery.formats.row_reader import RowBlock, RowReader
    from sarlens.imagery.geo.georeference import ImageExtent
    from sarlens.imagery.scenes.scene_position import Bounds

T = TypeVar("T")

_MAX_TURNS = 4096
"""Number of images whose orientation, sensor or place of the picture is cached."""


class ImageService:
    """Resolves and renders images; concurrent requests for one image share the work, later requests use the cache.

    Args:
        sources: sources by URL scheme.
        cache: cache of rendered images.
        threads: threads that read, decode and render.
        limits: limits of what is decoded.
        metrics: the gateway's metrics.
        timeout_s: maximum time from the request of an image to its rendering in seconds, waits included.
    """

    def __init__(
        self,
        sources: SourceRegistry,
        cache: LRUCache[str, RenderedImage],
        threads: ImageThreads,
        limits: DecodeLimits,
        metrics: Metrics,
        *,
        timeout_s: float = 60.0,
    ) -> None:
        self._sources = sources
        self._source_metrics = SourceMetrics(sources, metrics)
        self._resolver = ImageResolver(self._source_metrics.open, threads, FileHeaders(limits))
        self._renderer = Renderer(threads, limits, metrics)
        self._threads = threads
        self._cache = cache
        self._limits = limits
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._turns: LRUCache[str, tuple[Turn | None]] = LRUCache(_MAX_TURNS, getsizeof=lambda _: 1)
        self._frames: LRUCache[str, PictureFrame] = LRUCache(_MAX_TURNS, getsizeof=lambda _: 1)
        self._sensors: LRUCache[str, Sensor] = LRUCache(_MAX_TURNS, getsizeof=lambda _: 1)
        self._flights: SingleFlight[str, RenderedImage] = SingleFlight()

    async def resolve(
        self,
        image_request: ImageRequest,
        model_size: int,
        policy: CallerPolicy,
        version: str | None = None,
        *,
        any_swath: bool = False,
    ) -> ResolvedImage:
        """Open an image and determine its version, window and id.

        A bbox or polygon becomes the window that covers it, so that both ways to request a window share an id.

        Args:
            image_request: URL, STAC Item or bytes, with render parameters.
            model_size: longest side that the model sees, in pixels.
            policy: decides which assets of a STAC Item the caller can read.
            version: the only acceptable version of the image, if given.
            any_swath: whether the first swath of a product is opened if it has several and none is named.

        Raises:
            SourceChanged: the image has another version.
            SarlensError: the image can't be opened.
        """
        started_at = monotonic()
        with image_time():
            async with self._time_limit(self._timeout_s):
                source_image, render = await self._open(image_request, policy, version, any_swath=any_swath)
                if render.has_geometry:
                    render = render.with_window(await self._locate_window(source_image, render))
                turn = await self._turn_to_north(source_image) if render.orient == "north" else NO_TURN
        self._source_metrics.record_opened((*source_image.index_objects, *source_image.objects))
        versions = "\n".join(reader.version for reader in source_image.objects)
        return ResolvedImage(
            image_id(versions, render, model_size),
            source_image,
            render,
            model_size,
            self._sources.is_public(source_image.location),
            turn or NO_TURN,
            monotonic() - started_at,
        )

    async def _open(
        self, image_request: ImageRequest, policy: CallerPolicy, version: str | None, *, any_swath: bool
    ) -> tuple[SourceImage, RenderParams]:
        with self._metrics.stage("fetch") as span:
            source_image, render = await self._resolver.open(image_request, policy, any_swath=any_swath)
            span.set_attributes({"sarlens.image": source_image.name})
            if version is not None and source_image.version != version:
                raise SourceChanged(f"{source_image.name} has changed: the requested version is no longer there.")
        return source_image, render

    async def _locate_window(self, source_image: SourceImage, render: RenderParams) -> Window:
        reader = source_image.georeferencing_file
        with self._source_metrics.count_errors(source_image.name):
            return await self._threads.run(reader, locate_window, reader, render, self._limits)

    async def turn_to_north(self, resolved: ResolvedImage) -> Turn | None:
        """Return the turn of an image after which north is up; None if it isn't georeferenced.

        Raises:
            SarlensError: the header can't be read.
        """
        async with self._time_limit(self._timeout_s):
            return await self._turn_to_north(resolved.source_image)

    async def _turn_to_north(self, source_image: SourceImage) -> Turn | None:
        """Read the georeference of each version once."""
        found = self._turns.get(source_image.version)
        if found is None:
            reader = source_image.georeferencing_file
            with self._source_metrics.count_errors(source_image.name):
                found = (await self._threads.run(reader, read_turn_to_north, reader, self._limits),)
            self._turns.put(source_image.version, found)
        return found[0]

    async def bounds(self, resolved: ResolvedImage) -> Bounds | None:
        """Return west, south, east and north of an image's window in degrees; None if it isn't georeferenced.

        The west is greater than the east across the antimeridian.

        Raises:
            SarlensError: the header can't be read.
        """
        reader, window = resolved.source_image.georeferencing_file, resolved.render.window
        async with self._time_limit(self._timeout_s):
            with self._source_metrics.count_errors(resolved.source_image.name):
                return await self._threads.run(reader, _read_bounds, reader, window, self._limits)

    @asynccontextmanager
    async def _time_limit(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise Timeout(f"The image couldn't be read and rendered within {self._timeout_s:g} s.") from None

    async def render(self, resolved: ResolvedImage) -> RenderedImage:
        """Render a resolved image, or return it from the cache.

        Raises:
            SarlensError: the image can't be read or rendered.
        """
        rendered = self._cache.get(resolved.id)
        self.record_cache_lookup(hit=rendered is not None)
        if rendered is not None:
            return rendered
        with self._source_metrics.count_bytes(resolved.source_image.objects), image_time():
            async with self._time_limit(self._timeout_s - resolved.resolve_seconds):
                return await self._flights.run(resolved.id, lambda: self._render_and_cache(resolved))

    async def frame(self, resolved: ResolvedImage) -> PictureFrame:
        """Return the place of a rendered image in its image, which is cached longer than its bytes.

        Raises:
            SarlensError: the image can't be read or rendered.
        """
        found = self._frames.get(resolved.id)
        return found or (await self.render(resolved)).frame

    async def _render_and_cache(self, resolved: ResolvedImage) -> RenderedImage:
        with self._source_metrics.count_errors(resolved.source_image.name):
            rendered = await self._renderer.render(resolved)
        self._metrics.picture_bytes.observe(len(rendered.data))
        self._cache.put(resolved.id, rendered)
        self._frames.put(resolved.id, rendered.frame)
        return rendered

    def record_cache_lookup(self, *, hit: bool) -> None:
        """Count a lookup in the cache of rendered images."""
        self._metrics.cache.labels("hit" if hit else "miss").inc()

    async def looks(self, resolved: ResolvedImage, policy: CallerPolicy) -> tuple[int, int] | None:
        """Return the looks in range and azimuth that a product's annotation states; None for other images.

        Raises:
            SarlensError: the annotation can't be read.
        """
        async with self._time_limit(self._timeout_s):
            return await self._resolver.looks(resolved.source_image, policy)

    async def calibrator(self, resolved: ResolvedImage) -> Calibrator | None:
        """Load the calibration of an image; None if its header or nothing calibrates it.

        Raises:
            SarlensError: the annotation can't be read or used.
        """
        async with self._time_limit(self._timeout_s):
            return await self._renderer.calibrator(resolved)

    async def read(self, resolved: ResolvedImage, stage: Stage, work: Callable[[], T]) -> T:
        """Run blocking work that reads an image, within the limits and with the metrics of a rendering.

        Raises:
            Timeout: the work takes too long.
            SarlensError: as the work does.
        """
        source_image = resolved.source_image
        with self._source_metrics.count_bytes(source_image.objects), image_time(), self._metrics.stage(stage):
            async with self._time_limit(self._timeout_s):
                with self._source_metrics.count_errors(source_image.name):
                    return await self._threads.run(source_image.georeferencing_file, work)

    async def extent(
        self, image_request: ImageRequest, policy: CallerPolicy
    ) -> tuple[SourceImage, RenderParams, ImageExtent | None]:
        """Open an image and read its size and georeference.

        Returns:
            The image, the render parameters for its files, and its extent, which is None for PNG, JPEG and WebP.

        Raises:
            SarlensError: the image can't be opened, or its header can't be read.
        """
        async with self._time_limit(self._timeout_s):
            source_image, render = await self._resolver.open(image_request, policy)
            reader = source_image.georeferencing_file
            with self._source_metrics.count_errors(source_image.name):
                extent = await self._threads.run(reader, read_extent, reader, self._limits)
        self._source_metrics.record_opened((*source_image.index_objects, *source_image.objects))
        return source_image, render, extent

    async def sensor(self, image_request: ImageRequest, policy: CallerPolicy) -> Sensor:
        """Open an image and return what took it, as far as its metadata tell; each version is read once.

        Raises:
            SarlensError: the image can't be opened, or its header can't be read.
        """
        async with self._time_limit(self._timeout_s):
            source_image, _ = await self._resolver.open(image_request, policy, any_swath=True)
            key = f"{source_image.version}\n{source_image.acquisition}"
            found = self._sensors.get(key)
            if found is None:
                reader = source_image.georeferencing_file
                with self._source_metrics.count_errors(source_image.name):
                    found = await self._threads.run(reader, _read_sensor, source_image, self._limits)
                self._sensors.put(key, found)
        self._source_metrics.record_opened((*source_image.index_objects, *source_image.objects))
        return found

    @asynccontextmanager
    async def open_row_reader(self, resolved: ResolvedImage) -> AsyncIterator[RowReader]:
        """Open an image for ``render_row``.

        Raises:
            SarlensError: the image can't be read.
        """
        image, render, side = resolved.source_image, resolved.render, resolved.side
        async with AsyncExitStack() as stack:
            async with self._time_limit(self._timeout_s):
                row_reader_cls = await asyncio.to_thread(_load_row_reader)
                opened = row_reader_cls.open(image, render, side, self._limits, self._threads)
                reader = await stack.enter_async_context(opened)
            with self._source_metrics.count_bytes(image.objects):
                yield reader

    async def render_row(
        self, reader: RowReader, resolved_images: Sequence[ResolvedImage], search: TargetSearch | None = None
    ) -> RenderedRow:
        """Read the windows of one row of tiles together, render each and cache it, and search each for targets.

        Raises:
            SarlensError: the image can't be read or rendered.
        """
        missing = [resolved for resolved in resolved_images if self._cache.get(resolved.id) is None]
        needed = resolved_images if search else missing
        if not needed:
            return RenderedRow(frozenset(), {})
        windows = [Window(*resolved.render.window or ()) for resolved in needed]
        with self._source_metrics.count_errors(needed[0].source_image.name):
            with self._metrics.stage("decode"):
                async with self._time_limit(self._timeout_s):
                    block = await reader.read([search.window(window) for window in windows] if search else windows)
            calibrator = await self._renderer.calibrator(needed[0])
        targets = await self._find_targets(block, needed, search) if search else {}
        if search and search.skip_empty:
            missing = [resolved for resolved in missing if targets[resolved.id] != []]
        tiles = await asyncio.gather(*(self._renderer.render_tile(block, resolved, calibrator) for resolved in missing))
        for resolved, rendered in zip(missing, tiles, strict=True):
            if rendered is not None:
                self._cache.put(resolved.id, rendered)
        blank = (resolved.id for resolved, rendered in zip(missing, tiles, strict=True) if rendered is None)
        return RenderedRow(frozenset(blank), targets)

    async def _find_targets(
        self, block: RowBlock, resolved_images: Sequence[ResolvedImage], search: TargetSearch
    ) -> dict[str, list[Target] | None]:
        found = await asyncio.gather(
            *(self._renderer.find_targets_in(block, resolved, search) for resolved in resolved_images)
        )
        return {resolved.id: targets for resolved, targets in zip(resolved_images, found, strict=True)}

    async def count_targets(self, resolved: ResolvedImage, params: CfarParams) -> int | None:
        """Return the number of targets in the window of an image; None if its pixels have no power.

        The detector searches the pixels that are read for the rendered image: a large window is reduced first.

        Raises:
            SarlensError: the image can't be read.
        """
        reader = resolved.source_image.georeferencing_file
        async with self._time_limit(self._timeout_s):
            with self._source_metrics.count_errors(resolved.source_image.name):
                extent = await self._threads.run(reader, read_extent, reader, self._limits)
        if extent is None:
            return None
        targets = await self.find_targets(resolved, TargetSearch(params, extent.width, extent.height))
        return None if targets is None else len(targets)

    async def find_targets(self, resolved: ResolvedImage, search: TargetSearch) -> list[Target] | None:
        """Return the targets that touch the window of an image; None if its pixels have no power or none is valid.

        Raises:
            SarlensError: the image can't be read.
        """
        with self._source_metrics.count_bytes(resolved.source_image.objects):
            async with self._time_limit(self._timeout_s):
                with self._source_metrics.count_errors(resolved.source_image.name):
                    return await self._renderer.find_targets(resolved, search)


def _read_sensor(source_image: SourceImage, limits: DecodeLimits) -> Sensor:
    from sarlens.imagery.scenes.sensor import read_sensor  # noqa: PLC0415  imports GDAL

    return read_sensor(source_image, limits)


def _read_bounds(reader: ObjectReader, window: tuple[int, int, int, int] | None, limits: DecodeLimits) -> Bounds | None:
    from sarlens.imagery.scenes.scene_position import window_bounds  # noqa: PLC0415  imports GDAL

    extent = read_extent(reader, limits)
    if extent is None or extent.georeference is None:
        return None
    return window_bounds(extent.georeference, None if window is None else Window(*window))


class RenderedRow(NamedTuple):
    """Result of a row of tiles, by image id."""

    blank: frozenset[str]
    """Windows without a valid pixel."""
    targets: Mapping[str, list[Target] | None]
    """Targets of each window, as ``find_targets`` returns them, if they were searched."""


def _load_row_reader() -> type[RowReader]:
    """Load GDAL if no image has, which blocks for 0.2 s."""
    from sarlens.imagery.formats.row_reader import RowReader  # noqa: PLC0415

    return RowReader
