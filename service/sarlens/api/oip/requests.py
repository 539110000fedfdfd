"""Parse requests of the Open Inference Protocol: tensors and parameters to inference items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from sarlens.api.oip.tensors import IMAGE, TEXT_INPUTS, Tensor
from sarlens.chat.parse import IMAGE_PART, clean_messages
from sarlens.chat.query import parse_render, parse_urls
from sarlens.errors import BadRequest, PayloadTooLarge
from sarlens.inference.sar_tasks import Sampling
from sarlens.json_input import MAX_TEXT_BYTES, load_json
from sarlens.prompts.applications import Application
from sarlens.types.image_request import ImageLocation, ImageRef
from sarlens.types.render_params import RenderParams
from sarlens.validation import BoundedModel, InvalidField

_SCHEMES = (b"s3://", b"https://", b"data:")
IGNORED_TRITON_PARAMETERS = frozenset(
    {"triton_enable_empty_final_response", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"}
    | {"binary_data_output"}
)
"""Parameters that Triton's clients add on their own."""


class InferParameters(BoundedModel):
    """Parameters of a request; ``sar`` is the JSON of a ``sar`` object."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: int = Field(128, ge=1, le=65_536)
    temperature: float = Field(0.0, ge=0, le=2, allow_inf_nan=False)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    application: Application | None = None
    sar: str | None = None

    @property
    def sampling(self) -> Sampling:
        """Sampling parameters of the completion."""
        return Sampling(self.max_tokens, self.temperature, self.seed)

    @cached_property
    def render(self) -> RenderParams | None:
        """Render parameters of the image, or None if ``sar`` is missing.

        Raises:
            BadRequest: ``sar`` isn't valid.
        """
        return None if self.sar is None else parse_render(load_json(self.sar.encode(errors="replace"), "sar"), "sar")


_DEFAULT_PARAMETERS = InferParameters()


@dataclass(frozen=True, slots=True)
class InferItem:
    """One element of a batch."""

    kind: str
    """``question``, ``prompt`` or ``messages``."""
    text: str
    image: ImageLocation | None


def parse_infer_parameters(parameters: Mapping[str, object]) -> InferParameters:
    """Parse the parameters of a request; parameters that Triton's clients add are ignored.

    Raises:
        BadRequest: a parameter is unknown or invalid.
    """
    if not parameters:
        return _DEFAULT_PARAMETERS
    try:
        parsed = InferParameters.model_validate(
            {name: value for name, value in parameters.items() if name not in IGNORED_TRITON_PARAMETERS}
        )
    except ValidationError as error:
        field = InvalidField.first(error)
        raise BadRequest(f"parameter {field.describe('')}.", param=field.name) from None
    _ = parsed.render
    return parsed


def parse_infer_items(tensors: Sequence[Tensor], max_items: int) -> list[InferItem]:
    """Parse the items of a batch. ``image`` and the text input have equal lengths, or one of them has one element.

    Raises:
        BadRequest: a name, datatype, shape or text is invalid, or an input is missing.
        PayloadTooLarge: the batch has more than ``max_items`` items.
    """
    inputs = {tensor.name: tensor.validate() for tensor in tensors}
    kinds = [name for name in TEXT_INPUTS if name in inputs]
    if unknown := inputs.keys() - {IMAGE, *TEXT_INPUTS}:
        raise BadRequest(
            f"The input {min(unknown)[:100]!r} doesn't exist; inputs are image, question, prompt and messages."
        )
    if len(inputs) < len(tensors) or len(kinds) != 1:
        raise BadRequest(
            "The request must have exactly one of the inputs question, prompt and messages, and at most one image."
        )
    kind = kinds[0]
    texts = [_text(element, kind) for element in inputs[kind]]
    images = [_image_location(element) for element in inputs.get(IMAGE, ())]
    if kind == "question" and not images:
        raise BadRequest("The input question requires the input image.", param=IMAGE)
    count = max(len(texts), len(images))
    if count > max_items:
        raise PayloadTooLarge(f"A request can have at most {max_items} elements.")
    if {len(texts), len(images) or 1} - {1, count}:
        raise BadRequest(f"image and {kind} must have equally many elements, or one of them a single element.")
    item_texts = texts * count if len(texts) == 1 else texts
    item_images = [None] * count if not images else images * (count // len(images))
    return [InferItem(kind, text, image) for text, image in zip(item_texts, item_images, strict=True)]


def to_chat(
    item: InferItem, model: str, parameters: InferParameters, *, stream: bool, max_images: int
) -> tuple[dict[str, Any], tuple[ImageRef, ...]]:
    """Return the chat body for a prompt or messages, and its images.

    Raises:
        BadRequest: the messages aren't a JSON list of messages.
        PayloadTooLarge, SourceNotAllowed: as for a chat over REST.
    """
    messages: Any = [{"role": "user", "content": item.text}]
    if item.kind == "messages":
        messages = load_json(item.text.encode(), "messages")
    messages, images = clean_messages(messages, max_images=max_images)
    if item.image is not None:
        messages = _with_image(messages)
        last = len(messages) - 1
        shifted = (ref._replace(part=ref.part + 1) if ref.message == last else ref for ref in images)
        images = (ImageRef(item.image, parameters.render, last, 0), *shifted)
    document: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": parameters.max_tokens}
    document["temperature"] = parameters.temperature
    if parameters.seed is not None:
        document["seed"] = parameters.seed
    if stream:
        document |= {"stream": True, "stream_options": {"include_usage": True}}
    return document, images


def _text(element: bytes, kind: str) -> str:
    # A text with one character beyond ASCII takes up to four times its size; long messages hold base64.
    if len(element) > MAX_TEXT_BYTES and not (kind == "messages" and element.isascii()):
        raise PayloadTooLarge(f"{kind} has more than {MAX_TEXT_BYTES} bytes.", param=kind)
    try:
        text = element.decode().strip()
    except UnicodeDecodeError:
        raise BadRequest(f"{kind} must be UTF-8.", param=kind) from None
    if not text:
        raise BadRequest(f"{kind} is empty.", param=kind)
    return text


def _image_location(element: bytes) -> ImageLocation:
    """Return the URL or the bytes of an image, or the URLs of its bands from a JSON list."""
    if element.startswith(b"["):
        urls = load_json(element, IMAGE)
        return parse_urls(urls if isinstance(urls, list) else (), IMAGE)
    if element.startswith(b"data:") and element.isascii():
        return element.decode()
    if element.startswith(_SCHEMES):
        return _text(element, IMAGE)
    if not element:
        raise BadRequest("image is empty.", param=IMAGE)
    return element


def _with_image(messages: Any) -> list[Any]:
    """Return the messages with an image part before the text of the last one."""
    try:
        *previous, last = messages
        content = last["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else [*content]
        with_image = {**last, "content": [IMAGE_PART, *parts]}
    except (TypeError, ValueError, KeyError):
        raise BadRequest("messages must be a list of OpenAI chat messages.", param="messages") from None
    return [*previous, with_image]
