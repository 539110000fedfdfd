"""Row renderer: renders the tiles of a row together, so that each block of the image is read once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from sarlens.errors import SarlensError
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.imagery.service.image_service import ImageService
from sarlens.observability.tracing import Tracer, start_trace
from sarlens.surveys.plan import SurveyPlan
from sarlens.surveys.retry import PERMANENT_ERRORS, TRANSIENT_ERRORS, retry_transient
from sarlens.types.caller import ANONYMOUS
from sarlens.types.image_request import ImageRequest

if TYPE_CHECKING:
    from sarlens.imagery.detection.targets import Target
    from sarlens.imagery.formats.row_reader import RowReader


class SearchedTile(NamedTuple):
    """Targets of a tile, and the id of its picture."""

    targets: list[Target] | None
    """None if the pixels have no power, or none is valid."""
    image_id: str


class RenderedTiles(NamedTuple):
    """Result of a row of tiles, by index of the tile."""

    blank: Set[int] = frozenset()
    """Tiles without valid pixels."""
    searched: Mapping[int, SearchedTile] = MappingProxyType({})
    """Tiles that were searched for targets."""


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
        margin = self.plan.search.params.margin if self.plan.search else 0
        tile_of = {window: tile for tile in tiles if (window := self.plan.tiles[tile])}
        rows = [[tile_of[window] for window in row] for row in await reader.group_windows(list(tile_of), margin)]
        grouped = {tile for row in rows for tile in row}
        return sorted(rows + [[tile] for tile in tiles if tile not in grouped])

    async def render(self, reader: RowReader | None, row: Sequence[int]) -> RenderedTiles:
        """Render the tiles of a row, and search them for targets if the survey needs these.

        A row of one tile isn't rendered here. If a row can't be rendered, its tiles are rendered one by one later, and
        each reports its own error.

        Raises:
            SarlensError: a permanent error, or a transient error after the timeout.
            JobSuspended: ``stopping`` is set before the next attempt.
        """
        if reader is None or len(row) < 2:
            return RenderedTiles()
        try:
            return await retry_transient(lambda: self._render(reader, row), self.retry_timeout_s, self.stopping)
        except (*TRANSIENT_ERRORS, *PERMANENT_ERRORS):
            raise
        except SarlensError:
            return RenderedTiles()

    async def search(self, tile: int) -> SearchedTile | None:
        """Search one tile for targets, or return None if the survey needs no targets.

        Raises:
            SarlensError: the image can't be read, or a transient error after the timeout.
            JobSuspended: ``stopping`` is set before the next attempt.
        """
        search = self.plan.search
        if search is None:
            return None

        async def find() -> SearchedTile:
            resolved = await self._resolve(tile)
            return SearchedTile(await self.image_service.find_targets(resolved, search), resolved.id)

        return await retry_transient(find, self.retry_timeout_s, self.stopping)

    async def _render(self, reader: RowReader, row: Sequence[int]) -> RenderedTiles:
        resolved_images = await asyncio.gather(*(self._resolve(tile) for tile in row))
        with start_trace(self.tracer, "survey strip") as span:
            span.set_attributes({"sarlens.job": self.job_id, "sarlens.tiles": len(row)})
            rendered = await self.image_service.render_row(reader, resolved_images, self.plan.search)
        ids = [(tile, resolved.id) for tile, resolved in zip(row, resolved_images, strict=True)]
        return RenderedTiles(
            {tile for tile, image_id in ids if image_id in rendered.blank},
            {tile: SearchedTile(rendered.targets[image_id], image_id) for tile, image_id in ids if rendered.targets},
        )

    async def _resolve(self, tile: int) -> ResolvedImage:
        plan = self.plan
        image_request = ImageRequest(plan.url, plan.render_params_for(tile))
        return await self.image_service.resolve(image_request, plan.size, ANONYMOUS, plan.version)
