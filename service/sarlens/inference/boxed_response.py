"""Chats about boxes of the image: their texts for the model, and the boxes in its response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import orjson

from sarlens.chat.parse import ChatRequest
from sarlens.errors import BadRequest
from sarlens.inference.picture_boxes import PictureBoxes
from sarlens.inference.worker_response import CompleteResponse, JudgedResponse
from sarlens.inference.worker_stream import CompletionChunk, Deliver, PassOn, StreamedResponse
from sarlens.prompts.classify import BOX

MAX_CHAT_BOXES = 1000
"""Number of boxes that the messages of one chat can have."""
_ROLES = frozenset({"user", "assistant"})


def asks_for_boxes(chat_request: ChatRequest) -> bool:
    """Return whether the boxes of a chat are those of its image, in pixels of the full resolution.

    Raises:
        BadRequest: the chat has several images, so that its boxes can be those of any.
    """
    if not any(ref.render is not None and ref.render.boxes == "image" for ref in chat_request.images):
        return False
    if len(chat_request.images) > 1:
        raise BadRequest('"boxes": "image" requires a chat with one image.', param="messages")
    return True


def with_picture_boxes(chat_request: ChatRequest, boxes: PictureBoxes) -> ChatRequest:
    """Return a chat whose messages have the boxes that the model sees.

    Raises:
        BadRequest: there are more than ``MAX_CHAT_BOXES``, or one is outside the window that the model sees.
    """
    left = MAX_CHAT_BOXES

    def convert(text: str) -> str:
        nonlocal left
        left -= sum(1 for _ in islice(BOX.finditer(text), left + 1))
        if left < 0:
            raise BadRequest(f"A chat can have at most {MAX_CHAT_BOXES} boxes.", param="messages")
        return boxes.to_picture_text(text, "messages")

    def convert_part(part: Any) -> Any:
        text = part.get("text") if isinstance(part, dict) else None
        return {**part, "text": convert(text)} if isinstance(text, str) else part

    def convert_message(message: Any) -> Any:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            return message
        content = message.get("content")
        if isinstance(content, str):
            return {**message, "content": convert(content)}
        return {**message, "content": list(map(convert_part, content))} if isinstance(content, list) else message

    return chat_request.with_fields(messages=list(map(convert_message, chat_request.document["messages"])))


def with_image_boxes(response: JudgedResponse, boxes: PictureBoxes) -> JudgedResponse:
    """Return a response whose text has the boxes of the image."""
    match response:
        case StreamedResponse():
            return _BoxedStream(response, boxes)
        case CompleteResponse(_, document):
            converted = _with_converted_texts(document, boxes)
            return CompleteResponse(orjson.dumps(converted), converted)
    return response


def _with_converted_texts(document: dict[str, Any], boxes: PictureBoxes) -> dict[str, Any]:
    def convert(choice: Any) -> Any:
        message = choice.get("message") if isinstance(choice, dict) else None
        text = message.get("content") if isinstance(message, dict) else None
        if message is None or not isinstance(text, str):
            return choice
        return {**choice, "message": {**message, "content": boxes.to_image_text(text)}}

    choices = document.get("choices")
    return {**document, "choices": list(map(convert, choices))} if isinstance(choices, list) else document


class _BoxedStream(StreamedResponse):
    """A stream whose text has the boxes of the image; the beginning of a box waits for its end."""

    __slots__ = ("_boxes", "_held", "_inner", "_last")

    def __init__(self, inner: StreamedResponse, boxes: PictureBoxes) -> None:
        self.adds_usage = inner.adds_usage
        self._inner = inner
        self._boxes = boxes
        self._held: dict[int, str] = {}
        self._last: dict[str, Any] = {}

    async def forward(self, deliver: Deliver, pass_on: PassOn | None = None) -> bool:
        """Pass the events on as they arrive, as ``StreamedResponse.forward`` does; all are parsed."""
        return await self._inner.forward(lambda chunks: deliver(self._convert(chunks)))

    def _convert(self, chunks: Sequence[CompletionChunk]) -> list[CompletionChunk]:
        converted = []
        for chunk in chunks:
            if chunk.is_end:
                converted += [self._rest(index, text) for index, text in self._held.items() if text]
            document = chunk.document
            choices = document.get("choices") if document is not None else None
            if document is None or not isinstance(choices, list) or not choices:
                converted.append(chunk)
                continue
            self._last = document = {**document, "choices": list(map(self._convert_choice, choices))}
            converted.append(chunk._replace(raw=_event(document), document=document))
        return converted

    def _convert_choice(self, choice: Any) -> Any:
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, Mapping):
            return choice
        index, received = choice.get("index", 0), delta.get("content")
        text = self._held.pop(index, "") + (received if isinstance(received, str) else "")
        if choice.get("finish_reason") is None:
            text, self._held[index] = self._boxes.box_format.split_open_box(text)
        return (
            {**choice, "delta": {**delta, "content": self._boxes.to_image_text(text)}} if text or received else choice
        )

    def _rest(self, index: int, text: str) -> CompletionChunk:
        """Return a chunk of what a stream holds that ends without a reason."""
        document = {**self._last, "choices": [{"index": index, "delta": {"content": text}, "finish_reason": None}]}
        return CompletionChunk(_event(document), document)


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"
