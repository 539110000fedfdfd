"""Parse a request that workers answer in one piece, such as one for embeddings, for a route that isn't a chat's."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sarlens.chat.lax_values import read_boolean
from sarlens.chat.parse import ChatRequest, chat_request_of
from sarlens.chat.paths import EMBEDDINGS_PATH
from sarlens.chat.restricted_fields import is_restricted
from sarlens.errors import BadRequest, SourceNotAllowed
from sarlens.json_input import Document, load_json
from sarlens.types.caller import ANONYMOUS, CallerPolicy

_DATA_FIELDS = frozenset({"documents"})
"""Restricted fields of chats that are the data of other requests, such as those to rank documents."""
_MEDIA = re.compile(r"(?:\w+_)?(?:image|video|audio|file|media)s?(?:_url|_urls|_data|_id)?|(?:\w+_)?urls?", re.ASCII)
"""Names of fields that may have an address, which a worker would fetch."""


def parse_forwarded_request(
    path: str,
    body: Document,
    request_id: str,
    *,
    max_images: int,
    policy: CallerPolicy = ANONYMOUS,
    allowed_fields: Collection[str] = (),
) -> ChatRequest:
    """Parse a body. Its images are those of ``messages``, as in chats; embeddings accept messages as ``input`` too.

    Raises:
        BadRequest: the body isn't a JSON object, it requests a stream, or a field has the wrong type.
        SourceNotAllowed: another field has an image, or the address of something that the worker would fetch.
        PayloadTooLarge: there are more than ``max_images`` images, or ``load_json`` rejects the size.
    """
    document = load_json(body)
    if not isinstance(document, dict):
        raise BadRequest("The body must be a JSON object.")
    if read_boolean(document.get("stream")) is True:
        raise BadRequest(f"The gateway forwards no streams of {path}.", param="stream")
    unchanged: Document | None = body
    if path == EMBEDDINGS_PATH and "messages" not in document and _are_messages(document.get("input")):
        document["messages"], unchanged = document.pop("input"), None
    messages = document.get("messages")
    if messages is not None and not _are_messages(messages):
        raise BadRequest("messages must be a list of messages, each with a role.", param="messages")
    _check_other_fields(document)
    return chat_request_of(
        path,
        document,
        request_id,
        size=len(body),
        body=unchanged,
        max_images=max_images,
        policy=policy,
        allowed_fields=_DATA_FIELDS.union(allowed_fields),
    )


def _are_messages(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) and "role" in item for item in value)


def _check_other_fields(document: Mapping[str, Any]) -> None:
    """Check the fields other than ``messages``, at any depth.

    Raises:
        SourceNotAllowed: an object has a field that may have an address, or one that only operators may set.
    """
    others = {name: value for name, value in document.items() if name != "messages"}
    for found in _objects(others):
        for name in found:
            if _MEDIA.fullmatch(name):
                raise SourceNotAllowed(f"{name[:100]} isn't supported: images are parts of messages.", param=name[:100])
            if found is not others and is_restricted(name):
                raise SourceNotAllowed(f"{name[:100]} isn't supported: only operators may set it.", param=name[:100])


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Iterate over the objects of a document, at any depth."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
