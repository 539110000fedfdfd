"""Parsing of the responses of workers: streams, and the answers of a batch, into texts and usage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.errors import WorkerFailed
from sarlens.inference.reply_parser import iter_completion_chunks, parse_batch
from sarlens.inference.worker_response import CompleteResponse, RejectedResponse
from sarlens.inference.worker_stream import StreamedResponse
from sarlens.observability.tracing import INVALID_SPAN

ROLE: dict[str, Any] = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
USAGE: dict[str, Any] = {"choices": [], "usage": {"total_tokens": 5}}
DONE = b"data: [DONE]\n\n"


def event(document: dict[str, Any]) -> bytes:
    """Return an event."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


def token(text: str) -> bytes:
    """Return the event of a token."""
    return event({"choices": [{"delta": {"content": text}}]})


@pytest.mark.parametrize(
    ("reads", "parts"),
    [
        pytest.param([token("3"), token(" ships"), DONE], [("3", None), (" ships", None)], id="apart"),
        pytest.param([token("3") + token(" ships") + token("."), DONE], [("3 ships.", None)], id="together"),
        pytest.param([token("3") + event(USAGE) + DONE], [("3", {"total_tokens": 5})], id="with the usage"),
        pytest.param([token("3"), event(USAGE) + DONE], [("3", None), ("", {"total_tokens": 5})], id="usage alone"),
        pytest.param([b": ping\n\n", event(ROLE) + DONE], [], id="without text"),
    ],
)
async def test_tokens_that_arrive_together_are_one_text(
    reads: Sequence[bytes], parts: list[tuple[str, dict[str, int] | None]]
) -> None:
    """Each read of a stream with text or usage is one completion: its texts joined, and its usage."""

    unread = iter(reads)

    class Response:
        first_chunk = event(ROLE)

        async def forward(self, write: Callable[[bytes], bool]) -> bool:
            return any(not write(data) for data in unread)

    worker = SimpleNamespace(record_outcome=lambda error: None)
    response = StreamedResponse(cast("Any", Response()), cast("Any", worker), INVALID_SPAN)
    completions = [completion async for completion in iter_completion_chunks(response, len)]
    assert [(completion.text, completion.usage) for completion in completions] == parts


BATCH_USAGE = {"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16}


def choice(index: object, text: object = "Yes", **fields: Any) -> dict[str, Any]:
    """Return a choice of a response."""
    return {"index": index, "message": {"role": "assistant", "content": text}, **fields}


def response(*choices: Any, **fields: Any) -> CompleteResponse:
    """Return the response of a worker with these choices."""
    document = {"object": "chat.completion", "choices": list(choices), **fields}
    return CompleteResponse(orjson.dumps(document), document)


def usages(*choices: Any, usage: Any = BATCH_USAGE) -> list[tuple[int, int, int] | None]:
    """Return prompt, completion and total tokens of each completion."""
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    completions = parse_batch(response(*choices, usage=usage), len(choices))
    return [each.usage and tuple(each.usage[name] for name in names) for each in completions]  # type: ignore[misc]


def test_answers_are_in_the_order_of_the_chats() -> None:
    """The index of a choice is that of its chat; each has its own text and probability."""
    tokens = {"content": [{"logprob": -0.6931471805599453}]}
    completions = parse_batch(response(choice(1, "No"), choice(0, None, logprobs=tokens)), 2)
    assert [(each.text, each.probability, each.usage) for each in completions] == [("", 0.5, None), ("No", None, None)]


def test_finish_reason_refusal_and_reasoning_are_apart_from_the_text() -> None:
    """Each completion of a batch has the fields of its own choice; those that aren't texts are None."""
    refused = {"index": 0, "message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}
    thought = {"index": 1, "message": {"content": "3", "reasoning_content": "Hm."}, "finish_reason": "length"}
    wrong = {"index": 2, "message": {"content": "4", "reasoning": [1], "refusal": {}}, "finish_reason": 7}
    completions = parse_batch(response(refused, thought, wrong), 3)
    assert [(each.text, each.finish_reason, each.refusal, each.reasoning) for each in completions] == [
        ("", "stop", "No.", None),
        ("3", "length", None, "Hm."),
        ("4", None, None, None),
    ]


def test_usage_is_divided() -> None:
    """Ten prompt tokens are 4, 3 and 3; six completion tokens are those that each choice lists."""
    listed = [choice(0, token_ids=[1]), choice(1, token_ids=[1, 2, 3]), choice(2, token_ids=[1, 2])]
    assert usages(*listed) == [(4, 1, 5), (3, 3, 6), (3, 2, 5)]


@pytest.mark.parametrize("tokens", [None, [1], "abc", {"a": 1}])
def test_completion_tokens_are_divided_if_they_are_not_listed(tokens: object) -> None:
    """If the listed tokens don't add up to those of the batch, the completion tokens are divided evenly."""
    assert usages(choice(0, token_ids=tokens), choice(1), choice(2)) == [(4, 2, 6), (3, 2, 5), (3, 2, 5)]


@pytest.mark.parametrize("usage", [None, [], {}, {"prompt_tokens": 1}, {"prompt_tokens": -1, "completion_tokens": 2}])
def test_an_invalid_usage_is_none(usage: object) -> None:
    """Without valid numbers of tokens no answer has a usage."""
    assert usages(choice(0), choice(1), usage=usage) == [None, None]


@pytest.mark.parametrize(
    "choices",
    [
        [],
        [choice(0)],
        [choice(0), choice(0)],
        [choice(0), choice(2)],
        [choice(0), choice(1), choice(2)],
        [choice(0), choice("1")],
        [choice(0), choice(None)],
        [choice(0), {"index": 1}],
        [choice(0), {"index": 1, "message": None}],
        [choice(0), 1],
    ],
)
def test_a_response_must_have_one_choice_for_each_chat(choices: list[Any]) -> None:
    """A missing, a repeated, an additional or a malformed choice makes the whole response invalid."""
    with pytest.raises(WorkerFailed):
        parse_batch(response(*choices), 2)


def test_a_rejection_is_no_response_to_a_batch() -> None:
    """An error isn't parsed as answers."""
    with pytest.raises(WorkerFailed):
        parse_batch(RejectedResponse(400, {"message": "no"}), 2)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["index", "message", "content", "token_ids", "logprobs", "logprob"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
CHOICES = st.lists(VALUES | st.builds(choice, st.integers(0, 3), VALUES, token_ids=VALUES, logprobs=VALUES), max_size=4)


@given(VALUES | CHOICES, VALUES | st.fixed_dictionaries({"prompt_tokens": VALUES, "completion_tokens": VALUES}))
def test_any_response_is_answers_or_a_failure(choices: Any, usage: Any) -> None:
    """Any JSON is one completion for each chat, whose usages add up to that of the batch, or a failed worker."""
    document = {"choices": choices, "usage": usage}
    try:
        completions = parse_batch(CompleteResponse(b"", document), 2)
    except WorkerFailed:
        return
    assert [type(each.text) for each in completions] == [str, str]
    stated = [each.usage for each in completions if each.usage is not None]
    assert len(stated) in {0, 2}
    for name in ("prompt_tokens", "completion_tokens"):
        assert not stated or sum(each[name] for each in stated) == usage[name]
