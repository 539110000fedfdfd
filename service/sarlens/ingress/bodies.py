"""The bodies that the task routes take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from sarlens.errors import BadRequest
from sarlens.prompts.applications import Application
from sarlens.prompts.wording import Style
from sarlens.request import Place, Render, scheme
from sarlens.stac import Item
from sarlens.survey.commission import Commission, Enquiry, Output
from sarlens.tasks import Sampling, Task, caption_task, question_task

Url = Annotated[str, Field(min_length=1)]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class Assignment(NamedTuple):
    """What a body asks for: tasks about one image, put to a model, which may be told how the image was taken."""

    model: str | None
    place: Place
    render: Render | None
    tasks: Sequence[Task]
    sampling: Sampling
    context: bool = False


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Image(_Body):
    """An image and how to render it; a URL or a STAC Item alone may stand for it."""

    url: Annotated[Url, Field(description="data:, https: or s3:// URL of an image, or of a STAC Item")] | None = None
    item: Annotated[Item | None, Field(description="A STAC Item in place of a URL")] = None
    sar: Render | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> Image:
        if (self.url is None) == (self.item is None):
            raise ValueError("an image has either a url or an item")
        return self

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.item or self.url or ""


class Question(_Body):
    """A question; its words alone may stand for it.

    ``application`` says what kind of question it is; left out, it is told from the words. ``id`` comes back with the
    answer.
    """

    question: Words
    application: Application | None = None
    id: Annotated[str, Field(max_length=200)] | None = None


def _in(field: str) -> BeforeValidator:
    """Text alone is taken for the object with that field."""

    def wrapped(value: Any) -> Any:
        return {field: value} if isinstance(value, str) else value

    return BeforeValidator(wrapped, json_schema_input_type=str | dict[str, Any])


def _bare_item(value: Any) -> Any:
    return {"item": value} if isinstance(value, dict) and value.get("type") == "Feature" else value


OneImage = Annotated[Image, _in("url"), BeforeValidator(_bare_item)]
OneQuestion = Annotated[Question, _in("question")]


class VqaBody(_Body):
    """Questions about one image. Without ``seed`` and with ``temperature`` 0 equal questions get equal answers.

    With ``context`` the model is told how the image was taken, as its STAC Item says; it was trained without.
    """

    model: str | None = None
    image: OneImage
    questions: Annotated[tuple[OneQuestion, ...], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1, le=65_536)] = 128
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.0
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    context: bool = False

    @property
    def assignment(self) -> Assignment:
        """The questions as they are put to the model."""
        tasks = [question_task(asked.question, asked.application, asked.id) for asked in self.questions]
        sampling = Sampling(self.max_tokens, self.temperature, self.seed)
        return Assignment(self.model, self.image.place, self.image.sar, tasks, sampling, self.context)


class CaptionBody(_Body):
    """A wish for a caption of one image; ``context`` as for questions."""

    model: str | None = None
    image: OneImage
    style: Style = "concise"
    context: bool = False

    @property
    def assignment(self) -> Assignment:
        """The wish as it is put to the model: for the likeliest words, as many as a caption of the style can need."""
        sampling = Sampling(128 if self.style == "concise" else 512)
        tasks = [caption_task(self.style)]
        return Assignment(self.model, self.image.place, self.image.sar, tasks, sampling, self.context)


class SurveyBody(_Body):
    """Questions about every tile of a scene, or of the part that ``sar`` names by window, bbox or polygon.

    ``tile`` and ``overlap`` are in pixels of the full resolution. ``output`` is an ``s3://`` URL under which the
    result is written in ``format`` as well. ``context`` is as for questions about one image.
    """

    model: str | None = None
    image: OneImage
    questions: Annotated[tuple[OneQuestion, ...], Field(min_length=1)]
    tile: Annotated[int, Field(ge=64, le=4096)] = 448
    overlap: Annotated[int, Field(ge=0, le=2048)] = 0
    max_tokens: Annotated[int, Field(ge=1, le=65_536)] = 128
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.0
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    context: bool = False
    output: Annotated[str, Field(pattern=r"^s3://[^/]+/.+$", max_length=2000)] | None = None
    format: Output = "geojson"

    @model_validator(mode="after")
    def _overlap_is_less(self) -> SurveyBody:
        if 2 * self.overlap > self.tile:
            raise ValueError("overlap can be at most half of tile")
        return self

    @property
    def commission(self) -> Commission:
        """What is to be done."""
        return Commission(
            model=self.model,
            url=lasting(self.image.place),
            render=self.image.sar or Render(),
            enquiries=tuple(Enquiry(**each.model_dump()) for each in self.questions),
            tile=self.tile,
            overlap=self.overlap,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
            output=self.output,
            format=self.format,
            context=self.context,
        )


def lasting(place: Place) -> str | Item:
    """The place of an image that a job can come back to.

    Raises:
        BadRequest: the image came with the request.
    """
    if isinstance(place, bytes) or (isinstance(place, str) and scheme(place) == "data"):
        raise BadRequest("A job reads its image again and again: name it by an s3:// or https: URL.", param="image")
    return place


Body = TypeVar("Body", bound=BaseModel)


def parse_body(kind: type[Body], body: bytes) -> Body:
    """Read a body.

    Raises:
        BadRequest: naming the field that is wrong.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise refusal(error) from None


def validated(kind: type[Body], given: Mapping[str, Any]) -> Body:
    """The same of what is no JSON; raises as ``parse_body`` does."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise refusal(error) from None


def refusal(error: ValidationError) -> BadRequest:
    """The first thing that is wrong with a body, without what was sent."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(step) for step in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return BadRequest(f"{field or 'The body'}: {message}.", param=field or None)


def check_questions(given: int, most: int) -> None:
    """Raise BadRequest where there are more questions than one request may hold."""
    if given > most:
        raise BadRequest(f"A request may hold at most {most} questions.", param="questions")
