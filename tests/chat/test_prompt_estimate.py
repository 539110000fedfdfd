"""Estimates of the tokens of a prompt."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from sarlens.chat.parse import parse_chat_request
from sarlens.chat.prompt_estimate import estimate_prompt_tokens
from support.pictures import DATA_URL

IMAGE = {"type": "image_url", "image_url": {"url": DATA_URL}}


def estimate(path: str = "/v1/chat/completions", **fields: Any) -> int:
    """The estimate of a body, with images of 448 x 448 pixels."""
    return estimate_prompt_tokens(parse_chat_request(path, orjson.dumps(fields), "id", max_images=4), 448)


def chat(content: object) -> dict[str, Any]:
    """A body with one message."""
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        (chat("a" * 300), 100),
        (chat("\u8239" * 100), 100),
        (chat([{"type": "text", "text": "a" * 30}]), 10),
        (chat([IMAGE]), 256),
        (chat([IMAGE, {"type": "text", "text": "abc"}, IMAGE]), 513),
        (chat([{"type": "image_url", "image_url": {"url": DATA_URL, "sar": {"size": 56}}}]), 4),
        ({"prompt": ["abc", "abcd"]}, 3),
        ({"prompt": [1, 2, 3]}, 3),
        (chat("abc") | {"tools": [{"type": "function", "function": {"name": "a" * 6}}]}, 3),
        (chat("abc") | {"stop": "a" * 300, "max_tokens": 9}, 1),
        ({}, 0),
    ],
)
def test_texts_and_images_count(fields: dict[str, Any], tokens: int) -> None:
    """A token is 3 bytes of text or 28 x 28 pixels; data URLs, roles and options are no text."""
    assert estimate(**fields) == tokens
