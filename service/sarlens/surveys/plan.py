"""Survey plan: the tiles of one image version, their render parameters and their questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sarlens.errors import BadRequest
from sarlens.imagery.core.picture_frame import PictureFrame
from sarlens.imagery.core.turn import NO_TURN, Turn
from sarlens.imagery.detection.search import TargetSearch
from sarlens.inference.picture_boxes import PictureBoxes
from sarlens.inference.sar_tasks import Task
from sarlens.profiles.profile import ModelProfile
from sarlens.profiles.registry import DEFAULT_PROFILE
from sarlens.surveys.regions import first_box
from sarlens.surveys.spec import SurveySpec, reduction
from sarlens.surveys.tile_grid import core_spans
from sarlens.types.image_request import RemoteLocation
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window

if TYPE_CHECKING:
    from sarlens.imagery.geo.georeference import Georeference


@dataclass(frozen=True)
class SurveyPlan:
    """A survey of one version of an image. The same specification and version give the same plan."""

    name: str
    """Name of the image, for messages and features."""
    version: str
    """Version of the image."""
    model: str
    """Name of the model that answers."""
    size: int
    """Longest side of a rendered tile in pixels, unless the render parameters have a size."""
    georeference: Georeference | None
    """Georeference of the image, or None."""
    render: RenderParams
    """Render parameters of all tiles, without a window."""
    tiles: tuple[Window | None, ...]
    """Windows in pixels of the full resolution. None is the whole of an image of unknown size."""
    spec: SurveySpec
    """Specification with the URL of the image file in place of a STAC Item."""
    profile: ModelProfile = DEFAULT_PROFILE
    """Profile of the model."""

    @property
    def url(self) -> RemoteLocation:
        """URL of the image, or the STAC Item whose assets are its bands."""
        return self.spec.url

    @property
    def search(self) -> TargetSearch | None:
        """Search for targets in each tile, or None if the survey needs no targets."""
        spec, place = self.spec, self.georeference
        if place is None or not spec.uses_detector:
            return None
        return TargetSearch(spec.cfar, place.width, place.height, skip_empty=spec.gate is not None)

    @cached_property
    def _tasks(self) -> tuple[Task, ...]:
        return tuple(task.for_model(self.profile) for task in self.spec.tasks)

    def render_params_for(self, tile: int) -> RenderParams:
        """Return the render parameters of a tile."""
        window = self.tiles[tile]
        return self.render if window is None else self.render.with_window(window)

    @cached_property
    def turn_to_north(self) -> Turn | None:
        """Turn of the image after which north is up; None if it isn't georeferenced."""
        if self.georeference is None:
            return None
        from sarlens.imagery.geo.orientation import turn_to_north  # noqa: PLC0415  loads GDAL

        return turn_to_north(self.georeference)

    @property
    def turn(self) -> Turn:
        """Turn of the pictures of the tiles."""
        return (self.turn_to_north or NO_TURN) if self.render.orient == "north" else NO_TURN

    def boxes(self, tile: int) -> PictureBoxes | None:
        """Return how boxes of the image become those of the picture of a tile; None if its size is unknown."""
        window = self.tiles[tile]
        if window is None:
            return None
        cols, rows = self.render.looks or (1, 1)
        scale = 1 / self.reduction(tile)
        width, height = window.width * scale / cols, window.height * scale / rows
        if self.turn.transposed:
            width, height = height, width
        return PictureBoxes(PictureFrame(window, width, height, self.turn), self.profile.boxes.format)

    def reduction(self, tile: int) -> float:
        """Return the pixels of a tile per pixel of its picture, after looks; 1 if the tile isn't resized."""
        window = self.tiles[tile]
        return 1.0 if window is None else reduction(self.render, self.size, window.width, window.height)

    def core_share(self, tile: int) -> float:
        """Return the share of a tile's area that belongs to it alone; 1 if no other tile overlaps it."""
        window = self.tiles[tile]
        if window is None:
            return 1.0
        cols, rows = self._cores
        core = cols[window.col, window.col + window.width] * rows[window.row, window.row + window.height]
        return core / window.pixels

    @cached_property
    def _cores(self) -> tuple[dict[tuple[int, int], float], dict[tuple[int, int], float]]:
        """Columns and rows of each span of tiles that belong to it alone."""
        windows = [window for window in self.tiles if window is not None]
        cols = core_spans((window.col, window.col + window.width) for window in windows)
        return cols, core_spans((window.row, window.row + window.height) for window in windows)

    def tasks(self, tile: int) -> list[tuple[int, Task]]:
        """Return the tasks of a tile, each with the index of its question.

        A question with a region belongs to one tile that contains the region. Its prompt has the region in pixels of
        the rendered tile, unless the size of the image is unknown.

        Raises:
            BadRequest: a region is outside the only tile.
        """
        boxes = self.boxes(tile)
        return [
            (index, task if boxes is None else task.for_picture(boxes))
            for index, task in enumerate(self._tasks)
            if self._tile_of_question.get(index, tile) == tile
        ]

    def check(self) -> None:
        """Check that every region of a question is inside a tile.

        Raises:
            BadRequest: no tile of a grid contains the whole region, or it is outside the only tile, or the request has
                regions of pictures.
        """
        if self.spec.render.boxes == "picture":
            raise BadRequest("Surveys take regions in pixels of the image: leave boxes out.", param="image.sar.boxes")
        _ = self._tile_of_question
        if self.spec.tile is None:
            self.tasks(0)

    @cached_property
    def _tile_of_question(self) -> dict[int, int]:
        """Tile by index of the question, for questions with a region."""
        tiles: dict[int, int] = {}
        for index, task in enumerate(self._tasks):
            box = first_box(task.question)
            if box is None or self.spec.tile is None:
                continue
            tile = next((tile for tile, window in enumerate(self.tiles) if window and _contains(window, box)), None)
            if tile is None:
                raise BadRequest(
                    f"No tile contains the whole region {list(box)} ([x, y, width, height] in pixels of the image). "
                    "Use a larger tile or a larger overlap.",
                    param="questions",
                )
            tiles[index] = tile
        return tiles


def _contains(tile: Window, box: Sequence[float]) -> bool:
    left, top, width, height = box
    contains_cols = tile.col <= left and left + width <= tile.col + tile.width
    return contains_cols and tile.row <= top and top + height <= tile.row + tile.height
