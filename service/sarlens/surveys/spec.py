"""Survey specification: a request to survey an image, independent of the protocol."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sarlens.errors import BadRequest
from sarlens.inference.sar_tasks import Sampling, Task, caption_task, vqa_task, with_acquisition_context
from sarlens.prompts.applications import Application
from sarlens.prompts.object_class import COMPACT_CLASSES, object_class
from sarlens.prompts.templates import Style
from sarlens.stac import Acquisition
from sarlens.surveys.tile_grid import TileGrid
from sarlens.types.cfar_params import CfarParams
from sarlens.types.image_request import ImageRequest, RemoteLocation
from sarlens.types.render_params import RenderParams

Output = Literal["geojson", "gpkg", "parquet", "fgb", "csv"]
ObjectSelection = Literal["confirmed", "all"]
"""Objects that the model confirms, or also the targets that it doesn't confirm."""
Detector = Literal["cfar"]


class SurveyQuestion(BaseModel):
    """Question about every tile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    application: Application | None = None
    """SARLANG-1M application, or None to derive it from the text."""
    id: str | None = None
    """Identifier of the client, returned with each answer."""


def reduction(render: RenderParams, size: int, width: int, height: int) -> float:
    """Return the pixels of a window per pixel of its picture along the longest side, after looks; above 1 if reduced.

    ``size`` is the longest side of a picture for the model, unless ``render`` has a size.
    """
    cols, rows = render.looks or (1, 1)
    return max(1 / render.enlarge, max(ceil(width / cols), ceil(height / rows)) / (render.size or size))


def default_tile(render: RenderParams, size: int) -> int:
    """Return the side in pixels of the largest tile that isn't reduced, from 64 to 4096."""
    return min(4096, max(64, (render.size or size) * min(render.looks or (1, 1))))


class SurveySpec(BaseModel):
    """Questions or a caption request about the tiles of an image, or about one window of it.

    The job database has the specification as JSON.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    """Model name, or None for the only model. After planning, the model name."""
    url: RemoteLocation
    """URL of an image or of a STAC Item, a STAC Item, or URLs of bands. After planning, the URLs of the image."""
    render: RenderParams = RenderParams()
    """Render parameters of the tiles. Window, bbox or polygon select the part of the image."""
    questions: tuple[SurveyQuestion, ...] = ()
    caption: Style | None = None
    """Style of a caption of each tile, or None."""
    tile: Annotated[int, Field(ge=64, le=4096)] | Literal["model"] | None = None
    """Side of a tile in pixels of the full resolution, ``"model"`` for what the model sees, or None for one window.
    After planning, a number or None."""
    reduction: float = 1.0
    """Pixels of the full resolution per rendered pixel of a whole tile, above 1 if reduced; set by planning."""
    overlap: Annotated[int, Field(ge=0)] = 0
    """Pixels that neighboring tiles share."""
    max_tokens: int = 128
    temperature: float = 0.0
    seed: int | None = None
    output: str | None = None
    """``s3://`` URL to write the result to, or None."""
    format: Output = "geojson"
    """Format of the result at ``output``."""
    overwrite: bool = False
    """Whether the result replaces an object at ``output``."""
    wrap_as_document: bool = False
    """Whether the result is a document of OGC API Processes instead of the raw value."""
    objects: ObjectSelection | None = None
    """Which objects the result has, or None for tiles only."""
    gate: Detector | None = None
    """Detector without whose targets a tile isn't asked about, or None to ask about all."""
    second_opinion: Detector | None = None
    """Detector whose targets are counted next to each answer, or None."""
    cfar: CfarParams = CfarParams()
    """Parameters of the detector."""
    context: bool = False
    """Whether the prompts have a sentence about the acquisition."""
    acquisition: Acquisition | None = None
    """Acquisition metadata of the STAC Item, set by planning. A restart doesn't read the Item again."""

    @property
    def grid(self) -> TileGrid | None:
        """Grid of the tiles after planning, or None for one window."""
        return TileGrid(self.tile, self.overlap) if isinstance(self.tile, int) else None

    @property
    def uses_detector(self) -> bool:
        """Whether tiles are searched for targets."""
        return any((self.objects, self.gate, self.second_opinion))

    def check_detector(self) -> None:
        """Check that the questions suit ``objects`` and ``gate``.

        Raises:
            BadRequest: no question is about objects, or the gate would skip tiles that a question needs.
        """
        classes = [object_class(task.question, task.application) for task in self.tasks]
        if self.objects and not any(classes):
            raise BadRequest(
                "objects requires a question that counts, searches for or locates one class of objects, such as "
                '"How many ships are in the image?".',
                param="objects",
            )
        if self.gate and not set(classes) <= COMPACT_CLASSES:
            raise BadRequest(
                "gate requires that every question counts, searches for or locates objects of one of the classes "
                f"{', '.join(sorted(COMPACT_CLASSES))}: tiles without bright targets aren't asked about.",
                param="gate",
            )

    @property
    def image_request(self) -> ImageRequest:
        """Image to read, for the access check."""
        return ImageRequest(self.url, self.render)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks of every tile.

        Raises:
            BadRequest: ``context`` is set, and the image isn't a STAC Item.
        """
        tasks = tuple(vqa_task(question.question, question.application, question.id) for question in self.questions)
        tasks = tasks if self.caption is None else (*tasks, caption_task(self.caption))
        return with_acquisition_context(tasks, self.acquisition) if self.context else tasks

    @property
    def sampling(self) -> Sampling:
        """Sampling parameters; the answers have a confidence."""
        return Sampling(self.max_tokens, self.temperature, self.seed, confidence=True)

    def with_tile_for(self, size: int) -> SurveySpec:
        """Return the specification with the tile that a model of ``size`` pixels sees, and the reduction of a tile.

        Raises:
            BadRequest: the overlap is more than half of the tile.
        """
        if self.tile is None:
            return self
        tile = default_tile(self.render, size) if self.tile == "model" else self.tile
        if 2 * self.overlap > tile:
            raise BadRequest(f"overlap can be at most half of the tile, which has {tile} pixels.", param="overlap")
        return self.model_copy(update={"tile": tile, "reduction": reduction(self.render, size, tile, tile)})

    def with_resolved_image(
        self, model: str, url: RemoteLocation, render: RenderParams, acquisition: Acquisition | None
    ) -> SurveySpec:
        """Return the specification with the model that answers, and the image that a STAC Item leads to."""
        acquisition = acquisition or self.acquisition
        return self.model_copy(update={"model": model, "url": url, "render": render, "acquisition": acquisition})
