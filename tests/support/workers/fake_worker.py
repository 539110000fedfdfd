"""A fake vLLM worker that answers at once; ``test_worker_contract.py`` runs the same cases against real vLLM."""

from __future__ import annotations

import array
import asyncio
import base64
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import CIMultiDictProxy

MODEL = "sarlens-nano"
BATCH_PATH = "/v1/chat/completions/batch"
WORDS = ("There ", "are ", "3 ", "ships.")


@dataclass
class RawReply:
    """A response in raw bytes, to be sent instead of an answer."""

    chunks: Sequence[bytes]
    """Parts of the body, each of which is a read of its own for the gateway."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Send the response."""
        response = web.StreamResponse(status=self.status, headers=self.headers)
        await response.prepare(request)
        for chunk in self.chunks:
            await response.write(chunk)
            await asyncio.sleep(0.005 if len(self.chunks) > 1 else 0)
        return response


@dataclass
class FakeWorker:
    """The requests that the worker received, and its configured behavior."""

    model: str = MODEL
    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    """Paths of the requests for completions."""
    headers: list[CIMultiDictProxy[str]] = field(default_factory=list)
    pause_s: float = 0.0
    """Seconds between two tokens."""
    dies_after: int | None = None
    """Number of streamed tokens before the worker closes the connection."""
    fails_with: tuple[int, str] | None = None
    """Status and body of every response, instead of an answer."""
    says: Callable[[dict[str, Any]], str] | None = None
    """Returns the answer to a chat; an empty text rejects the request."""
    slow: str | None = None
    """Text in a request that delays its response by 0.5 s."""
    probability: float = 0.75
    """Probability of every answer, for requests with ``logprobs``."""
    words: tuple[str, ...] = WORDS
    """Tokens of every streamed answer."""
    hangs: bool = False
    """Whether the worker accepts requests and never responds."""
    hangs_on: str | None = None
    """Text in a request that the worker accepts and never responds to."""
    resets: bool = False
    """Whether the worker closes connections before the first byte."""
    replies: RawReply | None = None
    """Response to every request, instead of an answer."""
    knows_stream_options: bool = True
    """Whether the worker accepts ``stream_options``; an old one rejects them."""
    breaks_on: str | None = None
    """Text in a request that makes the worker respond with 500."""
    batch_reply: RawReply | None = None
    """Response to every batch, instead of answers."""
    has_token_routes: bool = True
    """Whether the worker has the routes of tokens; other servers than vLLM don't."""
    adapters: dict[str, str] | None = None
    """Paths of LoRA adapters by name; None if adapters can't be loaded at run time."""
    rejected_adapter: str | None = None
    """Path of an adapter that the worker doesn't find."""
    has_batch_route: bool = True
    """Whether the worker has the batch route; old ones and other servers don't."""
    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Images in the cache by id, as in requests."""
    shown: int = 0
    """Number of images received as data."""
    streams_error: bool = False
    """Whether every stream begins with an error event."""
    aborted: int = 0
    """Number of requests that the gateway aborted."""
    running: int = 0
    """Number of requests in progress."""
    probes: int = 0
    """Number of health checks."""
    health_status: int = 200
    """Status of every health check."""
    health_pause_s: float = 0.0
    """Time of a health check, in seconds."""
    reported_load: tuple[float, float] | None = None
    """Running and waiting requests on the metrics page; without them, there is no page."""
    process_start_time: float = 1.7e9
    """Start time of the process on the metrics page."""
    filters_metrics: bool = True
    """Whether a metrics page with names in its query has these metrics; otherwise it is empty."""
    metrics_names: list[list[str]] = field(default_factory=list)
    """Names in the query of each request of the metrics page."""

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Return the parsed bodies."""
        return [json.loads(body) for body in self.bodies]

    async def _health(self, _: web.Request) -> web.Response:
        self.probes += 1
        await asyncio.sleep(self.health_pause_s)
        return web.Response(status=self.health_status)

    async def _metrics(self, request: web.Request) -> web.Response:
        self.metrics_names.append(request.query.getall("name[]", []))
        if self.metrics_names[-1] and not self.filters_metrics:
            return web.Response(text="")
        if self.reported_load is None:
            return web.Response(status=404)
        running, waiting = self.reported_load
        labels = '{engine="0",model_name="' + self.model + '"}'
        return web.Response(
            text=f"# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.\n"
            f"# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {self.process_start_time}\n"
            f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{labels} {running}\n"
            f"# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{labels} {waiting}\n"
            f'vllm:num_requests_waiting_by_reason{{reason="capacity"}} {waiting}\n'
        )

    async def _models(self, _: web.Request) -> web.Response:
        card = {"id": self.model, "object": "model", "created": 1, "owned_by": "vllm", "root": "/m", "parent": None}
        data = [{**card, "max_model_len": 2048, "permission": []}]
        data += [
            {**card, "id": name, "root": path, "parent": self.model} for name, path in (self.adapters or {}).items()
        ]
        return web.json_response({"object": "list", "data": data})

    async def _change_adapters(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.paths.append(request.path)
        name, path = body["lora_name"], body.get("lora_path")
        if self.adapters is None:
            return web.json_response({"detail": "Not Found"}, status=404)
        if path == self.rejected_adapter if path else name not in self.adapters:
            return _error(404, f"No adapter found for '{path or name}'", "NotFoundError")
        if path is None:
            del self.adapters[name]
        else:
            self.adapters[name] = path
        return web.Response(text="Success.")

    async def _complete_batch(self, request: web.Request) -> web.StreamResponse:
        if not self.has_batch_route:
            self.paths.append(request.path)
            return web.json_response({"detail": "Not Found"}, status=404)
        if self.batch_reply:
            self.paths.append(request.path)
            return await self.batch_reply.send(request)
        messages = (await request.json()).get("messages")
        if not messages or not all(isinstance(chat, list) and chat for chat in messages):
            return _error(400, "1 validation error", "Bad Request", "body.messages")
        return await self._complete(request)

    async def _convert_tokens(self, request: web.Request) -> web.StreamResponse:
        """Tokenize or detokenize: a byte is a token, and a chat has as many as its completion states."""
        if not self.has_token_routes:
            return web.json_response({"detail": "Not Found"}, status=404)
        return await self._complete(request)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.bodies.append(body)
        self.paths.append(request.path)
        self.headers.append(request.headers)
        if self.replies:
            return await self.replies.send(request)
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        try:
            rejection = self._rejection(body, document)
        except _MALFORMED:
            rejection = _error(400, "1 validation error", "Bad Request")
        if rejection is not None:
            return rejection
        self.running += 1
        try:
            return await self._respond(request, document)
        except (asyncio.CancelledError, ConnectionResetError):
            self.aborted += 1
            raise
        finally:
            self.running -= 1

    def _rejection(self, body: bytes, request_body: dict[str, Any] | None) -> web.Response | None:
        if self.breaks_on and self.breaks_on in body.decode():
            return _error(500, "CUDA error", "InternalServerError")
        if self.fails_with:
            return web.Response(status=self.fails_with[0], text=self.fails_with[1], content_type="application/json")
        if request_body is None:
            return _error(400, "Invalid JSON", "BadRequestError")
        if request_body.get("model", self.model) != self.model:
            return _error(404, f"The model `{request_body['model']}` does not exist.", "NotFoundError")
        if request_body.get("temperature", 0) < 0:
            return _error(400, "temperature must be non-negative", "BadRequestError", "temperature")
        if "stream_options" in request_body and not self.knows_stream_options:
            return _error(400, "Unrecognized request argument supplied: stream_options", "BadRequestError")
        missing = self._first_missing_image(request_body, caches=self.paths[-1] != "/tokenize")
        if missing is None:
            return None
        return _error(400, f"Cache miss for image at index {missing} but data is not provided.", "BadRequestError")

    async def _respond(self, request: web.Request, request_body: dict[str, Any]) -> web.StreamResponse:
        assert request.transport is not None
        if self.resets:
            request.transport.abort()
        while self.hangs or (self.hangs_on and self.hangs_on in json.dumps(request_body)):
            await asyncio.sleep(0.01)
        if request.path in _OTHER_ROUTES:
            return _answer_other_route(request.path, request_body)
        chat = request.path.endswith("chat/completions")
        if request.path == BATCH_PATH:
            return await self._respond_to_batch(request_body)
        if request_body.get("stream"):
            return await self._stream(request, request_body, chat=chat)
        await asyncio.sleep(self.pause_s * len(WORDS))
        if self.slow and self.slow in json.dumps(request_body):
            await asyncio.sleep(0.5)
        text = self.says(request_body) if self.says else "".join(WORDS)
        if not text:
            return _error(400, "This cannot be answered.", "BadRequestError", "messages")
        return web.json_response(self._with_logprobs(_answer(self.model, text, chat=chat), request_body))

    async def _respond_to_batch(self, request_body: dict[str, Any]) -> web.Response:
        """Answer every chat, or reject the batch if one of them can't be answered."""
        await asyncio.sleep(self.pause_s * len(WORDS))
        if self.slow and self.slow in json.dumps(request_body):
            await asyncio.sleep(0.5)
        chats = [{**request_body, "messages": messages} for messages in request_body["messages"]]
        texts = [self.says(chat) if self.says else "".join(WORDS) for chat in chats]
        if not all(texts):
            return _error(400, "This cannot be answered.", "BadRequestError", "messages")
        return web.json_response(self._with_logprobs(_batch_answer(self.model, texts), request_body))

    def _with_logprobs(self, answer: dict[str, Any], request_body: dict[str, Any]) -> dict[str, Any]:
        if request_body.get("logprobs") is True:
            for choice in answer["choices"]:
                token = {"token": "x", "logprob": math.log(self.probability), "bytes": None, "top_logprobs": []}
                choice["logprobs"] = {"content": [token]}
        return answer

    def _first_missing_image(self, request_body: dict[str, Any], *, caches: bool) -> int | None:
        """Cache the images of a chat, and fill in those sent by id; return the index of the first unknown one.

        ``caches`` is false on routes that bypass the cache.
        """
        messages = request_body.get("messages") or []
        for chat in messages if messages and isinstance(messages[0], list) else [messages]:
            contents = [message["content"] for message in chat if isinstance(message["content"], list)]
            images = [part for content in contents for part in content if part["type"] == "image_url"]
            for index, part in enumerate(images):
                if part["image_url"] is None and (part["uuid"] not in self.known or not caches):
                    return index
                self.shown += part["image_url"] is not None
                if part.get("uuid") and caches:
                    part["image_url"] = self.known.setdefault(part["uuid"], part["image_url"])
        return None

    async def _stream(self, request: web.Request, request_body: dict[str, Any], *, chat: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        if self.streams_error:
            await response.write(b'data: {"error": {"message": "CUDA error", "type": "x", "code": 500}}\n\n')
            return response
        for number, event in enumerate(_events(self.model, self.words, request_body, chat=chat)):
            if number == self.dies_after:
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n")
            await asyncio.sleep(self.pause_s)
        await response.write(b"data: [DONE]\n\n")
        return response


def _embed(_: str, request_body: dict[str, Any]) -> web.Response:
    """Return an embedding for each text, or one for all messages; a word is a token."""
    if request_body.get("encoding_format") == "bytes":
        return web.Response(body=b"\0" * 8, content_type="application/octet-stream")
    texts = request_body.get("input", [str(request_body.get("messages") or request_body)])
    texts = [texts] if isinstance(texts, str) else texts
    vectors = [[float(len(text)), 0.5] for text in texts]
    data = [
        {"index": index, "object": "embedding", "embedding": _encoded(vector, request_body)}
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0}
    return web.json_response({**_head(request_body.get("model", MODEL), "list"), "data": data, "usage": usage})


def _convert_tokens(path: str, request_body: dict[str, Any]) -> web.Response:
    if path == "/detokenize":
        return web.json_response({"prompt": bytes(request_body["tokens"]).decode()})
    prompt = request_body.get("prompt")
    tokens = list(prompt.encode()) if prompt is not None else [0] * _usage()["prompt_tokens"]
    answer = {"count": len(tokens), "max_model_len": 2048, "tokens": tokens, "token_strs": None}
    return web.json_response(answer)


_MALFORMED = (AttributeError, KeyError, TypeError, ValueError)
"""Errors of a body with other types than those of the route, which vLLM's validation rejects."""
_OTHER_ROUTES = {
    "/tokenize": _convert_tokens,
    "/detokenize": _convert_tokens,
    "/v1/embeddings": _embed,
    "/v1/score": _embed,
}


def _answer_other_route(path: str, request_body: dict[str, Any]) -> web.Response:
    try:
        return _OTHER_ROUTES[path](path, request_body)
    except _MALFORMED:
        return _error(400, "1 validation error", "Bad Request")


def _encoded(vector: list[float], request_body: dict[str, Any]) -> list[float] | str:
    if request_body.get("encoding_format") != "base64":
        return vector
    return base64.b64encode(array.array("f", vector).tobytes()).decode()


def _usage() -> dict[str, int]:
    return {"prompt_tokens": 70, "total_tokens": 70 + len(WORDS), "completion_tokens": len(WORDS)}


def _head(model: str, object_type: str) -> dict[str, Any]:
    return {"id": "cmpl-1", "object": object_type, "created": int(time.time()), "model": model}


def _answer(model: str, text: str, *, chat: bool) -> dict[str, Any]:
    body = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    choice = {"index": 0, **body, "logprobs": None, "finish_reason": "stop", "stop_reason": None}
    object_type = "chat.completion" if chat else "text_completion"
    return {**_head(model, object_type), "choices": [choice], "usage": _usage(), "kv_transfer_params": None}


def _batch_answer(model: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return an answer with a choice for each chat. The usage is that of all chats, and a word is a token."""
    choices = [
        {**_answer(model, text, chat=True)["choices"][0], "index": index, "token_ids": list(range(len(text.split())))}
        for index, text in enumerate(texts)
    ]
    prompt, completion = 70 * len(texts), sum(len(choice["token_ids"]) for choice in choices)
    usage = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    return {**_answer(model, "", chat=True), "choices": choices, "usage": usage}


def _events(model: str, words: tuple[str, ...], request_body: dict[str, Any], *, chat: bool) -> list[dict[str, Any]]:
    head = _head(model, "chat.completion.chunk" if chat else "text_completion")
    pieces: list[dict[str, Any]] = [{"delta": {"role": "assistant", "content": ""}}] if chat else []
    pieces += [{"delta": {"content": word}} if chat else {"text": word} for word in words]
    events = [{**head, "choices": [{"index": 0, **piece, "finish_reason": None}]} for piece in pieces]
    events[-1]["choices"][0]["finish_reason"] = "stop"
    if (request_body.get("stream_options") or {}).get("include_usage"):
        events = [{**event, "usage": None} for event in events] + [{**head, "choices": [], "usage": _usage()}]
    return events


def _error(status: int, message: str, error_type: str, param: str | None = None) -> web.Response:
    error = {"message": message, "type": error_type, "param": param, "code": status}
    return web.json_response({"error": error}, status=status)


@asynccontextmanager
async def fake_worker(*, port: int = 0, **behavior: Any) -> AsyncIterator[FakeWorker]:
    """Start a fake worker on a loopback port; with 0, on a free one."""
    worker = FakeWorker(**behavior)
    app = web.Application(client_max_size=256 * 2**20)
    app.router.add_get("/health", worker._health)
    app.router.add_get("/v1/models", worker._models)
    app.router.add_get("/metrics", worker._metrics)
    app.router.add_post("/v1/chat/completions", worker._complete)
    app.router.add_post(BATCH_PATH, worker._complete_batch)
    for path in ("/v1/completions", "/v1/embeddings", "/v1/score"):
        app.router.add_post(path, worker._complete)
    for path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
        app.router.add_post(path, worker._change_adapters)
    for path in ("/tokenize", "/detokenize"):
        app.router.add_post(path, worker._convert_tokens)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
        await site.start()
        worker.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield worker
    finally:
        await runner.cleanup()
