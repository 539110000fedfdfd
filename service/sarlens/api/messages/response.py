"""Messages of the Messages API, from chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson

from sarlens.chat.reasoning import reasoning_text

_STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def message_of(model: str, chat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message of a whole chat completion."""
    choice = chat["choices"][0]
    message = empty_message(model, chat)
    message["content"] = _content(choice["message"])
    return {**message, **stop_of(choice), "usage": usage_of(chat.get("usage"))}


def empty_message(model: str, chat: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message without content; ``chat`` is a chat completion or a chunk of one."""
    return {
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": chat.get("model") or model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_of(None),
    }


def stop_of(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return why the model stopped, from the finish reason of a choice. vLLM adds the string that stopped it."""
    sequence, reason = choice.get("stop_reason"), choice.get("finish_reason")
    if reason == "stop" and isinstance(sequence, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": sequence}
    return {"stop_reason": _STOP_REASONS.get(reason or "", "end_turn"), "stop_sequence": None}


def usage_of(usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the tokens of a chat completion by their names in the Messages API. Cached tokens aren't input tokens."""
    known = usage or {}
    cached = (known.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return {
        "input_tokens": (known.get("prompt_tokens") or 0) - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": known.get("completion_tokens") or 0,
    }


def _content(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if reasoning := reasoning_text(message):
        content.append({"type": "thinking", "thinking": reasoning, "signature": ""})
    if text := message.get("content") or message.get("refusal"):
        content.append({"type": "text", "text": text})
    for call in message.get("tool_calls") or ():
        function = call["function"]
        arguments = tool_input(function.get("arguments") or "")
        content.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": arguments})
    return content


def tool_input(arguments: str) -> dict[str, Any]:
    """Return the arguments of a call as an object; a model can write anything, such as JSON that is cut off."""
    try:
        parsed = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {}
