"""The bodies that the task routes take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from sarlens.errors import BadRequest
from sarlens.inference.sar_tasks import Sampling, Task, caption_task, vqa_task
from sarlens.json_input import Document, load_json
from sarlens.prompts.applications import Application
from sarlens.prompts.templates import Style
from sarlens.stac import Item
from sarlens.surveys.spec import Detector, ObjectSelection, Output, SurveyQuestion, SurveySpec
from sarlens.types.cfar_params import CfarParams
from sarlens.types.image_request import MAX_BAND_FILES, ImageLocation, RemoteLocation, has_own_bytes, only_or_bands
from sarlens.types.render_params import RenderParams
from sarlens.validation import BoundedModel, InvalidField, at_most

MAX_QUESTIONS = 4096
"""Maximum value of the setting for questions per request."""
Url = Annotated[str, Field(min_length=1)]
BandFileUrls = Annotated[
    tuple[Url, ...],
    Field(min_length=1, max_length=MAX_BAND_FILES),
    AfterValidator(only_or_bands),
    at_most(MAX_BAND_FILES),
]
QuestionText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class TaskRequest(NamedTuple):
    """Tasks about one image, for one model.

    ``context`` adds a sentence about the acquisition of the image to each prompt.
    """

    model: str | None
    location: ImageLocation
    render: RenderParams | None
    tasks: Sequence[Task]
    sampling: Sampling
    context: bool = False
    cfar: CfarParams | None = None
    """Detector of the second opinion, or None for none."""


class _Body(BoundedModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_STAC_ITEM = WithJsonSchema(
    {"type": "object", "title": "STAC Item", "required": ["type", "stac_version", "id", "properties", "assets"]}
)


class Image(_Body):
    """Image and how to render it. The URL or the STAC Item alone is accepted in its place."""

    url: Annotated[
        Url | BandFileUrls | None,
        Field(
            description="`s3://`, `https:` or `data:` URL of an image, or of a STAC Item. A list has the URLs of an "
            "image whose bands are files of their own, such as `…_VV.tif` and `…_VH.tif`."
        ),
    ] = None
    item: Annotated[Item | None, _STAC_ITEM, Field(description="STAC Item, in place of `url`.")] = None
    sar: Annotated[
        RenderParams | None, Field(description="Render parameters. Default: the whole image, preset `sarlang`.")
    ] = None

    @model_validator(mode="after")
    def _somewhere(self) -> Image:
        if (self.url is None) == (self.item is None):
            raise ValueError("an image has either a url or an item")
        return self

    @property
    def location(self) -> ImageLocation:
        """The STAC Item or the URL of the image."""
        return self.item or self.url or ""


class Question(_Body):
    """Question and its options. The text alone is accepted in its place."""

    question: Annotated[QuestionText, Field(description="Text of the question.")]
    application: Annotated[
        Application | None, Field(description="SARLANG-1M application of the question. Default: derived from the text.")
    ] = None
    id: Annotated[
        Annotated[str, Field(max_length=200)] | None, Field(description="Your identifier, returned with the answer.")
    ] = None


def _in(field: str, model_cls: type[_Body]) -> BeforeValidator:
    """Accept a text in place of the object that has it as a field."""

    def wrap(value: Any) -> Any:
        return {field: value} if isinstance(value, str) else value

    return BeforeValidator(wrap, json_schema_input_type=str | model_cls)


def _bare_source(value: Any) -> Any:
    if isinstance(value, list):
        return {"url": value}
    return {"item": value} if isinstance(value, dict) and value.get("type") == "Feature" else value


ImageField = Annotated[
    Image,
    _in("url", Image),
    BeforeValidator(
        _bare_source, json_schema_input_type=str | list[str] | Image | Annotated[dict[str, Any], _STAC_ITEM]
    ),
]
QuestionField = Annotated[Question, _in("question", Question)]

ModelName = Annotated[
    str | None,
    Field(description="Name or alias of a model, or `auto` for that of the image. Optional if there is one model."),
]
AskedImage = Annotated[
    ImageField,
    Field(description="URL of an image, a STAC Item, or an object with both options."),
]
AskedQuestions = Annotated[
    tuple[QuestionField, ...],
    Field(min_length=1, description="Questions, as texts or as objects with options."),
    FailFast(),
    at_most(MAX_QUESTIONS),
]
MaxTokens = Annotated[int, Field(ge=1, le=65_536, description="Maximum number of tokens of each answer.")]
Temperature = Annotated[
    float, Field(ge=0, le=2, allow_inf_nan=False, description="Sampling temperature; 0 selects the likeliest tokens.")
]
Seed = Annotated[
    Annotated[int, Field(ge=-(2**63), lt=2**63)] | None, Field(description="Seed of the sampling, for equal answers.")
]
Context = Annotated[
    bool,
    Field(description="Add a sentence about the acquisition, from the STAC Item. The models were trained without it."),
]

Objects = Annotated[
    ObjectSelection | None,
    Field(
        description="Also return one feature per object, for questions about one class of objects. `confirmed`: the "
        "objects that the model confirms. `all`: also the targets of the CFAR detector that it doesn't confirm. "
        "Default: tiles only."
    ),
]
Gate = Annotated[
    Detector | None,
    Field(
        description="`cfar`: don't ask about tiles in which the CFAR detector finds no target. Every question must be "
        "about ships, aircraft, cars or tanks. Default: ask about every tile."
    ),
]
SecondOpinion = Annotated[
    Detector | None,
    Field(description="`cfar`: return the number of targets of the CFAR detector next to each answer. Default: none."),
]
Cfar = Annotated[CfarParams, Field(description="Parameters of the CFAR detector.")]


class VqaBody(_Body):
    """Questions about one image."""

    model: ModelName = None
    image: AskedImage
    questions: AskedQuestions
    max_tokens: MaxTokens = 128
    temperature: Temperature = 0.0
    seed: Seed = None
    context: Context = False
    second_opinion: SecondOpinion = None
    cfar: Cfar = CfarParams()
    confidence: Annotated[
        bool, Field(description="Add the probability that the model gave to each answer, from its log probabilities.")
    ] = False

    @property
    def to_task_request(self) -> TaskRequest:
        """One task per question."""
        tasks = [vqa_task(item.question, item.application, item.id) for item in self.questions]
        sampling = Sampling(self.max_tokens, self.temperature, self.seed, confidence=self.confidence)
        cfar = self.cfar if self.second_opinion else None
        return TaskRequest(self.model, self.image.location, self.image.sar, tasks, sampling, self.context, cfar)


class CaptionBody(_Body):
    """Request for a caption of one image."""

    model: ModelName = None
    image: AskedImage
    style: Annotated[Style, Field(description="`concise` is one sentence, `complex` a detailed description.")] = (
        "concise"
    )
    context: Context = False

    @property
    def to_task_request(self) -> TaskRequest:
        """One task, sampled at temperature 0, with a limit on tokens that suits the style."""
        sampling = Sampling(128 if self.style == "concise" else 512)
        tasks = [caption_task(self.style)]
        return TaskRequest(self.model, self.image.location, self.image.sar, tasks, sampling, self.context)


class SurveyBody(_Body):
    """Questions about every tile of a scene, or of the part that ``sar`` selects by window, bbox or polygon."""

    model: ModelName = None
    image: AskedImage
    questions: AskedQuestions
    tile: Annotated[
        Annotated[int, Field(ge=64, le=4096)] | None,
        Field(description="Side of a tile in pixels of the full resolution. Default: what the model sees."),
    ] = None
    overlap: Annotated[
        int, Field(ge=0, le=2048, description="Pixels that neighboring tiles share; at most half of `tile`.")
    ] = 0
    max_tokens: MaxTokens = 128
    temperature: Temperature = 0.0
    seed: Seed = None
    objects: Objects = None
    gate: Gate = None
    second_opinion: SecondOpinion = None
    cfar: Cfar = CfarParams()
    context: Context = False
    output: Annotated[
        Annotated[str, Field(pattern=r"^s3://[^/]+/.+$", max_length=2000)] | None,
        Field(description="`s3://` URL to which the gateway also writes the result."),
    ] = None
    format: Annotated[Output, Field(description="Format of the result at `output`.")] = "geojson"
    overwrite: Annotated[bool, Field(description="Replace an object at `output`.")] = False

    @model_validator(mode="after")
    def _overlap_is_less(self) -> SurveyBody:
        if self.tile is not None and 2 * self.overlap > self.tile:
            raise ValueError("overlap can be at most half of tile")
        return self

    @property
    def to_spec(self) -> SurveySpec:
        """The survey that the body requests."""
        return SurveySpec(
            model=self.model,
            url=require_remote_image(self.image.location),
            render=self.image.sar or RenderParams(),
            questions=tuple(SurveyQuestion(**question.model_dump()) for question in self.questions),
            tile="model" if self.tile is None else self.tile,
            overlap=self.overlap,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
            output=self.output,
            format=self.format,
            overwrite=self.overwrite,
            objects=self.objects,
            gate=self.gate,
            second_opinion=self.second_opinion,
            cfar=self.cfar,
            context=self.context,
        )


def require_remote_image(location: ImageLocation) -> RemoteLocation:
    """The location of an image that a job can read later.

    Raises:
        BadRequest: the request holds the image itself.
    """
    if isinstance(location, bytes) or has_own_bytes(location):
        raise BadRequest("A job reads its image again and again: name it by an s3:// or https: URL.", param="image")
    return location


Body = TypeVar("Body", bound=BaseModel)


def parse_body(model_cls: type[Body], body: Document) -> Body:
    """Parse the JSON body of a request.

    Raises:
        BadRequest: the body isn't JSON, or a field is invalid; ``param`` names the field.
        PayloadTooLarge: ``load_json`` rejects the size.
    """
    return validate_body(model_cls, load_json(body))


def validate_body(model_cls: type[Body], document: object) -> Body:
    """Validate a document that was not sent as JSON; raises BadRequest as ``parse_body`` does."""
    try:
        return model_cls.model_validate(document)
    except ValidationError as error:
        raise validation_error(error, document) from None


def validation_error(error: ValidationError, document: object = None) -> BadRequest:
    """The error about the first invalid field of a body, which ``document`` is."""
    field = InvalidField.first(error, document=document)
    return BadRequest(f"{field.describe('The body')}.", param=field.name)


def check_questions(count: int, max_questions: int) -> None:
    """Raise BadRequest if there are more questions than one request can have."""
    if count > max_questions:
        raise BadRequest(f"A request can have at most {max_questions} questions.", param="questions")
