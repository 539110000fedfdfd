"""Row renderer: renders the tiles of a row together, so that each block of the image is read once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sarlens.errors import SarlensError
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.imagery.service.image_service import ImageService
from sarlens.observability.tracing import Tracer, start_trace
from sarlens.surveys.plan import SurveyPlan
from sarlens.surveys.retry import PERMANENT_ERRORS, TRANSIENT_ERRORS, retry_transient
from sarlens.types.caller import ANONYMOUS
from sarlens.types.image_request import ImageRequest

if TYPE_CHECKING:
    from sarlens.imagery.formats.row_reader import RowReader


@dataclass(frozen=True, slots=True)
class RowRenderer:
    """Renders the tiles of a survey into the cache of the image service, row by row."""

    image_service: ImageService
    plan: SurveyPlan
    job_id: str
    retry_timeout_s: float
    tracer: Tracer
    stopping: asyncio.Event
    """If set, no further attempt begins."""

    @asynccontextmanager
    async def open_reader(self, tiles: Sequence[int]) -> AsyncIterator[RowReader | None]:
        """Open the image once for all tiles. Yield None if the tiles are read one by one.

        Raises:
            SarlensError: the image can't be opened.
            JobSuspended: ``stopping`` is set before the next attempt.
        """
        if len(tiles) < 2 or self.plan.georeference is None:
            yield None
            return
        async with AsyncExitStack() as stack:

            async def open_image() -> RowReader:
                resolved = await self._resolve(tiles[0])
                return await stack.enter_async_context(self.image_service.open_row_reader(resolved))

            yield await retry_transient(open_image, self.retry_timeout_s, self.stopping)

    async def group_into_rows(self, reader: RowReader | None, tiles: Sequence[int]) -> list[list[int]]:
        """Group tiles that are read together. A tile that is read alone has a row with one tile."""
        if reader is None:
            return [[tile] for tile in tiles]
        tile_of = {window: tile for tile in tiles if (window := self.plan.tiles[tile])}
        rows = [[tile_of[window] for window in row] for row in await reader.group_windows(list(tile_of))]
        grouped = {tile for row in rows for tile in row}
        return sorted(rows + [[tile] for tile in tiles if tile not in grouped])

    async def render(self, reader: RowReader | None, row: Sequence[int]) -> set[int]:
        """Render the tiles of a row, and return the blank ones: those without valid pixels.

        A row of one tile isn't rendered here. If a row can't be rendered, its tiles are rendered one by one later, and
        each reports its own error.

        Raises:
            SarlensError: a permanent error, or a transient error after the timeout.
            JobSuspended: ``stopping`` is set before the next attempt.
        """
        if reader is None or len(row) < 2:
            return set()
        try:
            return await retry_transient(lambda: self._render(reader, row), self.retry_timeout_s, self.stopping)
        except (*TRANSIENT_ERRORS, *PERMANENT_ERRORS):
            raise
        except SarlensError:
            return set()

    async def _render(self, reader: RowReader, row: Sequence[int]) -> set[int]:
        resolved_images = await asyncio.gather(*(self._resolve(tile) for tile in row))
        with start_trace(self.tracer, "survey strip") as span:
            span.set_attributes({"sarlens.job": self.job_id, "sarlens.tiles": len(row)})
            blank_ids = await self.image_service.render_row(reader, resolved_images)
        return {tile for tile, resolved in zip(row, resolved_images, strict=True) if resolved.id in blank_ids}

    async def _resolve(self, tile: int) -> ResolvedImage:
        plan = self.plan
        image_request = ImageRequest(plan.url, plan.render_params_for(tile))
        return await self.image_service.resolve(image_request, plan.size, ANONYMOUS, plan.version)
