"""What a survey is asked to do, as it is written down and read again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sarlens.prompts.applications import Application
from sarlens.prompts.wording import Style
from sarlens.request import Render, View
from sarlens.stac import Acquisition, Item
from sarlens.survey.grid import Grid
from sarlens.tasks import Sampling, Task, caption_task, in_context, question_task

Output = Literal["geojson", "gpkg", "parquet"]


class Enquiry(BaseModel):
    """A question that is put to every tile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    application: Application | None = None
    id: str | None = None


class Commission(BaseModel):
    """Questions, or a wish for a caption, about tiles of an image; without a ``tile`` about one window of it.

    ``render`` says how tiles are drawn; its window, bbox or polygon is the part of the image that is wanted.
    ``url`` may be a STAC Item, or lead to one, until it is settled which asset is meant; what the Item says is then the
    ``acquisition``, and the Item is not needed any more. With ``context`` models are told of it.
    ``output`` is where the result is written as well; ``document`` wraps it as OGC API Processes does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    url: str | Item
    render: Render = Render()
    enquiries: tuple[Enquiry, ...] = ()
    caption: Style | None = None
    tile: Annotated[int, Field(ge=64, le=4096)] | None = None
    overlap: Annotated[int, Field(ge=0)] = 0
    max_tokens: int = 128
    temperature: float = 0.0
    seed: int | None = None
    output: str | None = None
    format: Output = "geojson"
    document: bool = False
    context: bool = False
    acquisition: Acquisition | None = None

    @property
    def grid(self) -> Grid | None:
        """How the image is cut; None where it is not."""
        return None if self.tile is None else Grid(self.tile, self.overlap)

    @property
    def views(self) -> tuple[View, ...]:
        """What is read, and what is written."""
        read = View(self.url, self.render)
        return (read,) if self.output is None else (read, View(self.output))

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What a model is asked."""
        asked = tuple(question_task(each.question, each.application, each.id) for each in self.enquiries)
        asked = asked if self.caption is None else (*asked, caption_task(self.caption))
        return in_context(asked, self.acquisition) if self.context else asked

    def settled(self, url: str, render: Render, acquisition: Acquisition | None) -> Commission:
        """The same for the image that has been found."""
        known = acquisition or self.acquisition
        return self.model_copy(update={"url": url, "render": render, "acquisition": known})

    @property
    def sampling(self) -> Sampling:
        """How the model chooses its words; it is asked how sure it is of them."""
        return Sampling(self.max_tokens, self.temperature, self.seed, confidence=True)
