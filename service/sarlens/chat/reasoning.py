"""Reasoning of a model, kept apart from its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAMES = r"(?:think|thinking|thought|reasoning)"
_START = re.compile(rf"\s*[<\[◁]{_NAMES}[>\]▷]", re.IGNORECASE)
_END = re.compile(rf"[<\[◁]/{_NAMES}[>\]▷]", re.IGNORECASE)


def reasoning_text(message: Mapping[str, Any]) -> str:
    """Return the reasoning of a message or a delta; vLLM has had two names for it."""
    return message.get("reasoning") or message.get("reasoning_content") or ""


def split_reasoning(text: str) -> tuple[str, str]:
    """Return the reasoning at the start of a text and the answer after it.

    A worker without a reasoning parser sends both in one text, with the reasoning in blocks such as
    ``<think>…</think>``. Chat templates that end in ``<think>`` make a text without that tag. A block without an end is
    cut off, so that the text has no answer.
    """
    blocks, answer, _ = _split(text)
    return "\n".join(blocks), answer


def is_cut_off_reasoning(text: str) -> bool:
    """Whether a text ends within its reasoning."""
    return _split(text)[2]


def _split(text: str) -> tuple[list[str], str, bool]:
    """Return the blocks of reasoning, the answer after them, and whether the last block has no end."""
    blocks: list[str] = []
    rest = text
    while True:
        start, end = _START.match(rest), _END.search(rest)
        if start is None and (blocks or end is None):
            return blocks, rest, False
        begin = start.end() if start else 0
        if end is None:
            return [*blocks, rest[begin:].strip()], "", True
        blocks.append(rest[begin : end.start()].strip())
        rest = rest[end.end() :].lstrip()
