"""A worker of its own process that takes its time, remembers pictures by id as vLLM does, and misbehaves when told to.

POST /fault with none, hang, error, reset, truncate or forget. --slots bounds what it answers at the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from aiohttp import web

_HEAD = {"id": "chatcmpl-1", "created": 1, "model": "sarlens-nano"}
_CARD = {"id": "sarlens-nano", "object": "model", "created": 1, "owned_by": "vllm", "max_model_len": 2048}


class Worker:
    """Its state and its routes."""

    def __init__(self, pause_s: float, slots: int) -> None:
        self.fault = "none"
        self.answered = 0
        self._pause_s = pause_s
        self._slots = asyncio.Semaphore(slots)
        self._known: set[str] = set()

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        asked = json.loads(await request.read())
        assert request.transport is not None
        if self.fault == "reset":
            request.transport.abort()
        if self.fault == "error":
            return _error(500, "EngineDeadError")
        while self.fault == "hang":  # noqa: ASYNC110  until a request changes it
            await asyncio.sleep(0.05)
        if not self._look(asked):
            return _error(400, "Cache miss for image at index 0 but data is not provided.")
        async with self._slots:
            await asyncio.sleep(self._pause_s)
        self.answered += 1
        if asked.get("stream"):
            return await self._stream(request)
        message = {"role": "assistant", "content": "3"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({**_HEAD, "object": "chat.completion", "choices": [choice]})

    def _look(self, asked: dict[str, Any]) -> bool:
        for message in asked["messages"]:
            for part in message["content"] if isinstance(message["content"], list) else ():
                if part["type"] == "image_url":
                    if part["image_url"] is None and part["uuid"] not in self._known:
                        return False
                    self._known.add(part.get("uuid"))
        return True

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, text in enumerate(("", "There ", "are ", "3.")):
            if self.fault == "truncate" and number == 2:
                assert request.transport is not None
                request.transport.abort()
                return response
            choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
            event = {**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    async def set_fault(self, request: web.Request) -> web.Response:
        """POST /fault."""
        self.fault = (await request.text()).strip()
        if self.fault == "forget":
            self._known.clear()
        return web.Response()

    async def count(self, _: web.Request) -> web.Response:
        """GET /count: the requests that it has answered."""
        return web.Response(text=str(self.answered))


def _error(status: int, message: str) -> web.Response:
    error = {"message": message, "type": "InternalServerError", "param": None, "code": status}
    return web.json_response({"error": error}, status=status)


async def _well(_: web.Request) -> web.Response:
    return web.Response()


async def _models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [_CARD]})


def main() -> None:
    """Serve on a port of the loopback address."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--pause-s", type=float, default=0.02, help="time that an answer takes")
    parser.add_argument("--slots", type=int, default=10_000, help="answers at the same time")
    given = parser.parse_args()
    worker = Worker(given.pause_s, given.slots)
    app = web.Application(client_max_size=256 * 2**20)
    app.router.add_get("/health", _well)
    app.router.add_get("/v1/models", _models)
    app.router.add_get("/count", worker.count)
    app.router.add_post("/fault", worker.set_fault)
    app.router.add_post("/v1/chat/completions", worker.complete)
    web.run_app(app, host="127.0.0.1", port=given.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
