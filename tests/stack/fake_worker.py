"""A worker that answers at once and speaks as vLLM does; ``test_contract.py`` holds it to that."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import CIMultiDictProxy

MODEL = "sarlens-nano"
WORDS = ("There ", "are ", "3 ", "ships.")


@dataclass
class FakeWorker:
    """What it was sent, and how it is told to behave."""

    model: str = MODEL
    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[CIMultiDictProxy[str]] = field(default_factory=list)
    pause_s: float = 0.0
    """Time between two tokens."""
    dies_after: int | None = None
    """Streamed tokens after which the connection is cut."""
    fails_with: tuple[int, str] | None = None
    """A status and body to answer with instead."""
    says: Callable[[dict[str, Any]], str] | None = None
    """What it answers to a chat instead of its usual words; no text makes it refuse the request."""
    slow: str | None = None
    """Words that make it take half a second over a request."""
    hangs: bool = False
    """Whether requests are taken and never answered."""
    resets: bool = False
    """Whether connections are cut before the first byte."""
    known: set[str] = field(default_factory=set)
    """Ids of the pictures that it has been shown."""
    shown: int = 0
    """Pictures that came as data."""
    aborted: int = 0
    running: int = 0

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The bodies, parsed."""
        return [json.loads(body) for body in self.bodies]

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _models(self, _: web.Request) -> web.Response:
        card = {"id": self.model, "object": "model", "created": 1, "owned_by": "vllm", "root": "/m", "parent": None}
        return web.json_response({"object": "list", "data": [{**card, "max_model_len": 2048, "permission": []}]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.bodies.append(body)
        self.headers.append(request.headers)
        refusal = self._refusal(body)
        if refusal is not None:
            return refusal
        self.running += 1
        try:
            return await self._say(request, json.loads(body))
        except (asyncio.CancelledError, ConnectionResetError):
            self.aborted += 1
            raise
        finally:
            self.running -= 1

    def _refusal(self, body: bytes) -> web.Response | None:
        if self.fails_with:
            return web.Response(status=self.fails_with[0], text=self.fails_with[1], content_type="application/json")
        try:
            asked = json.loads(body)
        except ValueError:
            return _error(400, "Invalid JSON", "BadRequestError")
        if asked.get("model", self.model) != self.model:
            return _error(404, f"The model `{asked['model']}` does not exist.", "NotFoundError")
        if asked.get("temperature", 0) < 0:
            return _error(400, "temperature must be non-negative", "BadRequestError", "temperature")
        missing = self._look(asked)
        if missing is None:
            return None
        return _error(400, f"Cache miss for image at index {missing} but data is not provided.", "BadRequestError")

    async def _say(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        assert request.transport is not None
        if self.resets:
            request.transport.abort()
        while self.hangs:
            await asyncio.sleep(0.01)
        chat = request.path.endswith("chat/completions")
        if asked.get("stream"):
            return await self._stream(request, asked, chat=chat)
        await asyncio.sleep(self.pause_s * len(WORDS))
        if self.slow and self.slow in json.dumps(asked):
            await asyncio.sleep(0.5)
        text = self.says(asked) if self.says else "".join(WORDS)
        if not text:
            return _error(400, "This cannot be answered.", "BadRequestError", "messages")
        return web.json_response(_answer(self.model, text, chat=chat))

    def _look(self, asked: dict[str, Any]) -> int | None:
        """Remember the pictures of a chat; the index of the first one that is named and not known."""
        messages = [message["content"] for message in asked.get("messages", ()) if isinstance(message["content"], list)]
        images = [part for content in messages for part in content if part["type"] == "image_url"]
        for index, part in enumerate(images):
            if part["image_url"] is None and part["uuid"] not in self.known:
                return index
            self.shown += part["image_url"] is not None
            if part.get("uuid"):
                self.known.add(part["uuid"])
        return None

    async def _stream(self, request: web.Request, asked: dict[str, Any], *, chat: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for number, event in enumerate(_events(self.model, asked, chat=chat)):
            if number == self.dies_after:
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n")
            await asyncio.sleep(self.pause_s)
        await response.write(b"data: [DONE]\n\n")
        return response


def _usage() -> dict[str, int]:
    return {"prompt_tokens": 70, "total_tokens": 70 + len(WORDS), "completion_tokens": len(WORDS)}


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": "cmpl-1", "object": kind, "created": int(time.time()), "model": model}


def _answer(model: str, text: str, *, chat: bool) -> dict[str, Any]:
    body = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    choice = {"index": 0, **body, "logprobs": None, "finish_reason": "stop", "stop_reason": None}
    kind = "chat.completion" if chat else "text_completion"
    return {**_head(model, kind), "choices": [choice], "usage": _usage(), "kv_transfer_params": None}


def _events(model: str, asked: dict[str, Any], *, chat: bool) -> list[dict[str, Any]]:
    head = _head(model, "chat.completion.chunk" if chat else "text_completion")
    pieces: list[dict[str, Any]] = [{"delta": {"role": "assistant", "content": ""}}] if chat else []
    pieces += [{"delta": {"content": word}} if chat else {"text": word} for word in WORDS]
    events = [{**head, "choices": [{"index": 0, **piece, "finish_reason": None}]} for piece in pieces]
    events[-1]["choices"][0]["finish_reason"] = "stop"
    if (asked.get("stream_options") or {}).get("include_usage"):
        events = [{**event, "usage": None} for event in events] + [{**head, "choices": [], "usage": _usage()}]
    return events


def _error(status: int, message: str, kind: str, param: str | None = None) -> web.Response:
    error = {"message": message, "type": kind, "param": param, "code": status}
    return web.json_response({"error": error}, status=status)


@asynccontextmanager
async def fake_worker(**behaviour: Any) -> AsyncIterator[FakeWorker]:
    """A fake worker on a free port of the loopback address."""
    worker = FakeWorker(**behaviour)
    app = web.Application(client_max_size=256 * 2**20)
    app.router.add_get("/health", worker._health)
    app.router.add_get("/v1/models", worker._models)
    app.router.add_post("/v1/chat/completions", worker._complete)
    app.router.add_post("/v1/completions", worker._complete)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        worker.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield worker
    finally:
        await runner.cleanup()
