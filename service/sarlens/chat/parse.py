"""Parse a chat body: its model, its images and the render parameters of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sarlens.chat.content_parts import IMAGE_TYPES, check_content, check_part, without_unknown_fields
from sarlens.chat.lax_values import read_boolean
from sarlens.chat.paths import CHAT_PATH, COMPLETION_PATHS
from sarlens.chat.query import parse_model, parse_render, parse_urls
from sarlens.chat.request_count import count_requests
from sarlens.chat.restricted_fields import restricted_fields
from sarlens.errors import BadRequest, PayloadTooLarge
from sarlens.json_input import Document, load_json
from sarlens.stac import Item
from sarlens.types.caller import ANONYMOUS, CallerPolicy
from sarlens.types.image_request import ImageRef, urls_of

IMAGE_PART = {"type": "image_url", "image_url": {}}
"""Placeholder in a message for the image of an ``ImageRef``."""


class ChatRequest(NamedTuple):
    """A parsed completion or chat request, or another request that workers answer, such as one for tokens."""

    path: str
    """Path of the request, such as ``/v1/chat/completions``."""
    body: Document | None
    """The caller's bytes, which the worker gets; None if the gateway serializes the ``document`` for the worker."""
    size: int
    """Size of the caller's body without its images in bytes, which bounds the time to serialize the ``document``."""
    document: Mapping[str, Any]
    """Parsed body, without the fields that the caller may not send."""
    model: str | None
    """Requested model; None for the only one."""
    stream: bool
    """Whether the response is a stream of events."""
    images: tuple[ImageRef, ...]
    """Image parts, in the order of the messages."""
    request_id: str
    """Id of the request in logs and headers."""
    policy: CallerPolicy = ANONYMOUS
    """Terms of the caller's service."""
    ignored_fields: tuple[str, ...] = ()
    """Fields of the caller's body that the gateway removed, because only an operator may set them."""

    @property
    def generates(self) -> bool:
        """Whether a worker generates text for the request, so that its prompt costs tokens from its start on."""
        return self.path in COMPLETION_PATHS

    @property
    def uses_image_cache(self) -> bool:
        """Whether workers keep the images of the request, so that later requests can name them by id."""
        return self.path == CHAT_PATH

    @property
    def requests(self) -> int:
        """Number of requests that quotas and shares count for it."""
        return count_requests(self.document, len(self.images))

    def with_fields(self, **fields: object) -> ChatRequest:
        """Return the request with these fields in the worker's body."""
        return self._replace(document={**self.document, **fields}, body=None)


def parse_chat_request(
    path: str,
    body: Document,
    request_id: str,
    *,
    max_images: int,
    policy: CallerPolicy = ANONYMOUS,
    allowed_fields: Collection[str] = (),
) -> ChatRequest:
    """Parse a completion or chat body, and remove the fields that the caller may not send.

    ``allowed_fields`` are the restricted fields that the caller may send.

    Raises:
        BadRequest: the body isn't a JSON object, a field that Sarlens reads has the wrong type, or a part has a type
            that callers may not send.
        SourceNotAllowed: a part has a URL that the worker would fetch.
        PayloadTooLarge: there are more than ``max_images`` images, or ``load_json`` rejects the size.
    """
    document = load_json(body)
    if not isinstance(document, dict):
        raise BadRequest("The body must be a JSON object.")
    return chat_request_of(
        path,
        document,
        request_id,
        body=body,
        size=len(body),
        max_images=max_images,
        policy=policy,
        allowed_fields=allowed_fields,
    )


def chat_request_of(
    path: str,
    document: dict[str, Any],
    request_id: str,
    *,
    size: int,
    max_images: int,
    body: Document | None = None,
    policy: CallerPolicy = ANONYMOUS,
    allowed_fields: Collection[str] = (),
) -> ChatRequest:
    """Check a parsed body of ``size`` bytes as ``parse_chat_request`` does, and raise the same errors.

    ``body`` has the bytes of the document, if the caller sent it in this form.
    """
    model = document.get("model")
    if model is not None and not isinstance(model, str):
        raise BadRequest("model must be a string.", param="model")
    _check_prompt(document.get("prompt"))
    messages, images = clean_messages(document.get("messages"), max_images=max_images)
    ignored = restricted_fields(document, allowed_fields)
    kept: Mapping[str, Any] = document
    unchanged = None if images else body
    if ignored or messages is not document.get("messages"):
        removed = frozenset(ignored)
        kept = {name: messages if name == "messages" else document[name] for name in document if name not in removed}
        unchanged = None
    stream = path in COMPLETION_PATHS and read_boolean(document.get("stream")) is True
    text_size = size - sum([len(url) for ref in images for url in urls_of(ref.location)])
    return ChatRequest(path, unchanged, text_size, kept, model, stream, images, request_id, policy, ignored)


def clean_messages(messages: Any, *, max_images: int) -> tuple[Any, tuple[ImageRef, ...]]:
    """Return the messages without the fields that callers may not send, and their images; raises as ``find_images``."""
    images = find_images(messages, max_images=max_images)
    return without_unknown_fields(messages) if isinstance(messages, list) else messages, images


def _check_prompt(prompt: object) -> None:
    """Raise BadRequest if a prompt, or one of several, is an object, such as a tensor in place of the text."""
    if isinstance(prompt, dict) or (isinstance(prompt, list) and any(isinstance(item, dict) for item in prompt)):
        raise BadRequest("prompt must be a text, a list of token ids, or a list of these.", param="prompt")


def find_images(messages: object, *, max_images: int) -> tuple[ImageRef, ...]:
    """All image parts of the messages, in order.

    A value that isn't a list of messages has no images: the worker reports the error.

    Raises:
        BadRequest: an image part is invalid, content isn't text or parts, or callers may not send parts of a type.
        SourceNotAllowed: an audio or video part has a URL that the worker would fetch.
        PayloadTooLarge: there are more than ``max_images``.
    """
    images: list[ImageRef] = []
    for message_index, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for part_index, part in enumerate(check_content(content, message_index)):
            if not isinstance(part, dict):
                continue
            if check_part(part, message_index, part_index) in IMAGE_TYPES:
                images.append(_image_ref(part.get("image_url"), message_index, part_index))
                if len(images) > max_images:
                    raise PayloadTooLarge(f"A request can have at most {max_images} images.", param="messages")
    return tuple(images)


def _image_ref(image: object, message: int, part: int) -> ImageRef:
    param = f"messages[{message}].content[{part}].image_url"
    fields = image if isinstance(image, dict) else {"url": image}
    location = fields.get("url")
    if "item" in fields and location is None:
        location = parse_model(Item, fields["item"], f"{param}.item")
    elif isinstance(location, list) and "item" not in fields:
        location = parse_urls(location, f"{param}.url")
    elif "item" in fields or not isinstance(location, str) or not location:
        raise BadRequest(f"{param}.url must be a data:, https: or s3:// URL.", param=param)
    return ImageRef(location, parse_render(fields.get("sar"), f"{param}.sar"), message, part)
