"""Survey planner: from a specification to the tiles of a scene."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sarlens.errors import NotGeoreferenced, PayloadTooLarge, SourceChanged
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.core.raster import resolve_window
from sarlens.imagery.geo.grid_coverage import covered_cells
from sarlens.inference.pipeline import InferencePipeline
from sarlens.jobs.models import Job, JobOwner
from sarlens.surveys.plan import SurveyPlan
from sarlens.surveys.quota_account import QuotaAccount
from sarlens.surveys.retry import retry_transient
from sarlens.surveys.spec import SurveySpec
from sarlens.surveys.tile_grid import TileGrid
from sarlens.types.image_request import ImageLocation, RemoteLocation
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window

if TYPE_CHECKING:
    from sarlens.imagery.geo.georeference import ImageExtent

_CANDIDATE_FACTOR = 16
"""Maximum number of candidate tiles around a polygon, as a multiple of the tiles that a survey can have."""
_MAX_KEPT_TILES = 100_000
"""Tiles of the plans that wait for their jobs; about 20 MB."""


class SurveyLimits(NamedTuple):
    """Limits of each survey."""

    max_concurrent_tiles: int
    """Maximum number of tiles that workers process at the same time."""
    retry_timeout_s: float
    """Time in seconds during which transient errors are retried."""
    max_tiles: int
    """Maximum number of tiles."""


class SurveyPlanner:
    """Plans each survey once, at submission, and keeps the plan in memory until its job starts."""

    def __init__(self, inference: InferencePipeline, quota_account: QuotaAccount, limits: SurveyLimits) -> None:
        self._inference = inference
        self._quota_account = quota_account
        self._limits = limits
        self._plans: LRUCache[str, SurveyPlan] = LRUCache(
            max(_MAX_KEPT_TILES, limits.max_tiles), getsizeof=lambda plan: len(plan.tiles)
        )

    async def new_job(self, spec: SurveySpec, process: str, owner: JobOwner) -> Job:
        """Plan a survey and return its job, which isn't stored yet.

        Raises:
            SarlensError: no worker serves the model, the image can't be opened, or it has no such tiles.
        """
        plan = await self._plan(spec, owner.name)
        request = plan.spec.model_dump_json(exclude_defaults=True)
        job = Job(
            process,
            owner.name,
            request,
            version=plan.version,
            model=plan.model,
            tiles=len(plan.tiles),
            priority=owner.priority,
        )
        self._plans.put(job.id, plan)
        return job

    async def take_plan(self, job: Job) -> SurveyPlan:
        """Return the plan that ``new_job`` made in this process, or restore the plan from the stored job.

        Raises:
            SarlensError: as ``restore``.
        """
        plan = self._plans.get(job.id)
        self._plans.drop(job.id)
        return plan or await self.restore(job)

    def discard_plan(self, job_id: str) -> None:
        """Drop the plan of a job that doesn't start."""
        self._plans.drop(job_id)

    async def restore(self, job: Job) -> SurveyPlan:
        """Plan a stored job again, after a restart or in another process. Transient errors are retried.

        Raises:
            SourceChanged: the image has another version now.
            SarlensError: the model or the image isn't available.
        """
        spec = SurveySpec.model_validate_json(job.request)
        plan = await retry_transient(lambda: self._plan(spec, job.owner), self._limits.retry_timeout_s)
        if plan.version != job.version:
            raise SourceChanged(f"{plan.name} has version {plan.version} now.")
        return plan

    async def _plan(self, spec: SurveySpec, owner: str) -> SurveyPlan:
        """Resolve the model, as soon as a worker serves it, and the image, and read the header of the image."""
        policy = self._quota_account.policy(owner)
        model = await self._inference.resolve_model(spec.model, [spec.image_request], policy)
        profile = self._inference.profile(model)
        size, image_request = profile.size, profile.image_request(spec.image_request)
        image, render, extent = await self._inference.image_service.extent(image_request, policy)
        spec = spec.with_resolved_image(model, _remote(image.location), render, image.acquisition).with_tile_for(size)
        plan = SurveyPlan(
            name=image.name,
            version=image.version,
            model=model,
            size=size,
            georeference=extent.georeference if extent else None,
            render=spec.render.without_window.model_copy(update={"boxes": None}),
            tiles=await asyncio.to_thread(plan_tiles, extent, spec, self._limits.max_tiles),
            spec=spec,
            profile=profile,
        )
        plan.check()
        spec.check_detector()
        return plan


def _remote(location: ImageLocation) -> RemoteLocation:
    assert not isinstance(location, bytes)  # noqa: S101  a specification has no bytes
    return location


def plan_tiles(extent: ImageExtent | None, spec: SurveySpec, max_tiles: int) -> tuple[Window | None, ...]:
    """Return the tiles of a survey, in pixels of the full resolution.

    Args:
        extent: size and georeference of the image, or None for a format without a header to read.
        spec: specification with the tile size and the part of the image.
        max_tiles: maximum number of tiles.

    Raises:
        PayloadTooLarge: there are more than ``max_tiles``.
        NotGeoreferenced: the survey requires a georeference, and the image has none.
        WindowOutOfBounds, BadRequest: the part is outside the image or invalid.
    """
    render, grid = spec.render, spec.grid
    if extent is None:
        if grid is not None or render.has_geometry:
            raise NotGeoreferenced("Only TIFF and SICD images can be surveyed; this image has neither format.")
        return (None if render.window is None else Window(*render.window),)
    if extent.georeference is None and (grid is not None or render.has_geometry):
        raise NotGeoreferenced(extent.reason)
    if render.has_geometry and extent.georeference is not None:
        from sarlens.imagery.geo.geometry_window import window_for_geometry

        part = window_for_geometry(extent.georeference, render)
    else:
        part = resolve_window(extent.width, extent.height, render.window)
    if grid is None:
        return (part,)
    candidates = grid.count_tiles(extent.width, extent.height, part)
    if candidates <= _CANDIDATE_FACTOR * max_tiles:
        tiles = tuple(islice(_within(extent, grid, part, render), max_tiles + 1))
        if len(tiles) <= max_tiles:
            return tiles
    raise PayloadTooLarge(
        f"The survey has {'up to ' if render.polygon else ''}{candidates} tiles of {grid.tile} pixels in "
        f"{part.width} x {part.height} pixels; the limit is {max_tiles} tiles. "
        'Select a part of the image with "bbox" or "polygon", use a larger "tile", or use less "overlap".',
        param="tile",
    )


def _within(extent: ImageExtent, grid: TileGrid, part: Window, render: RenderParams) -> Iterator[Window]:
    if extent.georeference is None or not render.has_geometry:
        yield from grid.tiles(extent.width, extent.height, part)
        return
    from sarlens.imagery.geo.geometry_window import region_for_geometry

    region = region_for_geometry(extent.georeference, render)
    cols, rows = grid.spans(extent.width, extent.height, part)
    for row, col in covered_cells(region, np.array(cols, float), np.array(rows, float)):
        (left, right), (top, bottom) = cols[col], rows[row]
        yield Window(left, top, right - left, bottom - top)
