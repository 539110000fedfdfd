"""Decode, calibrate and render images in threads, with the time of each stage."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from sarlens.errors import NoValidPixels
from sarlens.imagery.calibration.lut_cache import CalibrationCache
from sarlens.imagery.calibration.models import Calibrator
from sarlens.imagery.core.image_task import queue_seconds
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import DecodeLimits
from sarlens.imagery.core.raster import Raster, RenderedImage
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.imagery.detection.search import TargetSearch
from sarlens.imagery.detection.targets import Target
from sarlens.imagery.formats.reader import read_source_image
from sarlens.imagery.render.pipeline import render
from sarlens.observability import tracing
from sarlens.observability.metrics import Metrics
from sarlens.types.window import Window

if TYPE_CHECKING:
    from sarlens.imagery.formats.row_reader import RowBlock


class Renderer:
    """Runs the blocking part of a rendering in a pool of threads."""

    def __init__(self, threads: ImageThreads, limits: DecodeLimits, metrics: Metrics) -> None:
        self._threads = threads
        self._limits = limits
        self._metrics = metrics
        self._calibrations = CalibrationCache(threads)

    async def calibrator(self, resolved: ResolvedImage) -> Calibrator | None:
        """Load the calibration of an image; None if its header or nothing calibrates it.

        Raises:
            CalibrationMissing: the annotation can't be used.
            SarlensError: the annotation can't be read.
        """
        return await self._calibrations.get(resolved.source_image, resolved.render.calibration)

    async def render(self, resolved: ResolvedImage) -> RenderedImage:
        """Read and render an image.

        Raises:
            SarlensError: the image can't be read or rendered.
        """
        calibrator = await self.calibrator(resolved)
        reader = resolved.source_image.georeferencing_file
        return await self._threads.run(reader, self._read_and_render, perf_counter(), resolved, calibrator)

    async def render_tile(
        self, block: RowBlock, resolved: ResolvedImage, calibrator: Calibrator | None
    ) -> RenderedImage | None:
        """Render one window of a block; None if the window has no valid pixel."""
        return await self._threads.run_in_memory(self._render_tile, block, resolved, calibrator)

    async def find_targets(self, resolved: ResolvedImage, search: TargetSearch) -> list[Target] | None:
        """Read one window with the margin of the detector, and return its targets, as ``TargetSearch.targets`` does.

        Raises:
            SarlensError: the image can't be read.
        """
        reader = resolved.source_image.georeferencing_file
        return await self._threads.run(reader, self._read_and_search, resolved, search)

    async def find_targets_in(
        self, block: RowBlock, resolved: ResolvedImage, search: TargetSearch
    ) -> list[Target] | None:
        """Return the targets of one window of a block that includes the margin of the detector."""
        return await self._threads.run_in_memory(self._search_tile, block, resolved, search)

    def _read_and_search(self, resolved: ResolvedImage, search: TargetSearch) -> list[Target] | None:
        tile = Window(*resolved.render.window or (0, 0, search.width, search.height))
        render = resolved.render.with_window(search.window(tile))
        raster = read_source_image(resolved.source_image, render, resolved.model_size, self._limits)
        with self._metrics.stage("detect"):
            return None if isinstance(raster, RenderedImage) else search.targets(raster, tile)

    def _search_tile(self, block: RowBlock, resolved: ResolvedImage, search: TargetSearch) -> list[Target] | None:
        tile = Window(*resolved.render.window or ())
        with self._metrics.stage("detect"):
            return search.targets(block.raster(search.window(tile)), tile)

    def _render_tile(
        self, block: RowBlock, resolved: ResolvedImage, calibrator: Calibrator | None
    ) -> RenderedImage | None:
        raster = block.raster(Window(*resolved.render.window or ()))
        if not raster.valid.any():
            return None
        try:
            return self._render_raster(raster, resolved, calibrator)
        except NoValidPixels:
            return None

    def _read_and_render(
        self, requested_at: float, resolved: ResolvedImage, calibrator: Calibrator | None
    ) -> RenderedImage:
        """Fetches count as stage ``fetch``, and waits for a thread or the CPU as stage ``queue``."""
        stages = self._metrics.stages
        started_at, queued_before = perf_counter(), queue_seconds()
        tracing.start_span("queue", started_at=requested_at).end()
        with tracing.span("decode") as span:
            raster = read_source_image(resolved.source_image, resolved.render, resolved.model_size, self._limits)
            fetch_seconds = sum(part.reader.fetch_seconds for part in resolved.source_image.measurements)
            span.set_attributes({"sarlens.fetch_seconds": fetch_seconds})
        queued = queue_seconds() - queued_before
        stages.labels("queue").observe(started_at - requested_at + queued)
        stages.labels("fetch").observe(fetch_seconds)
        stages.labels("decode").observe(perf_counter() - started_at - fetch_seconds - queued)
        return raster if isinstance(raster, RenderedImage) else self._render_raster(raster, resolved, calibrator)

    def _render_raster(self, raster: Raster, resolved: ResolvedImage, calibrator: Calibrator | None) -> RenderedImage:
        with self._metrics.stage("render"):
            return render(raster, resolved.render, resolved.model_size, calibrator, resolved.turn)
