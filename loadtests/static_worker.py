"""A worker that costs next to nothing: bare ASGI, one fixed answer, so that what stands before it can be measured."""

from __future__ import annotations

import sys

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send

_MODEL = {"id": "sarlens-nano", "object": "model", "created": 1, "owned_by": "vllm", "max_model_len": 2048}
_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "sarlens-nano",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "3"}, "logprobs": None, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 70, "total_tokens": 72, "completion_tokens": 2},
}
_PAGES = {
    "/health": b"",
    "/v1/models": orjson.dumps({"object": "list", "data": [_MODEL]}),
    "/v1/chat/completions": orjson.dumps(_ANSWER),
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the request to its end and answer from memory."""
    while (await receive()).get("more_body"):
        pass
    body = _PAGES[scope["path"]]
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", lifespan="off", log_level="error")
