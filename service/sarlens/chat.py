"""The inner language: an OpenAI chat body, the images in it, and the body with pictures in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
import pybase64
from pydantic import BaseModel, ValidationError

from sarlens.errors import BadRequest, SourceRefused, TooLarge
from sarlens.request import ANYBODY, ImageRef, Render, Terms
from sarlens.stac import Item

IMAGE_PART = {"type": "image_url", "image_url": {}}
"""The part of a message where an image goes that an ``ImageRef`` names."""

_WORKER_FETCHED = ("audio_url", "video_url")
_OURS = frozenset({"sar", "item"})

Noun = TypeVar("Noun", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as it came in.

    ``body`` holds the caller's bytes; they reach the worker untouched unless ``images`` names parts to resolve.
    """

    path: str
    body: bytes
    document: Mapping[str, Any]
    model: str | None
    stream: bool
    images: tuple[ImageRef, ...]
    request_id: str
    terms: Terms = ANYBODY


def parse_ask(path: str, body: bytes, request_id: str, *, max_images: int, terms: Terms = ANYBODY) -> Ask:
    """Read a completion or chat body.

    Raises:
        BadRequest: it is not a JSON object, or a field that Sarlens reads has the wrong type.
        SourceRefused: it asks the worker to fetch something by itself.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadRequest("The body must be a JSON object.")
    model = document.get("model")
    if model is not None and not isinstance(model, str):
        raise BadRequest("model must be a string.", param="model")
    images = find_images(document.get("messages"), max_images=max_images)
    return Ask(path, body, document, model, document.get("stream") is True, images, request_id, terms)


def find_images(messages: object, *, max_images: int) -> tuple[ImageRef, ...]:
    """Every image part of the messages, in order.

    What is no list of messages holds no images: saying what is wrong with it is the worker's business.

    Raises:
        BadRequest: an image part cannot be understood.
        SourceRefused: an audio or video part names a URL that the worker would fetch.
        TooLarge: there are more than ``max_images``.
    """
    found: list[ImageRef] = []
    for m, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for p, part in enumerate(content if isinstance(content, list) else ()):
            if not isinstance(part, dict):
                continue
            if "image_url" in part:
                found.append(_image_ref(part["image_url"], m, p))
                if len(found) > max_images:
                    raise TooLarge(f"A request may hold at most {max_images} images.", param="messages")
            _refuse_worker_fetch(part, m, p)
    return tuple(found)


def _image_ref(image: object, message: int, part: int) -> ImageRef:
    param = f"messages[{message}].content[{part}].image_url"
    given = image if isinstance(image, dict) else {"url": image}
    place = given.get("url")
    if "item" in given and place is None:
        place = _parse(Item, given["item"], f"{param}.item")
    elif "item" in given or not isinstance(place, str) or not place:
        raise BadRequest(f"{param}.url must be a data:, https: or s3:// URL.", param=param)
    return ImageRef(place, parse_render(given.get("sar"), f"{param}.sar"), message, part)


def parse_render(sar: object, param: str) -> Render | None:
    """The ``sar`` object beside a URL, or None where the caller left it out.

    Raises:
        BadRequest: naming the field that is wrong.
    """
    return None if sar is None else _parse(Render, sar, param)


def _parse(kind: type[Noun], given: object, param: str) -> Noun:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join([param, *(str(step) for step in first["loc"])])
        raise BadRequest(f"{field}: {first['msg'].removeprefix('Value error, ')}.", param=field) from None


def sar_from_text(fields: Mapping[str, str]) -> dict[str, Any]:
    """A ``sar`` object from fields written as text, as in a query string: lists are separated by commas.

    A polygon is JSON. What is no number stays text, for the model of ``sar`` to judge.
    """
    return {name: _field(name, text) for name, text in fields.items()}


def _field(name: str, text: str) -> Any:
    if name in {"window", "bbox", "bands", "looks", "stretch"}:
        return [_number(part) for part in text.split(",")]
    if name == "polygon":
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    return text if name in {"asset", "bbox_crs", "swath"} else _number(text)


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _refuse_worker_fetch(part: Mapping[str, Any], message: int, index: int) -> None:
    """Workers sit inside the network: a URL that they would open themselves is a way in for a caller."""
    for key in _WORKER_FETCHED:
        media = part.get(key)
        url = media.get("url") if isinstance(media, dict) else media
        if isinstance(url, str) and not url.startswith("data:"):
            param = f"messages[{message}].content[{index}].{key}"
            raise SourceRefused(f"{param} must be a data: URL: workers fetch nothing themselves.", param=param)


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as a worker gets it, and the content id under which the worker may remember it."""

    id: str
    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A picture in a body for a worker: the name that the worker remembers it by, and its bytes where it needs them."""

    id: str
    data: bytes | None
    media_type: str = "image/png"

    @property
    def url(self) -> str | None:
        """A data URL, or None: the worker has the picture."""
        if self.data is None:
            return None
        return f"data:{self.media_type};base64,{pybase64.b64encode_as_string(self.data)}"


def compose(ask: Ask, exhibits: Sequence[Exhibit], *, image_first: bool) -> bytes:
    """The body for the worker: each image of ``ask`` replaced by its picture, everything else as it came.

    The part's ``uuid`` becomes the picture's id, also where the caller sent one: workers trust it as their cache key.
    With ``image_first``, the only image of a message goes before the message's text: what the worker has computed
    for it can then be used again for the next question.
    """
    messages = list(ask.document["messages"])
    for ref, exhibit in zip(ask.images, exhibits, strict=True):
        message = messages[ref.message]
        content = list(message["content"])
        content[ref.part] = _shown(content[ref.part], exhibit)
        messages[ref.message] = {**message, "content": content}
    if image_first:
        for ref in ask.images:
            if sum(other.message == ref.message for other in ask.images) == 1:
                content = messages[ref.message]["content"]
                content.insert(0, content.pop(ref.part))
    return orjson.dumps({**ask.document, "messages": messages})


def _shown(part: Mapping[str, Any], exhibit: Exhibit) -> dict[str, Any]:
    image = part["image_url"]
    url = exhibit.url
    shown = (
        {k: v for k, v in image.items() if k not in _OURS} | {"url": url} if isinstance(image, dict) and url else url
    )
    return {**part, "image_url": shown, "uuid": exhibit.id}
