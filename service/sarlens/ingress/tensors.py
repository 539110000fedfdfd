"""Requests of the Open Inference Protocol as questions: tensors in, tensors out, whatever wire they come over."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sarlens.errors import BadRequest, TooLarge
from sarlens.prompts.applications import Application
from sarlens.tasks import Finding, Sampling

IMAGE, WORDS, OUTPUTS = "image", ("question", "prompt", "messages"), ("text", "answer", "usage")
_SCHEMES = (b"s3://", b"https://", b"data:")
_TRITON = frozenset(
    {"triton_enable_empty_final_response", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"}
)
"""Parameters that Triton's clients add by themselves."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input: BYTES elements in row-major order."""

    name: str
    datatype: str
    shape: Sequence[int]
    elements: Sequence[bytes]


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


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One thing asked: words of a kind, and the URL of the image that they are about."""

    kind: str
    words: str
    image: str | None


def unpack_bytes(raw: bytes) -> list[bytes]:
    """The elements of a BYTES tensor in raw form: each is its length, four bytes little-endian, and itself.

    Raises:
        BadRequest: a length leads beyond the end.
    """
    found: list[bytes] = []
    at = 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        if at + 4 > len(raw) or end > len(raw):
            raise BadRequest("The raw contents of a BYTES tensor end inside an element.")
        found.append(raw[at + 4 : end])
        at = end
    return found


def pack_bytes(elements: Sequence[bytes]) -> bytes:
    """The raw form of a BYTES tensor."""
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


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
    given = {tensor.name: _elements(tensor) for tensor in tensors}
    kinds = [name for name in WORDS if name in given]
    if unknown := given.keys() - {IMAGE, *WORDS}:
        raise BadRequest(f"There is no input {min(unknown)[:100]!r}; inputs are image, question, prompt and messages.")
    if len(given) < len(tensors) or len(kinds) != 1:
        raise BadRequest("Exactly one of the inputs question, prompt and messages has to be given, and image once.")
    kind = kinds[0]
    words, images = [_text(element, kind) for element in given[kind]], [_url(each) for each in given.get(IMAGE, ())]
    if kind == "question" and not images:
        raise BadRequest("A question needs the input image.", param=IMAGE)
    number = max(len(words), len(images))
    if number > most:
        raise TooLarge(f"A request may ask at most {most} things.")
    if {len(words), len(images) or 1} - {1, number}:
        raise BadRequest("image and its words need equally many elements, or one of them a single one.")
    shown = [None] * number if not images else images * (number // len(images))
    return [
        Inquiry(kind, text, url)
        for text, url in zip(repeat(words[0], number) if len(words) == 1 else words, shown, strict=True)
    ]


def chat_document(inquiry: Inquiry, model: str, options: Options, *, stream: bool) -> dict[str, Any]:
    """The chat that a prompt or messages ask for.

    Raises:
        BadRequest: the messages are no JSON.
    """
    messages: Any = [{"role": "user", "content": inquiry.words}]
    if inquiry.kind == "messages":
        try:
            messages = orjson.loads(inquiry.words)
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"messages is not valid JSON: {error}.", param="messages") from None
    if inquiry.image is not None:
        messages = _with_image(messages, inquiry.image, options)
    document: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": options.max_tokens}
    document["temperature"] = options.temperature
    if options.seed is not None:
        document["seed"] = options.seed
    if stream:
        document |= {"stream": True, "stream_options": {"include_usage": True}}
    return document


def outputs_of(text: str, answer: dict[str, Any] | None, usage: dict[str, Any] | None) -> dict[str, bytes]:
    """One element of each output."""
    return {"text": text.encode(), "answer": orjson.dumps(answer), "usage": orjson.dumps(usage)}


def answer_of(found: Finding, value: object, kind: str) -> dict[str, bytes]:
    """The outputs of a question whose answer has a type."""
    return outputs_of(found.text, {"type": kind, "value": value}, found.usage)


def wanted(names: Sequence[str]) -> Sequence[str]:
    """The outputs asked for; none named means all.

    Raises:
        BadRequest: there is none of that name.
    """
    for name in names:
        if name not in OUTPUTS:
            raise BadRequest(
                f"There is no output {name[:100]!r}; outputs are text, answer and usage.", param=name[:100]
            )
    return names or OUTPUTS


def _elements(tensor: Tensor) -> Sequence[bytes]:
    if tensor.datatype != "BYTES":
        raise BadRequest(f"The input {tensor.name[:100]!r} has to be of datatype BYTES.")
    if not tensor.elements or any(side < 1 for side in tensor.shape):
        raise BadRequest(f"The input {tensor.name[:100]!r} is empty.")
    if math.prod(tensor.shape) != len(tensor.elements):
        raise BadRequest(
            f"The input {tensor.name[:100]!r} has {len(tensor.elements)} elements, which its shape does not say."
        )
    return tensor.elements


def _text(element: bytes, kind: str) -> str:
    try:
        text = element.decode().strip()
    except UnicodeDecodeError:
        raise BadRequest(f"{kind} is not UTF-8.", param=kind) from None
    if not text:
        raise BadRequest(f"{kind} is empty.", param=kind)
    return text


def _url(element: bytes) -> str:
    """The URL of an image that is one, or encoded bytes."""
    if element.startswith(_SCHEMES):
        return _text(element, IMAGE)
    if not element:
        raise BadRequest("image is empty.", param=IMAGE)
    return f"data:;base64,{base64.b64encode(element).decode()}"


def _with_image(messages: Any, url: str, options: Options) -> Any:
    """The messages with the image before the words of the last one."""
    try:
        *before, last = messages
        content = last["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else [*content]
    except (TypeError, ValueError, KeyError):
        raise BadRequest("messages has to be a list of OpenAI's chat messages.", param="messages") from None
    image: dict[str, Any] = {"url": url}
    if options.sar is not None:
        image["sar"] = sar_object(options)
    return [*before, {**last, "content": [{"type": "image_url", "image_url": image}, *parts]}]


def sar_object(options: Options) -> Any:
    """The ``sar`` object of the parameters, or None.

    Raises:
        BadRequest: it is no JSON.
    """
    try:
        return None if options.sar is None else orjson.loads(options.sar)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"parameter sar is not valid JSON: {error}.", param="sar") from None
