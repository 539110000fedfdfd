"""Mock worker process with a response time, an image cache as in vLLM, and faults at runtime.

POST /fault with a fault of ``FAULTS``, or with several that take turns of ``_TURN_S`` seconds. --slots limits the
concurrent responses.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from typing import Any

from aiohttp import web

_HEAD = {"id": "chatcmpl-1", "created": 1, "model": "sarlens-nano"}
_CARD = {"id": "sarlens-nano", "object": "model", "created": 1, "owned_by": "vllm", "max_model_len": 2048}

FAULTS = {
    "none": "responds",
    "hang": "never responds",
    "error": "responds with 500",
    "reset": "closes the connection after it has read the request",
    "full": "responds with 429",
    "busy": "responds with 503",
    "slow": "responds 0.3 s late",
    "error event": "responds with 200 and an error as the only event of a stream",
    "error midway": "sends an error as the third event of a stream",
    "truncate": "closes the connection in the middle of a stream",
    "evict": "has lost its images once",
    "slow health": "responds to health checks after 6 s",
}
_TURN_S = 0.5
_STATUSES = {"error": (500, "EngineDeadError"), "full": (429, "Too many requests"), "busy": (503, "Overloaded")}
_DONE = b"data: [DONE]\n\n"
_ERROR_EVENT = b'data: {"error": {"message": "EngineDeadError", "type": "InternalServerError", "code": 500}}\n\n'


class Worker:
    """State and routes of the worker."""

    def __init__(self, pause_s: float, slots: int) -> None:
        self.faults = ["none"]
        self.counts: Counter[str] = Counter(asked=0, answered=0, images=0)
        self._pause_s = pause_s
        self._slots = asyncio.Semaphore(slots)
        self._known: set[str] = set()

    @property
    def fault(self) -> str:
        """The fault whose turn it is."""
        return self.faults[int(time.monotonic() / _TURN_S) % len(self.faults)]

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        body = json.loads(await request.read())
        assert request.transport is not None
        fault = self.fault
        self.counts["asked"] += 1
        self.counts[fault] += 1
        if fault == "reset":
            request.transport.abort()
        if fault in _STATUSES:
            return _error(*_STATUSES[fault])
        if fault == "slow":
            await asyncio.sleep(0.3)
        while fault == "hang" and request.transport:
            await asyncio.sleep(0.05)
        if not self._has_images(body):
            return _error(400, "Cache miss for image at index 0 but data is not provided.")
        async with self._slots:
            await asyncio.sleep(self._pause_s)
        self.counts["answered"] += 1
        if body.get("stream"):
            return await self._stream(request, fault)
        message = {"role": "assistant", "content": "3"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({**_HEAD, "object": "chat.completion", "choices": [choice]})

    def _has_images(self, body: dict[str, Any]) -> bool:
        for message in body["messages"]:
            for part in message["content"] if isinstance(message["content"], list) else ():
                if part["type"] == "image_url":
                    if part["image_url"] is None and part["uuid"] not in self._known:
                        return False
                    self.counts["images"] += part["image_url"] is not None
                    self._known.add(part.get("uuid"))
        return True

    async def _stream(self, request: web.Request, fault: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, text in enumerate(("", "There ", "are ", "3.")):
            if fault == {0: "error event", 2: "error midway"}.get(number):
                await response.write(_ERROR_EVENT + _DONE)
                return response
            if fault == "truncate" and number == 2:
                assert request.transport is not None
                request.transport.abort()
                return response
            choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
            event = {**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        await response.write(_DONE)
        return response

    async def set_fault(self, request: web.Request) -> web.Response:
        """POST /fault."""
        self.faults = (await request.text()).strip().split(", ")
        if "evict" in self.faults:
            self._known.clear()
        return web.Response()

    async def count(self, _: web.Request) -> web.Response:
        """GET /count: requests that arrived, were answered, and had image data, and requests by fault."""
        return web.json_response(self.counts)

    async def health(self, _: web.Request) -> web.Response:
        """GET /health."""
        await asyncio.sleep(6 if self.fault == "slow health" else 0)
        return web.Response()


def _error(status: int, message: str) -> web.Response:
    error = {"message": message, "type": "InternalServerError", "param": None, "code": status}
    return web.json_response({"error": error}, status=status)


async def _models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [_CARD]})


def main() -> None:
    """Serve on a loopback port."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--pause-s", type=float, default=0.02, help="response time, in seconds")
    parser.add_argument("--slots", type=int, default=10_000, help="concurrent responses")
    args = parser.parse_args()
    worker = Worker(args.pause_s, args.slots)
    app = web.Application(client_max_size=256 * 2**20)
    app.router.add_get("/health", worker.health)
    app.router.add_get("/v1/models", _models)
    app.router.add_get("/count", worker.count)
    app.router.add_post("/fault", worker.set_fault)
    app.router.add_post("/v1/chat/completions", worker.complete)
    web.run_app(app, host="127.0.0.1", port=args.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
