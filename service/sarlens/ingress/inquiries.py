"""Requests of the Open Inference Protocol as questions: tensors and parameters in, things asked out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sarlens.chat import IMAGE_PART, find_images, parse_render
from sarlens.errors import BadRequest, TooLarge
from sarlens.ingress.tensors import IMAGE, WORDS, Tensor
from sarlens.prompts.applications import Application
from sarlens.request import ImageRef, Place, Render
from sarlens.tasks import Sampling

_SCHEMES = (b"s3://", b"https://", b"data:")
_TRITON = frozenset(
    {"triton_enable_empty_final_response", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"}
    | {"binary_data_output"}
)
"""Parameters that Triton's clients add by themselves."""


class Options(BaseModel):
    """The request's parameters. ``sar`` is the JSON of a ``sar`` object."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: int = Field(128, ge=1, le=65_536)
    temperature: float = Field(0.0, ge=0, le=2, allow_inf_nan=False)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    application: Application | None = None
    sar: str | None = None

    @property
    def sampling(self) -> Sampling:
        """How the model chooses its words."""
        return Sampling(self.max_tokens, self.temperature, self.seed)

    @property
    def render(self) -> Render | None:
        """How to render the image.

        Raises:
            BadRequest: ``sar`` is no JSON, or wrong.
        """
        return None if self.sar is None else parse_render(_json(self.sar, "sar"), "sar")


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One thing asked: words of a kind, and the image that they are about."""

    kind: str
    words: str
    image: Place | None


def read_options(parameters: Mapping[str, object]) -> Options:
    """The parameters of a request; those that Triton's clients add are passed over.

    Raises:
        BadRequest: naming the one that is wrong or unknown.
    """
    try:
        return Options.model_validate({name: value for name, value in parameters.items() if name not in _TRITON})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = str(first["loc"][0])[:100]
        raise BadRequest(f"parameter {name}: {first['msg']}.", param=name) from None


def read_inquiries(tensors: Sequence[Tensor], most: int) -> list[Inquiry]:
    """What the tensors ask: as many things as the longer of image and words has elements, the shorter having one.

    Raises:
        BadRequest: a name, datatype, shape or text is wrong, or something is missing.
        TooLarge: more than ``most`` things are asked.
    """
    given = {tensor.name: tensor.checked() for tensor in tensors}
    kinds = [name for name in WORDS if name in given]
    if unknown := given.keys() - {IMAGE, *WORDS}:
        raise BadRequest(f"There is no input {min(unknown)[:100]!r}; inputs are image, question, prompt and messages.")
    if len(given) < len(tensors) or len(kinds) != 1:
        raise BadRequest("Exactly one of the inputs question, prompt and messages has to be given, and image once.")
    kind = kinds[0]
    words, images = [_text(element, kind) for element in given[kind]], [_place(each) for each in given.get(IMAGE, ())]
    if kind == "question" and not images:
        raise BadRequest("A question needs the input image.", param=IMAGE)
    number = max(len(words), len(images))
    if number > most:
        raise TooLarge(f"A request may ask at most {most} things.")
    if {len(words), len(images) or 1} - {1, number}:
        raise BadRequest("image and its words need equally many elements, or one of them a single one.")
    shown = [None] * number if not images else images * (number // len(images))
    return [
        Inquiry(kind, text, place)
        for text, place in zip(repeat(words[0], number) if len(words) == 1 else words, shown, strict=True)
    ]


def chat_of(
    inquiry: Inquiry, model: str, options: Options, *, stream: bool, max_images: int
) -> tuple[dict[str, Any], tuple[ImageRef, ...]]:
    """The chat that a prompt or messages ask for, and the images in it.

    Raises:
        BadRequest: the messages are no JSON, or no list of messages.
        TooLarge, SourceRefused: as for a chat over REST.
    """
    messages: Any = [{"role": "user", "content": inquiry.words}]
    if inquiry.kind == "messages":
        messages = _json(inquiry.words, "messages")
    images = find_images(messages, max_images=max_images)
    if inquiry.image is not None:
        messages = _with_image(messages)
        last = len(messages) - 1
        shifted = (ref._replace(part=ref.part + 1) if ref.message == last else ref for ref in images)
        images = (ImageRef(inquiry.image, options.render, last, 0), *shifted)
    document: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": options.max_tokens}
    document["temperature"] = options.temperature
    if options.seed is not None:
        document["seed"] = options.seed
    if stream:
        document |= {"stream": True, "stream_options": {"include_usage": True}}
    return document, images


def _text(element: bytes, kind: str) -> str:
    try:
        text = element.decode().strip()
    except UnicodeDecodeError:
        raise BadRequest(f"{kind} is not UTF-8.", param=kind) from None
    if not text:
        raise BadRequest(f"{kind} is empty.", param=kind)
    return text


def _place(element: bytes) -> Place:
    """The URL of an image that is one, or encoded bytes."""
    if element.startswith(_SCHEMES):
        return _text(element, IMAGE)
    if not element:
        raise BadRequest("image is empty.", param=IMAGE)
    return element


def _with_image(messages: Any) -> list[Any]:
    """The messages with room for an image before the words of the last one."""
    try:
        *before, last = messages
        content = last["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else [*content]
        shown = {**last, "content": [IMAGE_PART, *parts]}
    except (TypeError, ValueError, KeyError):
        raise BadRequest("messages has to be a list of OpenAI's chat messages.", param="messages") from None
    return [*before, shown]


def _json(text: str, name: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"{name} is not valid JSON: {error}.", param=name) from None
