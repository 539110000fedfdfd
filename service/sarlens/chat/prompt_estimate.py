"""An estimate of the tokens of a prompt, for a response that ends before the worker states them."""

from __future__ import annotations

import math
from typing import Any

from sarlens.chat.parse import ChatRequest

BYTES_PER_TOKEN = 3
"""UTF-8 bytes of a text token. English has about four, and scripts of three bytes a character have three."""
PIXELS_PER_TOKEN = 28 * 28
"""Pixels of an image token, as vision models with patches of 14 pixels merge them."""
_PROMPT_FIELDS = ("messages", "prompt", "tools")
_NOT_TEXT = frozenset({"type", "role", "image_url", "video_url", "audio_url", "input_audio"})


def estimate_prompt_tokens(chat_request: ChatRequest, image_size: int) -> int:
    """Return the number of tokens of the texts and the images of a request, except for audio and video.

    Args:
        chat_request: the request.
        image_size: longest side in pixels of an image that has no size of its own.
    """
    pixels = sum(((ref.render and ref.render.size) or image_size) ** 2 for ref in chat_request.images)
    text_bytes = _text_bytes([chat_request.document.get(name) for name in _PROMPT_FIELDS])
    return math.ceil(text_bytes / BYTES_PER_TOKEN) + math.ceil(pixels / PIXELS_PER_TOKEN)


def _text_bytes(value: Any) -> int:
    """Return the size of all texts in UTF-8; a number is the id of a token."""
    size, stack = 0, [value]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            size += len(value.encode(errors="replace"))
        elif isinstance(value, dict):
            stack.extend(inner for name, inner in value.items() if name not in _NOT_TEXT)
        elif isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, int | float):
            size += BYTES_PER_TOKEN
    return size
