"""Chat completions: the text of an answer, how it ended, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sarlens.chat.reasoning import reasoning_text


@dataclass(frozen=True, slots=True)
class Completion:
    """The first choice of a chat completion. ``text`` is empty if the model sent none."""

    text: str
    finish_reason: str | None = None
    """OpenAI's ``finish_reason``, if the endpoint sent one: ``length`` is a text that is cut off."""
    refusal: str | None = None
    """Text with which the model refuses to answer, if it does."""
    reasoning: str | None = None
    """Reasoning that the endpoint sent apart from the text."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprob: float | None = None
    """Natural logarithm of the probability of all tokens together, if the endpoint sent ``logprobs``."""


def parse_completion(raw: bytes) -> Completion:
    """Parse the body of a response.

    Raises:
        ValueError: the body is not a chat completion with a text, a refusal, or a reason for its end.
    """
    try:
        document = _load_json(raw)
        choice = document["choices"][0]
        message, usage = choice["message"], document.get("usage") or {}
        return Completion(
            _answer_text(choice),
            _text_or_none(choice.get("finish_reason")),
            _text_or_none(message.get("refusal")),
            _text_or_none(reasoning_text(message)),
            _count_or_none(usage.get("prompt_tokens")),
            _count_or_none(usage.get("completion_tokens")),
            _logprob(choice),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError("the response is not a chat completion") from error


def _answer_text(choice: Mapping[str, Any]) -> str:
    """Return the content of a choice. Only one that refuses or that has ended can have none."""
    message = choice["message"]
    content = message.get("content")
    if content is None and (_text_or_none(message.get("refusal")) or _text_or_none(choice.get("finish_reason"))):
        return ""
    if not isinstance(content, str):
        raise TypeError("the content is not a text")
    return content


def _load_json(raw: bytes) -> Any:
    """Parse JSON, also with lone surrogates, which tokenizers make of a character that is cut off."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        text = json.dumps(json.loads(raw), ensure_ascii=False)
        return json.loads(text.encode("utf-8", "replace"))


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count_or_none(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _logprob(choice: Mapping[str, Any]) -> float | None:
    try:
        tokens = choice["logprobs"]["content"]
        return round(sum(min(0.0, float(token["logprob"])) for token in tokens), 6) if tokens else None
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
