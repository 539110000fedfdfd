"""Stub worker with fixed responses in plain ASGI, whose CPU cost is small next to that of the gateway."""

from __future__ import annotations

import asyncio
import re
import sys

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send

_MODEL = {"id": "sarlens-nano", "object": "model", "created": 1, "owned_by": "vllm", "max_model_len": 2048}
_HEAD = {"id": "chatcmpl-1", "created": 1, "model": "sarlens-nano"}
_ANSWER = {
    **_HEAD,
    "object": "chat.completion",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "3"}, "logprobs": None, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 70, "total_tokens": 72, "completion_tokens": 2},
}
_EVENTS = [
    {**_HEAD, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    for delta in ({"role": "assistant", "content": ""}, *[{"content": "3"}] * 32)
]
_USAGE_EVENT = {**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": _ANSWER["usage"]}
_PAGES = {
    "/health": b"",
    "/v1/models": orjson.dumps({"object": "list", "data": [_MODEL]}),
    "/v1/chat/completions": orjson.dumps(_ANSWER),
}
_NUMBER = re.compile(r"^/\d+(?=/)")
_STREAM = [b"data: " + orjson.dumps(event) + b"\n\n" for event in _EVENTS]
_USAGE = b"data: " + orjson.dumps(_USAGE_EVENT) + b"\n\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the whole request and respond from memory; a number before the path gives one worker many URLs.

    If a request for a stream has the words ``one at a time``, each event is sent at a multiple of 5 ms, together with
    those of other streams, as vLLM sends the tokens of a step of its engine.
    """
    message = await receive()
    request = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
    if b'"stream":true' in request:
        step_s = 0.005 if b"one at a time" in request else 0.0
        await _stream(send, step_s, with_usage=b'"include_usage":true' in request)
        return
    body = _PAGES.get(_NUMBER.sub("", scope["path"]), b"{}")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Send, step_s: float, *, with_usage: bool) -> None:
    """Send each event by itself, as vLLM does."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for event in [*_STREAM, *([_USAGE] if with_usage else [])]:
        await send({"type": "http.response.body", "body": event, "more_body": True})
        if step_s:
            await asyncio.sleep(step_s - asyncio.get_running_loop().time() % step_s)
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", lifespan="off", log_level="error")
