"""Responses of a fake worker to chats, with calls of tools and reasoning."""

from __future__ import annotations

import json
from typing import Any

from support.workers.fake_worker import MODEL, RawReply

SSE = {"Content-Type": "text/event-stream"}


def completion(message: dict[str, Any], finish_reason: str = "stop", **fields: object) -> tuple[int, str]:
    """A worker's response with a message."""
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", **message},
        "finish_reason": finish_reason,
        **fields,
    }
    usage: dict[str, Any] = {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
    return 200, json.dumps({"id": "x", "model": MODEL, "created": 7, "choices": [choice], "usage": usage})


def cut_stream(*deltas: dict[str, Any]) -> RawReply:
    """A worker's stream that ends before the answer is complete."""
    whole = stream(*deltas)
    return RawReply(whole.chunks[: len(deltas)], headers=SSE)


def stream(*deltas: dict[str, Any], finish_reason: str = "stop") -> RawReply:
    """A worker's stream of deltas."""
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish_reason})
    documents: list[dict[str, Any]] = [{"model": MODEL, "created": 7, "choices": [choice]} for choice in choices]
    documents.append({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}})
    events = [f"data: {json.dumps(document)}\n\n" for document in documents]
    return RawReply([*[event.encode() for event in events], b"data: [DONE]\n\n"], headers=SSE)
