"""The number of requests that a chat or completion body counts for, in quotas and in shares of the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sarlens.chat.lax_values import read_integer

MAX_CHOICES = 16_384
"""Largest ``n`` that counts in full; vLLM rejects larger ones (``VLLM_MAX_N_SEQUENCES``)."""
_COUNTED = frozenset({"n", "best_of", "prompt", "prompt_embeds"})
"""Fields that change the number."""


def count_requests(document: Mapping[str, Any], images: int) -> int:
    """Return the number of answers that a body requests, or of its images if there are more.

    The answers are the prompts times ``n`` or ``best_of``. A value that the worker will reject counts as 1.
    """
    if _COUNTED.isdisjoint(document):
        return max(images, 1)
    choices = max(_count_choices(document.get("n")), _count_choices(document.get("best_of")))
    prompts = _count_prompts(document.get("prompt")) + _count_prompts(document.get("prompt_embeds"))
    return max(max(prompts, 1) * choices, images)


def _count_choices(value: object) -> int:
    """Return an integer of the body, read as vLLM reads it: ``"5"`` and ``5.0`` are 5."""
    number = read_integer(value)
    return 1 if number is None else min(max(number, 1), MAX_CHOICES)


def _count_prompts(value: object) -> int:
    """Return the number of prompts; a list of numbers is the tokens of a single prompt."""
    if value is None:
        return 0
    is_batch = isinstance(value, list) and bool(value) and isinstance(value[0], (str, list))
    return len(value) if is_batch and isinstance(value, list) else 1
