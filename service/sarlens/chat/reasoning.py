"""Reasoning of a model, kept apart from its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_START, _END = "<think>", "</think>"


def reasoning_text(message: Mapping[str, Any]) -> str:
    """Return the reasoning of a message or a delta; vLLM has had two names for it."""
    return message.get("reasoning") or message.get("reasoning_content") or ""


def split_reasoning(text: str) -> tuple[str, str]:
    """Return the reasoning at the start of a text and the answer after it.

    A worker without a reasoning parser sends both in one text, with the reasoning in a block ``<think>…</think>``.
    Chat templates that end in ``<think>`` make a text without that tag. A block without an end is cut off, so that the
    text has no answer.
    """
    before, end, after = text.partition(_END)
    is_block = before.lstrip().startswith(_START)
    if not end and not is_block:
        return "", text
    return before.strip().removeprefix(_START).strip(), after.lstrip()
