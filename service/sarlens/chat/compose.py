"""Build the body for a worker: the caller's chat with rendered images in place of image requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pybase64

from sarlens.chat.lax_values import requests_usage
from sarlens.chat.parse import ChatRequest
from sarlens.json_input import dump_json

_KEPT_FIELDS = frozenset({"detail"})
"""Fields of an ``image_url`` object that workers get from the caller."""
_USAGE_REQUEST = {"include_usage": True}
_USAGE_FIELD = b',"stream_options":' + orjson.dumps(_USAGE_REQUEST)


@dataclass(frozen=True, slots=True)
class ImagePayload:
    """An image in a body for a worker."""

    id: str
    """Image id, under which the worker caches the image."""
    content: bytes | None
    """Bytes of the rendered image, or None if the worker has it in its cache."""
    media_type: str = "image/png"
    """Media type of the bytes."""

    @property
    def url(self) -> str | None:
        """A data URL, or None if the worker has the image in its cache."""
        if self.content is None:
            return None
        return f"data:{self.media_type};base64,{pybase64.b64encode_as_string(self.content)}"


def may_add_usage(chat_request: ChatRequest) -> bool:
    """Return whether a request is for a stream without its usage, so that the gateway requests the usage itself."""
    if not chat_request.stream:
        return False
    return requests_usage(chat_request.document) is False


def build_worker_body(
    chat_request: ChatRequest, payloads: Sequence[ImagePayload], *, image_first: bool, adds_usage: bool = False
) -> bytes:
    """Build the body for a worker. Each image is replaced by its payload; everything else is copied unchanged.

    The ``uuid`` of each image part is the image id, which workers trust as their cache key. The caller's bytes stay as
    they are if the request for the usage is the only change.

    Args:
        chat_request: the caller's request.
        payloads: one payload for each image of the request, in the same order.
        image_first: move the only image of a message before its text, so that the worker's prefix cache holds the
            image for the next question.
        adds_usage: request the usage of a stream.

    Raises:
        BadRequest: the chat is nested too deeply.
    """
    document, body = chat_request.document, chat_request.body
    if adds_usage and body is not None and "stream_options" not in document:
        end = body.rindex(b"}")
        return b"".join((memoryview(body)[:end], _USAGE_FIELD, body[end:]))
    added: dict[str, Any] = {"stream_options": _USAGE_REQUEST} if adds_usage else {}
    if payloads:
        added["messages"] = _with_payloads(chat_request, payloads, image_first=image_first)
    return dump_json({**document, **added})


def build_batch_body(
    chat_requests: Sequence[ChatRequest], payloads: Sequence[ImagePayload], *, image_first: bool
) -> bytes:
    """Build the body for a worker's batch route, from chats about the same images that differ in their messages only.

    The first chat has the bytes of the images. The worker reads the chats in their order, so the others name the images
    by id. The worker states the tokens of each answer, since it states the usage of the whole batch only.
    """
    named = [replace(payload, content=None) for payload in payloads]
    chats = [
        _with_payloads(chat_request, named if index else payloads, image_first=image_first)
        for index, chat_request in enumerate(chat_requests)
    ]
    return dump_json({**chat_requests[0].document, "messages": chats, "return_token_ids": True})


def _with_payloads(chat_request: ChatRequest, payloads: Sequence[ImagePayload], *, image_first: bool) -> list[Any]:
    """Return the messages with each image replaced by its payload."""
    messages = list(chat_request.document["messages"])
    for ref, payload in zip(chat_request.images, payloads, strict=True):
        message = messages[ref.message]
        content = list(message["content"])
        content[ref.part] = _image_part(content[ref.part], payload)
        messages[ref.message] = {**message, "content": content}
    if image_first:
        for ref in chat_request.images:
            if sum(other.message == ref.message for other in chat_request.images) == 1:
                content = messages[ref.message]["content"]
                content.insert(0, content.pop(ref.part))
    return messages


def _image_part(part: Mapping[str, Any], payload: ImagePayload) -> dict[str, Any]:
    image, url = part["image_url"], payload.url
    if isinstance(image, dict) and url:
        kept = {name: value for name, value in image.items() if name in _KEPT_FIELDS}
        return {**part, "type": "image_url", "image_url": {**kept, "url": url}, "uuid": payload.id}
    return {**part, "type": "image_url", "image_url": url, "uuid": payload.id}
