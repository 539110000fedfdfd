"""Events of a streamed response, from the chunks of a streamed chat completion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import orjson

from sarlens.api.responses.response import (
    call_item,
    empty_response,
    finished,
    message_item,
    new_id,
    reasoning_item,
    text_part,
    token_logprobs,
)
from sarlens.api.responses.schemas import ResponseBody
from sarlens.chat.reasoning import reasoning_text

_FROM_CHUNK = (("created_at", "created"), ("model", "model"))
"""Fields of a response, and the fields of a chunk that have their values."""


class ResponseEvents:
    """Translates one stream. Each output item is closed before the next one begins."""

    def __init__(self, body: ResponseBody) -> None:
        self._numbers = count()
        self._response = empty_response(body, {})
        self._started = False
        self._output: list[dict[str, Any]] = self._response["output"]
        self._item: dict[str, Any] = {}
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish_reason: str | None = None
        self._usage: Mapping[str, Any] | None = None
        self._closed = False
        self._closing = b""

    def feed(self, chunk: Mapping[str, Any]) -> bytes:
        """Return the events of a chunk."""
        return b"".join(self._feed(chunk))

    def close(self) -> dict[str, Any]:
        """Close the last output item, and return the whole response, which ``end`` sends."""
        if not self._closed:
            self._closing = b"".join(self._end())
            self._response = finished(self._response, self._finish_reason, self._usage)
            self._closed = True
        return self._response

    def end(self) -> bytes:
        """Return the events after the last chunk."""
        response = self.close()
        return self._closing + self._event(f"response.{response['status']}", response=response)

    def fail(self, error: Mapping[str, Any]) -> bytes:
        """Return the event of an error, from the error object of a chat completion."""
        details = {"code": str(error.get("code") or "server_error"), "message": str(error.get("message"))}
        return self._event("response.failed", response=self._response | {"status": "failed", "error": details})

    def _feed(self, chunk: Mapping[str, Any]) -> Iterator[bytes]:
        yield from self._start(chunk)
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if reasoning := reasoning_text(delta):
                yield from self._add_reasoning(reasoning)
            if text := delta.get("content"):
                yield from self._add_text(text, token_logprobs(choice.get("logprobs")))
            for call in delta.get("tool_calls") or ():
                yield from self._add_call(call)
            self._finish_reason = choice.get("finish_reason") or self._finish_reason

    def _start(self, chunk: Mapping[str, Any]) -> Iterator[bytes]:
        if not self._started:
            self._started = True
            self._response |= {name: chunk[source] for name, source in _FROM_CHUNK if chunk.get(source)}
            yield self._event("response.created", response=self._response)
            yield self._event("response.in_progress", response=self._response)

    def _end(self) -> Iterator[bytes]:
        yield from self._start({})
        if not self._output:
            yield from self._open(message_item(new_id("msg"), []), text_part("", []))
        yield from self._close()

    def _add_text(self, text: str, logprobs: list[dict[str, Any]]) -> Iterator[bytes]:
        if self._item.get("type") != "message":
            yield from self._open(message_item(new_id("msg"), []), text_part("", []))
        part = self._item["content"][0]
        part["text"] += text
        part["logprobs"] += logprobs
        yield self._part_event("response.output_text.delta", delta=text, logprobs=logprobs)

    def _add_reasoning(self, text: str) -> Iterator[bytes]:
        if self._item.get("type") != "reasoning":
            yield from self._open(reasoning_item(new_id("rs"), ""), {"type": "reasoning_text", "text": ""})
        self._item["content"][0]["text"] += text
        yield self._part_event("response.reasoning_text.delta", delta=text)

    def _add_call(self, call: Mapping[str, Any]) -> Iterator[bytes]:
        index, function = call.get("index", 0), call.get("function") or {}
        if index not in self._calls:
            item = call_item(new_id("fc"), call.get("id") or new_id("call"), function.get("name") or "", "")
            self._calls[index] = item
            yield from self._open(item)
        item = self._calls[index]
        if arguments := function.get("arguments"):
            item["arguments"] += arguments
            yield self._item_event("response.function_call_arguments.delta", item, delta=arguments)

    def _open(self, item: dict[str, Any], part: dict[str, Any] | None = None) -> Iterator[bytes]:
        """Close the current item, and begin another one."""
        yield from self._close()
        self._item = item
        self._output.append(item)
        yield self._event("response.output_item.added", output_index=len(self._output) - 1, item=item)
        if part is not None:
            item["content"].append(part)
            if item["type"] == "message":
                yield self._part_event("response.content_part.added", part=part)

    def _close(self) -> Iterator[bytes]:
        item, self._item = self._item, {}
        if not item:
            return
        match item["type"]:
            case "function_call":
                yield self._item_event(
                    "response.function_call_arguments.done", item, name=item["name"], arguments=item["arguments"]
                )
            case "message":
                (part,) = item["content"]
                done = {"text": part["text"], "logprobs": part["logprobs"]}
                yield self._item_event("response.output_text.done", item, content_index=0, **done)
                yield self._item_event("response.content_part.done", item, content_index=0, part=part)
            case _:
                text = item["content"][0]["text"]
                yield self._item_event("response.reasoning_text.done", item, content_index=0, text=text)
        item["status"] = "completed"
        yield self._event("response.output_item.done", output_index=self._index(item), item=item)

    def _part_event(self, event: str, /, **fields: Any) -> bytes:
        return self._item_event(event, self._item, content_index=0, **fields)

    def _item_event(self, event: str, item: Mapping[str, Any], /, **fields: Any) -> bytes:
        return self._event(event, item_id=item["id"], output_index=self._index(item), **fields)

    def _index(self, item: Mapping[str, Any]) -> int:
        return next(index for index, other in enumerate(self._output) if other is item)

    def _event(self, event: str, /, **fields: Any) -> bytes:
        data = orjson.dumps({"type": event, "sequence_number": next(self._numbers), **fields})
        return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"
