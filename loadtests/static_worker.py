"""A worker that costs next to nothing: bare ASGI, fixed answers, so that what stands before it can be measured."""

from __future__ import annotations

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
    for delta in ({"role": "assistant", "content": ""}, {"content": "3"})
]
_PAGES = {
    "/health": b"",
    "/v1/models": orjson.dumps({"object": "list", "data": [_MODEL]}),
    "/v1/chat/completions": orjson.dumps(_ANSWER),
}
_NAME = re.compile(r"^/\d+(?=/)")
_STREAM = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in _EVENTS) + b"data: [DONE]\n\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the request to its end and answer from memory; a number before the path is a name of the worker."""
    message = await receive()
    streams = b'"stream":true' in message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
    body = _STREAM if streams else _PAGES.get(_NAME.sub("", scope["path"]), b"{}")
    kind = b"text/event-stream" if streams else b"application/json"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", lifespan="off", log_level="error")
