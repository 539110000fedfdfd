"""Parse a worker's chat completion: text, usage, probability and errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

from sarlens.chat.reasoning import reasoning_text
from sarlens.errors import WorkerFailed
from sarlens.inference.worker_error import to_gateway_error
from sarlens.inference.worker_response import CompleteResponse, JudgedResponse, RejectedResponse
from sarlens.inference.worker_stream import CompletionChunk, StreamedResponse


@dataclass(frozen=True, slots=True)
class Completion:
    """The parsed chat completion of a worker."""

    text: str
    """Text of the first choice."""
    usage: dict[str, Any] | None
    """OpenAI's usage object, if the worker sent one; for a chat of a batch, its part of that of the batch."""
    probability: float | None
    """Probability of all tokens of the text together, 0 to 1; None without ``logprobs``."""
    finish_reason: str | None = None
    """OpenAI's ``finish_reason`` of the first choice, if the worker sent one."""
    refusal: str | None = None
    """Text with which the model refuses to answer, if it does."""
    reasoning: str | None = None
    """Reasoning that the worker sent apart from the text."""


def parse_completion(response: JudgedResponse) -> Completion:
    """Parse a complete response.

    Raises:
        SarlensError: the worker rejected the request, or its response isn't a chat completion.
    """
    if isinstance(response, RejectedResponse):
        raise to_gateway_error(response.status, response.error)
    if isinstance(response, StreamedResponse):
        raise WorkerFailed("The worker sent a stream, which the request didn't ask for.")
    try:
        choice = response.document["choices"][0]
        return _completion(choice, response.document.get("usage"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise WorkerFailed("The worker's response isn't a valid chat completion.") from None


def parse_batch(response: JudgedResponse, chats: int) -> list[Completion]:
    """Parse the response of a batch route: one choice for each of ``chats`` chats, returned in their order.

    Raises:
        WorkerFailed: the response isn't one to a batch of this size.
    """
    if not isinstance(response, CompleteResponse):
        raise WorkerFailed("The worker's response isn't a completion.")
    try:
        found = response.document["choices"]
        choices = sorted(found if len(found) == chats else (), key=lambda choice: choice["index"])
        indexes = [choice["index"] for choice in choices]
        usages = _divide_usage(response.document.get("usage"), choices)
        completions = [_completion(choice, usage) for choice, usage in zip(choices, usages, strict=True)]
    except (AttributeError, KeyError, TypeError):
        indexes = []
    if indexes != list(range(chats)):
        raise WorkerFailed(f"The worker's response doesn't have one choice for each of {chats} chats.")
    return completions


def _completion(choice: dict[str, Any], usage: dict[str, Any] | None) -> Completion:
    """Return the completion of a choice; raises AttributeError, KeyError or TypeError if it isn't one of a chat."""
    message = choice["message"]
    return Completion(
        str(message["content"] or ""),
        usage,
        _probability(choice),
        _text_or_none(choice.get("finish_reason")),
        _text_or_none(message.get("refusal")),
        _text_or_none(reasoning_text(message)),
    )


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _divide_usage(usage: Any, choices: Sequence[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """Divide the usage of a batch among its choices, so that the parts add up to the whole.

    The prompt tokens are divided evenly. The completion tokens are those of each choice, if the worker lists them.
    """
    if not isinstance(usage, dict) or not choices:
        return [None] * len(choices)
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int) or min(prompt, completion) < 0:
        return [None] * len(choices)
    listed = [len(tokens) if isinstance(tokens := choice.get("token_ids"), list) else 0 for choice in choices]
    completions = listed if sum(listed) == completion else _even_parts(completion, len(choices))
    return [
        {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        for prompt, completion in zip(_even_parts(prompt, len(choices)), completions, strict=True)
    ]


def _even_parts(total: int, parts: int) -> list[int]:
    """Divide a number into parts that differ by at most 1."""
    quotient, remainder = divmod(total, parts)
    return [quotient + (part < remainder) for part in range(parts)]


def _probability(choice: dict[str, Any]) -> float | None:
    """Return the probability of all tokens of a choice together, or None if it has no valid ``logprobs``."""
    try:
        tokens = choice["logprobs"]["content"]
        return round(exp(sum(min(0.0, float(token["logprob"])) for token in tokens)), 6) if tokens else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


async def iter_completion_chunks(
    response: StreamedResponse, on_chunks: Callable[[list[CompletionChunk]], object]
) -> AsyncIterator[Completion]:
    """Parse a stream of chat completion chunks; ``on_chunks`` gets the chunks first.

    The texts of chunks that arrive together are one text, which costs one message. Those without text and usage are
    skipped.

    Raises:
        WorkerFailed: the stream ended before ``[DONE]``, contains an error, or isn't a chat completion.
        Timeout: the worker sent nothing for too long.
    """
    received: list[CompletionChunk] = []

    def keep(chunks: list[CompletionChunk]) -> bool:
        on_chunks(chunks)
        received.extend(chunks)
        return False

    more = True
    while more:
        more = await response.forward(keep)
        documents = [chunk.document for chunk in received if chunk.document is not None]
        received.clear()
        text = "".join(map(_delta_text, documents))
        usage = next((document["usage"] for document in reversed(documents) if document.get("usage")), None)
        if text or usage:
            yield Completion(text, usage, None)


def _delta_text(document: dict[str, Any]) -> str:
    try:
        choices = document.get("choices") or [{}]
        return choices[0].get("delta", {}).get("content") or ""
    except (AttributeError, IndexError, KeyError, TypeError):
        raise WorkerFailed("The worker's stream isn't a valid chat completion.") from None
