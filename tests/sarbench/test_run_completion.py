"""Chat completions of a run: texts, ends, tokens, and probabilities."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import pytest

from sarbench.run.completion import Completion, parse_completion


def body(message: Mapping[str, object], **choice: object) -> bytes:
    """Return the body of a completion with one choice."""
    return orjson.dumps(
        {"choices": [{"message": message, **choice}], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    )


def test_a_completion_has_its_end_and_its_cost() -> None:
    """Finish reason, refusal, reasoning, tokens, and the sum of the log-probabilities are kept."""
    message = {"content": "3", "refusal": "", "reasoning": "I see 3."}
    logprobs = {"content": [{"logprob": -0.25}, {"logprob": -0.5}]}
    assert parse_completion(body(message, finish_reason="stop", logprobs=logprobs)) == Completion(
        "3", "stop", None, "I see 3.", 9, 2, -0.75
    )


@pytest.mark.parametrize(
    ("message", "choice", "completion"),
    [
        ({"content": None, "refusal": "No."}, {}, Completion("", None, "No.", None, 9, 2)),
        ({"content": None}, {"finish_reason": "length"}, Completion("", "length", None, None, 9, 2)),
        ({"content": ""}, {"logprobs": {"content": []}}, Completion("", None, None, None, 9, 2)),
    ],
)
def test_an_end_without_a_text_is_a_completion(
    message: dict[str, object], choice: dict[str, object], completion: Completion
) -> None:
    """A refusal, and an end without content, are completions with an empty text."""
    assert parse_completion(body(message, **choice)) == completion


def test_a_lone_surrogate_is_replaced() -> None:
    """Half a character, as a tokenizer leaves it at the limit of tokens, becomes a question mark."""
    raw = rb'{"choices": [{"message": {"content": "ship \ud83d"}, "finish_reason": "length"}]}'
    assert parse_completion(raw) == Completion("ship ?", "length")
