"""Chats about boxes of the image: prompts, responses and streams."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.chat.parse import ChatRequest, parse_chat_request
from sarlens.errors import BadRequest
from sarlens.imagery.core.picture_frame import PictureFrame
from sarlens.inference.boxed_response import MAX_CHAT_BOXES, asks_for_boxes, with_image_boxes, with_picture_boxes
from sarlens.inference.picture_boxes import PictureBoxes
from sarlens.inference.worker_response import CompleteResponse
from sarlens.inference.worker_stream import CompletionChunk, Deliver, StreamedResponse
from sarlens.prompts.boxes import BoxConvention, BoxFormat
from sarlens.types.window import Window

HALF = PictureBoxes(PictureFrame(Window(0, 0, 512, 512), 256, 256), BoxFormat())
SAR = {"url": "s3://scenes/a.tif", "sar": {"boxes": "image"}}


def chat(messages: list[dict[str, Any]], images: Sequence[dict[str, Any]] = (SAR,)) -> ChatRequest:
    """Return a chat whose first message has the images."""
    parts = [{"type": "image_url", "image_url": image} for image in images]
    body = {"messages": [{"role": "user", "content": parts}, *messages]}
    return parse_chat_request("/v1/chat/completions", json.dumps(body).encode(), "id", max_images=4)


def test_only_a_chat_that_asks_has_boxes_of_the_image() -> None:
    """The field of the only image decides; with a second image, a box can be that of either."""
    assert asks_for_boxes(chat([]))
    plain = {"url": "s3://scenes/a.tif"}
    assert not asks_for_boxes(chat([], [plain, {**plain, "sar": {"boxes": "picture"}}]))
    with pytest.raises(BadRequest, match="requires a chat with one image"):
        asks_for_boxes(chat([], [SAR, plain]))


def test_the_messages_have_the_boxes_of_the_picture() -> None:
    """Texts and parts of the user and of earlier answers are converted, the system's stay."""
    converted = with_picture_boxes(
        chat(
            [
                {"role": "system", "content": "[10, 20, 30, 40]"},
                {"role": "user", "content": "[10, 20, 30, 40]"},
                {"role": "assistant", "content": "[512, 0, 0, 0] is nothing"[:0] + "ship"},
                {"role": "user", "content": [{"type": "text", "text": "[20.0, 40.0, 60.0, 80.0]"}]},
            ]
        ),
        HALF,
    )
    texts = [message["content"] for message in converted.document["messages"][1:]]
    assert texts == [
        "[10, 20, 30, 40]",
        "[5, 10, 15, 20]",
        "ship",
        [{"type": "text", "text": "[10.0, 20.0, 30.0, 40.0]"}],
    ]


def test_a_chat_has_a_maximum_of_boxes() -> None:
    """The limit is on all messages together."""
    half = "[1, 1, 9, 9] " * (MAX_CHAT_BOXES // 2)
    with_picture_boxes(chat([{"role": "user", "content": half}] * 2), HALF)
    with pytest.raises(BadRequest, match="at most 1000 boxes"):
        with_picture_boxes(
            chat([{"role": "user", "content": half}] * 2 + [{"role": "user", "content": "[1,1,1,1]"}]), HALF
        )


def test_a_response_has_the_boxes_of_the_image() -> None:
    """Every choice is converted, and the rest of the response stays."""
    choices = [{"index": index, "message": {"content": text}} for index, text in enumerate(["[5, 10, 15, 20]", None])]
    document = {"id": "x", "choices": choices, "usage": {"prompt_tokens": 3}}
    response = with_image_boxes(CompleteResponse(b"", document), HALF)
    assert isinstance(response, CompleteResponse)
    assert json.loads(response.body) == response.document
    assert response.document["choices"][0]["message"] == {"content": "[10, 20, 30, 40]"}
    assert response.document["choices"][1] == choices[1]
    assert response.document["usage"] == document["usage"]


class Stream(StreamedResponse):
    """A stream of one chunk for each part of a text."""

    def __init__(self, parts: Sequence[str], *, with_reason: bool) -> None:
        self.adds_usage = False
        self._parts = parts
        self._with_reason = with_reason

    async def forward(self, deliver: Deliver, pass_on: Any = None) -> bool:
        """Deliver all chunks."""
        for part in self._parts:
            deliver([self._chunk({"content": part}, None)])
        if self._with_reason:
            deliver([self._chunk({}, "stop")])
        deliver([CompletionChunk(b"data: [DONE]\n\n", None, is_end=True)])
        return False

    @staticmethod
    def _chunk(delta: dict[str, Any], reason: str | None) -> CompletionChunk:
        document = {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        return CompletionChunk(b"data: " + json.dumps(document).encode() + b"\n\n", document, tokens=1)


async def text_of(parts: Sequence[str], boxes: PictureBoxes, *, with_reason: bool = True) -> tuple[str, int]:
    """Return the text of a converted stream, from its bytes, and its tokens."""
    delivered: list[CompletionChunk] = []
    stream = with_image_boxes(Stream(parts, with_reason=with_reason), boxes)

    def deliver(chunks: list[CompletionChunk]) -> bool:
        delivered.extend(chunks)
        return True

    await cast("StreamedResponse", stream).forward(deliver)
    assert delivered[-1].raw == b"data: [DONE]\n\n"
    documents = [json.loads(chunk.raw.removeprefix(b"data: ")) for chunk in delivered[:-1]]
    assert documents == [chunk.document for chunk in delivered[:-1]]
    texts = [document["choices"][0]["delta"].get("content") or "" for document in documents]
    return "".join(texts), sum(chunk.tokens for chunk in delivered)


@given(
    st.sampled_from(["xywh", "internvl", "sarchat"]),
    st.lists(
        st.sampled_from(["a ship at ", "{} ", "[", "<", "{{", "[1, 2", "<box>", "\n", "]", " and {}"]), max_size=6
    ),
    st.data(),
)
async def test_a_stream_has_the_text_of_a_response(convention: BoxConvention, pieces: list[str], data: Any) -> None:
    """However the worker cuts its text, the stream's text is that of a response in one piece; no token is lost."""
    boxes = HALF._replace(box_format=BoxFormat(convention))
    box = {"xywh": "[5, 10, 15, 20]", "internvl": "<box>[[10, 20, 30, 40]]</box>", "sarchat": "{<1><2><3><4>}"}
    text = "".join(piece.format(box[convention]) for piece in pieces)
    parts, rest = [], text
    while rest:
        length = data.draw(st.integers(1, len(rest)))
        parts.append(rest[:length])
        rest = rest[length:]
    for with_reason in (True, False):
        found, tokens = await text_of(parts, boxes, with_reason=with_reason)
        assert found == boxes.to_image_text(text)
        assert tokens == len(parts) + with_reason


async def test_a_stream_holds_only_the_beginning_of_a_box() -> None:
    """Text before a bracket is delivered at once, and text that can't be a box anymore too."""
    found, _ = await text_of(["The ship", " is [in", " view], see [5, 10, 15", ", 20]."], HALF)
    assert found == "The ship is [in view], see [10, 20, 30, 40]."
    boxes = BoxFormat()
    assert boxes.split_open_box("The ship [5, 10") == ("The ship ", "[5, 10")
    assert boxes.split_open_box("The ship [at") == ("The ship [at", "")
    assert boxes.split_open_box("[" + "1, " * 40) == ("[" + "1, " * 40, "")
