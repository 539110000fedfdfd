"""The profile of a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sarlens.prompts.applications import CAPTION_PROMPT, DETAIL_PROMPT, QUESTION_PROMPT, Application
from sarlens.prompts.boxes import BoxConvention, BoxFormat, BoxNumbers
from sarlens.prompts.classify import is_box_derived
from sarlens.prompts.templates import Style, question_prompt
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import DEFAULT_RENDER, RenderParams
from sarlens.types.sensor import Sensor

_QUESTION = "{question}"
_MODEL_FIELDS = frozenset({"preset", "filter", "bands", "scale", "calibration", "noise", "looks", "stretch", "orient"})
"""Render parameters that can depend on the model; the others depend on the image."""


_MAX_SEARCHED_CHARS = 4000
"""Characters of a text in which its answer is searched: a pattern can take the square of them in steps."""


class ProfileTable(BaseModel):
    """A table of a file of profiles."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Template = Annotated[str, Field(max_length=4000)]


class Prompts(ProfileTable):
    """Texts that the model gets for tasks. ``{question}`` is the question, after its list of classes."""

    question: Annotated[Template, Field(description="Prompt of a question.")] = QUESTION_PROMPT
    object_identification: Annotated[Template | None, Field(description="Prompt of yes/no questions.")] = None
    object_classification: Annotated[Template | None, Field(description="Prompt of questions about classes.")] = None
    instance_counting: Annotated[Template | None, Field(description="Prompt of counting questions.")] = None
    region_referring: Annotated[Template | None, Field(description="Prompt of questions about a box.")] = None
    object_positioning: Annotated[Template | None, Field(description="Prompt of questions about positions.")] = None
    others: Annotated[Template | None, Field(description="Prompt of other questions.")] = None
    concise: Annotated[Template, Field(description="Prompt of a caption of one sentence.")] = CAPTION_PROMPT
    complex: Annotated[Template, Field(description="Prompt of a detailed caption.")] = DETAIL_PROMPT
    class_lists: Annotated[
        bool, Field(description="Begin questions about classes and positions with SARLANG-1M's list of them.")
    ] = True

    @model_validator(mode="after")
    def _has_questions(self) -> Prompts:
        for name in type(self).model_fields:
            text = getattr(self, name)
            if isinstance(text, str) and name not in {"concise", "complex"} and text.count(_QUESTION) != 1:
                raise ValueError(f"{name} must contain {_QUESTION} once")
        return self

    def for_question(self, question: str, application: Application) -> str:
        """Return the prompt of a question; a request for a description keeps its own words."""
        if application is Application.IMAGE_DESCRIPTION:
            return question.strip()
        classes = self.class_lists and is_box_derived(question, application)
        template = getattr(self, application.value) or self.question
        return question_prompt(question, application, classes=classes, template=template)

    def for_caption(self, style: Style) -> str:
        """Return the prompt of a caption."""
        return self.concise if style == "concise" else self.complex


class Boxes(ProfileTable):
    """Boxes in the texts of the model."""

    convention: Annotated[
        BoxConvention,
        Field(
            description="`xywh`: `[x, y, width, height]` in pixels; `xyxy`: left, upper, right and lower edge in "
            "pixels; `xyxy_1`: these edges from 0 to 1; `xyxy_1000`: from 0 to 1000; `internvl`: the same as "
            "`<box>[[…]]</box>`; `sarchat`: `{<…><…><…><…>}` from 0 to 100."
        ),
    ] = "xywh"
    numbers: Annotated[
        BoxNumbers,
        Field(
            description="Numbers of pixels in prompts: `integer` (56), `whole` (56.0), `decimal` (56.5), or as the "
            "caller writes them."
        ),
    ] = "as_written"
    multiple: Annotated[
        int,
        Field(ge=1, le=1024, description="The model resizes each side to a multiple of this, and then counts pixels."),
    ] = 1

    @cached_property
    def format(self) -> BoxFormat:
        """Reader and writer of these boxes."""
        return BoxFormat(self.convention, self.numbers, self.multiple)


class Acquisitions(ProfileTable):
    """Images of some sensors. A condition that is left out holds for all images; one holds for no unknown value."""

    platforms: Annotated[
        tuple[str, ...], Field(description="Platforms, or patterns such as `sentinel-1*`, in upper or lower case.")
    ] = ()
    modes: Annotated[tuple[str, ...], Field(description="Instrument modes or patterns, such as `IW`.")] = ()
    min_spacing_m: Annotated[float | None, Field(gt=0, description="Minimum pixel spacing in meters.")] = None
    max_spacing_m: Annotated[float | None, Field(gt=0, description="Maximum pixel spacing in meters.")] = None

    def has(self, sensor: Sensor) -> bool:
        """Return whether an image of a sensor is one of them."""
        if self.min_spacing_m is not None and (sensor.spacing_m is None or sensor.spacing_m < self.min_spacing_m):
            return False
        if self.max_spacing_m is not None and (sensor.spacing_m is None or sensor.spacing_m > self.max_spacing_m):
            return False
        named = ((self.platforms, sensor.platform), (self.modes, sensor.mode))
        return all(not patterns or _matches(name or "", patterns) for patterns, name in named)


class ModelProfile(ProfileTable):
    """Pictures and prompts for a model, and the reading of its answers."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]{0,63}$")] = "default"
    models: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=256)], ...],
        Field(
            description="Names of models, or patterns such as `*qwen2.5-vl*`, in upper or lower case. Default: the "
            "name of the profile."
        ),
    ] = ()
    aliases: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=256)], ...],
        Field(
            description="Further names that requests can use for the model, such as `gpt-4o`; requires models without "
            "patterns."
        ),
    ] = ()
    fallbacks: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=256)], ...],
        Field(description="Models that answer while no ready worker serves this one, in this order."),
    ] = ()
    acquisitions: Annotated[
        tuple[Acquisitions, ...],
        Field(description="Images for which a request with the model `auto` gets this one; any of the tables."),
    ] = ()
    size: Annotated[
        int, Field(ge=16, le=4096, description="Longest side of the rendered image in pixels, unless `sar` has a size.")
    ] = 448
    render: Annotated[
        RenderParams,
        Field(
            description="Defaults of the `sar` object: `preset`, `filter`, `bands`, `scale`, `calibration`, `noise`, "
            "`looks`, `stretch` and `orient`."
        ),
    ] = DEFAULT_RENDER
    boxes: Annotated[Boxes, Field(description="Boxes in the texts of the model.")] = Boxes()
    prompts: Annotated[Prompts, Field(description="Prompts of tasks and surveys.")] = Prompts()
    system_prompt: Annotated[
        Template | None, Field(description="System message of tasks and surveys; chats have their own.")
    ] = None
    structured_output: Annotated[bool, Field(description="Constrain typed answers by vLLM's `structured_outputs`.")] = (
        True
    )
    answer_pattern: Annotated[
        Annotated[str, Field(max_length=1000)] | None,
        Field(
            description="Regular expression with one group, which is the answer in the last 4,000 characters of the "
            "text of a task. A text that doesn't match is the answer as it is."
        ),
    ] = None
    max_images: Annotated[
        int | None, Field(ge=1, le=1000, description="Maximum number of images in a chat. Default: the gateway's.")
    ] = None
    chat_template: Annotated[
        Path | None, Field(description="Path of the Jinja chat template, for Triton workers; requires exact names.")
    ] = None

    @field_validator("render")
    @classmethod
    def _depends_on_the_model(cls, render: RenderParams) -> RenderParams:
        if others := render.model_fields_set - _MODEL_FIELDS:
            raise ValueError(f"{min(others)} depends on the image, not on the model")
        return render

    @field_validator("answer_pattern")
    @classmethod
    def _has_one_group(cls, pattern: str | None) -> str | None:
        try:
            groups = 1 if pattern is None else re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"isn't a regular expression: {error}") from None
        if groups != 1:
            raise ValueError("must have one group, such as Answer: (.*)")
        return pattern

    @model_validator(mode="after")
    def _template_has_models(self) -> ModelProfile:
        has_patterns = any(set("*?[") & set(name) for name in self.names)
        for field in ("chat_template", "aliases"):
            if getattr(self, field) and has_patterns:
                raise ValueError(f"{field} requires models without patterns")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names and patterns of its models."""
        return self.models or (self.name,)

    def matches(self, model: str) -> bool:
        """Return whether a pattern matches the name of a model, in upper or lower case."""
        return _matches(model, self.names)

    def is_for(self, sensor: Sensor) -> bool:
        """Return whether the model is for images of a sensor."""
        return any(images.has(sensor) for images in self.acquisitions)

    def image_request(self, image_request: ImageRequest) -> ImageRequest:
        """Return an image request with the profile's defaults in place of parameters that the caller left out."""
        if not self.render.model_fields_set:
            return image_request
        render = image_request.render or DEFAULT_RENDER
        missing = self.render.model_fields_set - render.model_fields_set
        defaults = {name: getattr(self.render, name) for name in missing}
        return image_request._replace(render=render.model_copy(update=defaults))

    def rendered_params(self, size: int | None) -> RenderParams:
        """Return the parameters that leave a picture for the model as it is; no default of the profile applies."""
        unchanged = {name: getattr(DEFAULT_RENDER, name) for name in self.render.model_fields_set}
        return RenderParams(size=size).model_copy(update=unchanged)

    def answer_in(self, text: str) -> str:
        """Return the answer in the text of a task."""
        found = self.answer_pattern and re.search(self.answer_pattern, text[-_MAX_SEARCHED_CHARS:])
        return found[1] if found and found[1] is not None else text


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)
