"""Events of a streamed message, from the chunks of a streamed chat completion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from sarlens.api.common.error_responses import anthropic_error
from sarlens.api.messages.response import empty_message, stop_of, usage_of
from sarlens.chat.reasoning import reasoning_text


class MessageEvents:
    """Translates one stream. Each content block is closed before the next one begins."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._started = False
        self._block: tuple[str, int] | None = None
        self._blocks = 0
        self._stop: dict[str, Any] = stop_of({})
        self._usage: Mapping[str, Any] | None = None

    def feed(self, chunk: Mapping[str, Any]) -> bytes:
        """Return the events of a chunk."""
        return b"".join(self._feed(chunk))

    def end(self) -> bytes:
        """Return the events after the last chunk."""
        events = [*self._start({}), *self._close()]
        events.append(_event("message_delta", delta=self._stop, usage=usage_of(self._usage)))
        events.append(_event("message_stop"))
        return b"".join(events)

    def fail(self, error: Mapping[str, Any]) -> bytes:
        """Return the event of an error, from an OpenAI error object."""
        return _event("error", error=anthropic_error(error))

    def _feed(self, chunk: Mapping[str, Any]) -> Iterator[bytes]:
        yield from self._start(chunk)
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if reasoning := reasoning_text(delta):
                yield from self._open("thinking", 0, {"type": "thinking", "thinking": "", "signature": ""})
                yield self._delta({"type": "thinking_delta", "thinking": reasoning})
            if text := delta.get("content"):
                yield from self._open("text", 0, {"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": text})
            for call in delta.get("tool_calls") or ():
                yield from self._add_call(call)
            if choice.get("finish_reason"):
                self._stop = stop_of(choice)

    def _start(self, chunk: Mapping[str, Any]) -> Iterator[bytes]:
        if not self._started:
            self._started = True
            yield _event("message_start", message=empty_message(self._model, chunk))

    def _add_call(self, call: Mapping[str, Any]) -> Iterator[bytes]:
        function = call.get("function") or {}
        use: dict[str, Any] = {
            "type": "tool_use",
            "id": call.get("id") or "",
            "name": function.get("name") or "",
            "input": {},
        }
        yield from self._open("tool_use", call.get("index", 0), use)
        if arguments := function.get("arguments"):
            yield self._delta({"type": "input_json_delta", "partial_json": arguments})

    def _open(self, kind: str, number: int, block: dict[str, Any]) -> Iterator[bytes]:
        """Begin a content block, unless it is the current one."""
        if self._block == (kind, number):
            return
        yield from self._close()
        self._block = kind, number
        yield _event("content_block_start", index=self._blocks, content_block=block)

    def _close(self) -> Iterator[bytes]:
        if self._block is not None:
            self._block = None
            yield _event("content_block_stop", index=self._blocks)
            self._blocks += 1

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._blocks, delta=delta)


def _event(name: str, **fields: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps({"type": name, **fields}) + b"\n\n"
