"""Translation of Responses API requests to chat completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sarlens.api.responses.schemas import (
    Format,
    FunctionCallItem,
    FunctionOutputItem,
    FunctionTool,
    ImagePart,
    Item,
    MessageItem,
    Part,
    RefusalPart,
    ResponseBody,
)
from sarlens.errors import BadRequest

_NOT_PASSED = frozenset(
    {"service_tier", "truncation", "prompt_cache_key", "safety_identifier", "max_tool_calls", "stream_options", "n"}
)
"""Fields without a meaning for workers, or of another form there."""


def to_chat(body: ResponseBody, earlier: Sequence[Item] = ()) -> dict[str, Any]:
    """Return the body of the equivalent chat completion.

    Args:
        body: the request.
        earlier: items of the conversation that the request continues.

    Raises:
        BadRequest: the request has a field that isn't supported, or a part has no content.
    """
    _reject_unsupported(body)
    chat = {
        **{name: value for name, value in (body.model_extra or {}).items() if name not in _NOT_PASSED},
        "model": body.model,
        "messages": _messages(body, earlier),
        "max_completion_tokens": body.max_output_tokens,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "stream": body.stream,
        "stream_options": {"include_usage": True} if body.stream else None,
        "response_format": _response_format(body.text.format),
        "reasoning_effort": body.reasoning.effort if body.reasoning else None,
        "user": body.user,
        **_logprobs(body),
        **_tools(body),
    }
    return {name: value for name, value in chat.items() if value is not None}


def _reject_unsupported(body: ResponseBody) -> None:
    for name in ("background", "conversation", "prompt"):
        if getattr(body, name):
            raise BadRequest(f"{name} isn't supported.", param=name)


def _response_format(text: Format) -> dict[str, Any] | None:
    if text.type == "text":
        return None
    if text.type == "json_object":
        return {"type": "json_object"}
    if text.json_schema is None:
        raise BadRequest("text.format.schema is missing.", param="text.format.schema")
    schema = {"name": text.name or "answer", "schema": text.json_schema, "strict": text.strict}
    return {"type": "json_schema", "json_schema": {name: value for name, value in schema.items() if value is not None}}


def _logprobs(body: ResponseBody) -> dict[str, Any]:
    if body.top_logprobs is None and "message.output_text.logprobs" not in body.include:
        return {}
    return {"logprobs": True, "top_logprobs": body.top_logprobs or 0}


def _tools(body: ResponseBody) -> dict[str, Any]:
    if not body.tools:
        return {}
    choice = body.tool_choice
    return {
        "tools": [{"type": "function", "function": _function(tool)} for tool in body.tools],
        "parallel_tool_calls": body.parallel_tool_calls,
        "tool_choice": choice if isinstance(choice, str) else {"type": "function", "function": {"name": choice.name}},
    }


def _function(tool: FunctionTool) -> dict[str, Any]:
    return tool.model_dump(exclude={"type"}, exclude_none=True)


def _messages(body: ResponseBody, earlier: Sequence[Item]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if body.instructions is not None:
        messages.append({"role": "system", "content": body.instructions})
    for item in earlier:
        _append(messages, item, "previous_response_id")
    if isinstance(body.input, str):
        return [*messages, {"role": "user", "content": body.input}]
    for index, item in enumerate(body.input):
        _append(messages, item, f"input[{index}]")
    return messages


def _append(messages: list[dict[str, Any]], item: Item, param: str) -> None:
    """Append the message of an item. A function call belongs to the assistant's message before it."""
    match item:
        case MessageItem(role="assistant"):
            messages.append({"role": "assistant", "content": _text(item.content)})
        case MessageItem():
            role = "system" if item.role == "developer" else item.role
            messages.append({"role": role, "content": _content(item.content, f"{param}.content")})
        case FunctionCallItem():
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            function = {"name": item.name, "arguments": item.arguments}
            call = {"id": item.call_id, "type": "function", "function": function}
            messages[-1].setdefault("tool_calls", []).append(call)
        case FunctionOutputItem():
            output = _content(item.output, f"{param}.output")
            messages.append({"role": "tool", "tool_call_id": item.call_id, "content": output})


def _text(content: str | Sequence[Part]) -> str:
    """Return the text of an assistant's message; models get a refusal as text."""
    if isinstance(content, str):
        return content
    return "".join(
        part.refusal if isinstance(part, RefusalPart) else part.text
        for part in content
        if not isinstance(part, ImagePart)
    )


def _content(content: str | Sequence[Part], param: str) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    return [_part(part, f"{param}[{index}]") for index, part in enumerate(content)]


def _part(part: Part, param: str) -> dict[str, Any]:
    match part:
        case ImagePart():
            return {"type": "image_url", "image_url": _image(part, param)}
        case RefusalPart():
            return {"type": "text", "text": part.refusal}
        case _:
            return {"type": "text", "text": part.text}


def _image(part: ImagePart, param: str) -> dict[str, Any]:
    if part.image_url is None and part.item is None:
        raise BadRequest(f"{param} must have an image_url or a file_id.", param=f"{param}.image_url")
    image = {"url": part.image_url, "item": part.item, "sar": part.sar, "detail": part.detail}
    return {name: value for name, value in image.items() if value is not None}
