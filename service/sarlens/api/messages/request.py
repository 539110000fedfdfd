"""Translation of Messages API requests to chat completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from sarlens.api.messages.schemas import (
    Base64Source,
    CountTokensBody,
    ImageBlock,
    InputMessage,
    ItemSource,
    MessageBody,
    TextBlock,
    ToolChoice,
    ToolResultBlock,
    ToolUseBlock,
)
from sarlens.errors import BadRequest

_TOOL_CHOICE = {"auto": "auto", "any": "required", "none": "none"}


def to_chat(body: MessageBody) -> dict[str, Any]:
    """Return the body of the equivalent chat completion.

    Raises:
        BadRequest: ``tool_choice`` names no tool.
    """
    chat = {
        **chat_prompt(body),
        "max_completion_tokens": body.max_tokens,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
        "stop": body.stop_sequences,
        "stream": body.stream,
        "stream_options": {"include_usage": True} if body.stream else None,
    }
    return {name: value for name, value in chat.items() if value is not None}


def chat_prompt(body: CountTokensBody) -> dict[str, Any]:
    """Return the fields of a chat completion that make its prompt."""
    chat: dict[str, Any] = {"model": body.model, "messages": [*_system(body), *_messages(body.messages)]}
    if body.tools:
        chat["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description or "", "parameters": tool.input_schema},
            }
            for tool in body.tools
        ]
        chat |= _tool_choice(body.tool_choice) if body.tool_choice else {}
    return chat


def to_tokenize(body: CountTokensBody) -> dict[str, Any]:
    """Return the body of the equivalent request for the tokens of a chat. Which tool the model uses has none.

    Raises:
        BadRequest: ``tool_choice`` names no tool.
    """
    choices = ("tool_choice", "parallel_tool_calls")
    return {name: value for name, value in chat_prompt(body).items() if name not in choices}


def _tool_choice(choice: ToolChoice) -> dict[str, Any]:
    if choice.type == "tool" and choice.name is None:
        raise BadRequest("tool_choice.name is missing.", param="tool_choice.name")
    named = {"type": "function", "function": {"name": choice.name}}
    return {
        "tool_choice": _TOOL_CHOICE.get(choice.type, named),
        "parallel_tool_calls": not choice.disable_parallel_tool_use,
    }


def _system(body: CountTokensBody) -> list[dict[str, Any]]:
    if not body.system:
        return []
    text = body.system if isinstance(body.system, str) else "\n".join(block.text for block in body.system)
    return [{"role": "system", "content": text}]


def _messages(messages: Sequence[InputMessage]) -> Iterator[dict[str, Any]]:
    for message in messages:
        if isinstance(message.content, str):
            yield {"role": message.role, "content": message.content}
        elif message.role == "assistant":
            yield _assistant(message)
        else:
            yield from _user(message)


def _assistant(message: InputMessage) -> dict[str, Any]:
    text = "".join(block.text for block in message.content if isinstance(block, TextBlock))
    calls = [
        {
            "id": block.id,
            "type": "function",
            "function": {"name": block.name, "arguments": orjson.dumps(block.input).decode()},
        }
        for block in message.content
        if isinstance(block, ToolUseBlock)
    ]
    return {"role": "assistant", "content": text or None} | ({"tool_calls": calls} if calls else {})


def _user(message: InputMessage) -> Iterator[dict[str, Any]]:
    """Yield the results of tools, and then the other blocks of a message of the user."""
    parts = []
    for block in message.content:
        if isinstance(block, ToolResultBlock):
            yield {"role": "tool", "tool_call_id": block.tool_use_id, "content": _parts(block.content)}
        elif isinstance(block, TextBlock | ImageBlock):
            parts.append(_part(block))
    if parts:
        yield {"role": "user", "content": parts}


def _parts(content: str | Sequence[TextBlock | ImageBlock]) -> str | list[dict[str, Any]]:
    return content if isinstance(content, str) else [_part(block) for block in content]


def _part(block: TextBlock | ImageBlock) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    image: dict[str, Any] = {} if block.sar is None else {"sar": block.sar}
    match block.source:
        case Base64Source(media_type=media_type, data=data):
            image["url"] = f"data:{media_type};base64,{data}"
        case ItemSource(item=item):
            image["item"] = item
        case source:
            image["url"] = source.url
    return {"type": "image_url", "image_url": image}
