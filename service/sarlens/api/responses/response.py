"""Response objects of the Responses API, from chat completions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from sarlens.api.responses.schemas import ResponseBody
from sarlens.chat.reasoning import reasoning_text

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Reason of an incomplete response, by the finish reason of a chat completion."""


def new_id(prefix: str) -> str:
    """Return an id that nothing else has, such as ``msg_…``."""
    return f"{prefix}_{uuid4().hex}"


def response_of(body: ResponseBody, chat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the response object of a whole chat completion."""
    choice = chat["choices"][0]
    response = empty_response(body, chat)
    response["output"] = _output(choice["message"], choice.get("logprobs"))
    return finished(response, choice.get("finish_reason"), chat.get("usage"))


def empty_response(body: ResponseBody, chat: Mapping[str, Any]) -> dict[str, Any]:
    """Return a response in progress, without output; ``chat`` is a chat completion or a chunk of one."""
    text = body.text.format.model_dump(by_alias=True, exclude_none=True)
    choice = body.tool_choice
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": chat.get("created") or int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "model": chat.get("model") or body.model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls,
        "previous_response_id": body.previous_response_id,
        "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
        "store": body.store is True,
        "temperature": body.temperature,
        "text": {"format": text},
        "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
        "tools": [tool.model_dump() for tool in body.tools],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
    }


def finished(response: dict[str, Any], finish_reason: str | None, usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a response with its final status and its usage."""
    reason = _INCOMPLETE.get(finish_reason or "")
    status = "incomplete" if reason else "completed"
    for item in response["output"]:
        item["status"] = status if item is response["output"][-1] else "completed"
    return {
        **response,
        "status": status,
        "incomplete_details": {"reason": reason} if reason else None,
        "usage": usage_of(usage) if usage else None,
    }


def usage_of(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tokens of a chat completion by their names in the Responses API."""
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": prompt + completion,
    }


def _output(message: Mapping[str, Any], logprobs: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    output = []
    if reasoning := reasoning_text(message):
        output.append(reasoning_item(new_id("rs"), reasoning))
    calls = message.get("tool_calls") or []
    content = message.get("content")
    if message.get("refusal"):
        output.append(message_item(new_id("msg"), [{"type": "refusal", "refusal": message["refusal"]}]))
    elif content or not calls:
        output.append(message_item(new_id("msg"), [text_part(content or "", token_logprobs(logprobs))]))
    for call in calls:
        function = call["function"]
        output.append(call_item(new_id("fc"), call["id"], function["name"], function["arguments"]))
    return output


def message_item(item_id: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an output item with the answer of the model."""
    return {"id": item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": content}


def text_part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a part with the text of an answer."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def reasoning_item(item_id: str, text: str) -> dict[str, Any]:
    """Return an output item with the reasoning of the model."""
    content = [{"type": "reasoning_text", "text": text}] if text else []
    return {"id": item_id, "type": "reasoning", "status": "in_progress", "summary": [], "content": content}


def call_item(item_id: str, call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """Return an output item with a call of a function."""
    return {
        "id": item_id,
        "type": "function_call",
        "status": "in_progress",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def token_logprobs(logprobs: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the log-probabilities of the tokens of a choice."""
    return list((logprobs or {}).get("content") or [])
