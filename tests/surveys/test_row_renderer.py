"""Row renderer: rows of tiles, blank tiles and errors, with a fake image service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sarlens.errors import AccessDenied, SarlensError, SourceUnavailable, UnsupportedImage
from sarlens.imagery.detection.search import TargetSearch
from sarlens.imagery.geo.georeference import Georeference
from sarlens.imagery.service.image_service import RenderedRow
from sarlens.observability.tracing import NoOpTracer
from sarlens.surveys import retry
from sarlens.surveys.plan import SurveyPlan
from sarlens.surveys.row_renderer import RowRenderer
from sarlens.surveys.spec import SurveySpec
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window
from support.georeferenced_scenes import AFFINE, UTM

TILES = [Window(col, row, 100, 100) for row in (0, 100) for col in (0, 100, 200)]


class FakeImageService:
    """Image service that groups windows by row, without the last window, and records its calls."""

    def __init__(self) -> None:
        self.resolved: list[tuple[Any, ...]] = []
        self.opened = self.closed = self.rendered = 0
        self.errors: list[SarlensError] = []

    async def resolve(self, image_request: ImageRequest, size: int, _: Any, version: str) -> Any:
        """Return a resolved image."""
        window = image_request.render.window if image_request.render else None
        self.resolved.append((image_request.location, window, size, version))
        return SimpleNamespace(id=f"id {window}")

    @asynccontextmanager
    async def open_row_reader(self, _: Any) -> AsyncIterator[Any]:
        """Open this service as a reader."""
        self.opened += 1
        self._raise_next()
        yield self
        self.closed += 1

    async def group_windows(self, windows: Sequence[Window], margin: int) -> list[list[Window]]:
        """Group all windows but the last."""
        grouped = windows[:-1]
        rows = sorted({window.row for window in grouped})
        return [[window for window in grouped if window.row == row] for row in rows]

    async def render_row(self, _: Any, images: Sequence[Any], search: TargetSearch | None) -> RenderedRow:
        """Return the first image as blank, and no target in the others."""
        self.rendered += 1
        self._raise_next()
        return RenderedRow(frozenset({images[0].id}), {image.id: [] for image in images} if search else {})

    def _raise_next(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def image_service(monkeypatch: pytest.MonkeyPatch) -> FakeImageService:
    """An image service, and short pauses."""
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.001)
    return FakeImageService()


def make_renderer(image_service: FakeImageService, *, georeferenced: bool = True) -> RowRenderer:
    """Return a renderer for a plan of six tiles."""
    georeference = Georeference(300, 200, UTM, AFFINE) if georeferenced else None
    spec = SurveySpec(url="s3://scenes/x.tif", tile=100)
    plan = SurveyPlan("x", "v1", "nano", 64, georeference, RenderParams(), tuple(TILES), spec)
    return RowRenderer(cast("Any", image_service), plan, "job", 60.0, NoOpTracer(), asyncio.Event())


async def test_tiles_are_grouped_into_rows(image_service: FakeImageService) -> None:
    """Tiles that the reader groups share a row; the tile that it leaves out has a row of its own, in order."""
    renderer = make_renderer(image_service)
    async with renderer.open_reader(range(6)) as reader:
        assert await renderer.group_into_rows(reader, range(6)) == [[0, 1, 2], [3, 4], [5]]
        assert await renderer.group_into_rows(reader, [1, 2, 5]) == [[1, 2], [5]]
        assert await renderer.group_into_rows(None, [1, 2]) == [[1], [2]]
        assert (image_service.opened, image_service.closed) == (1, 0)
    assert image_service.closed == 1


async def test_the_image_is_opened_for_two_or_more_tiles(image_service: FakeImageService) -> None:
    """One tile, and tiles of an image without a georeference, are read without a shared reader."""
    async with make_renderer(image_service).open_reader([3]) as reader:
        assert reader is None
    async with make_renderer(image_service, georeferenced=False).open_reader([1, 2]) as reader:
        assert reader is None
    assert image_service.opened == 0
    async with make_renderer(image_service).open_reader([1, 2]) as reader:
        assert reader is not None


async def test_blank_tiles_are_returned(image_service: FakeImageService) -> None:
    """A row is resolved in the version of the plan and rendered once; its tiles without valid pixels are returned."""
    renderer = make_renderer(image_service)
    assert await renderer.render(cast("Any", image_service), [1, 2]) == ({1}, {})
    assert image_service.resolved == [
        ("s3://scenes/x.tif", (100, 0, 100, 100), 64, "v1"),
        ("s3://scenes/x.tif", (200, 0, 100, 100), 64, "v1"),
    ]
    assert image_service.rendered == 1


async def test_a_row_of_one_tile_is_left_out(image_service: FakeImageService) -> None:
    """One tile, or tiles without a reader, aren't rendered."""
    renderer = make_renderer(image_service)
    assert await renderer.render(cast("Any", image_service), [1]) == (set(), {})
    assert await renderer.render(None, [1, 2]) == (set(), {})
    assert image_service.rendered == 0


async def test_transient_errors_are_retried(image_service: FakeImageService) -> None:
    """Opening and rendering are retried after transient errors."""
    renderer = make_renderer(image_service)
    image_service.errors = [SourceUnavailable("down"), SourceUnavailable("down")]
    async with renderer.open_reader([1, 2]) as reader:
        assert image_service.opened == 3
        image_service.errors = [SourceUnavailable("down")]
        assert await renderer.render(reader, [1, 2]) == ({1}, {})
        assert image_service.rendered == 2


async def test_a_row_that_cannot_be_rendered_is_skipped(image_service: FakeImageService) -> None:
    """A damaged row has no blank tiles, so that each tile reports its error; a permanent error is raised."""
    renderer = make_renderer(image_service)
    image_service.errors = [UnsupportedImage("damaged")]
    assert await renderer.render(cast("Any", image_service), [1, 2]) == (set(), {})
    image_service.errors = [AccessDenied("secret")]
    with pytest.raises(AccessDenied):
        await renderer.render(cast("Any", image_service), [1, 2])
    assert image_service.rendered == 2
