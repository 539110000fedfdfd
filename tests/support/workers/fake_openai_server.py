"""Fake OpenAI-compatible server with configurable answers and faults."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Body = dict[str, Any]
Fault = Callable[[Body], web.Response | None]


@dataclass
class FakeOpenAIServer:
    """The requests that the server received, and its configured behavior."""

    answer: Callable[[str], str] = lambda _: "Yes"
    """Returns the answer to a prompt."""
    misbehave: Fault = lambda _: None
    """Returns a response in place of the answer to a body, or None."""
    pause_s: float = 0.0
    """Time of a response, in seconds."""
    port: int = 0
    bodies: list[Body] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    running: int = 0
    max_running: int = 0
    """Maximum number of concurrent requests."""

    @property
    def url(self) -> str:
        """Base URL of the API."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def asked(self) -> Counter[str]:
        """Number of requests by image URL and prompt."""
        return Counter(f"{picture_url(body)} {prompt(body)}" for body in self.bodies)

    async def complete(self, request: web.Request) -> web.Response:
        """POST /v1/chat/completions."""
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization"))
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        try:
            await asyncio.sleep(self.pause_s)
            return self.misbehave(body) or completion(self.answer(prompt(body)))
        finally:
            self.running -= 1


def prompt(body: Body) -> str:
    """Return the text of a chat body."""
    return next(str(part["text"]) for part in body["messages"][0]["content"] if part["type"] == "text")


def picture_url(body: Body) -> str:
    """Return the URL of the image of a chat body."""
    return str(body["messages"][0]["content"][0]["image_url"]["url"])


def picture(body: Body) -> bytes:
    """Return the bytes of the image of a chat body."""
    return base64.b64decode(picture_url(body).partition(",")[2])


def completion(text: str | None, finish_reason: str = "stop", **message: str) -> web.Response:
    """Return a chat completion; ``message`` has further fields, such as a refusal."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": finish_reason,
    }
    return web.json_response({"choices": [choice]})


def error(status: int, sentence: str) -> web.Response:
    """Return an OpenAI error object."""
    return web.json_response({"error": {"message": sentence, "type": "server_error"}}, status=status)


def first(times: int, response: Callable[[], web.Response]) -> Fault:
    """Return the response to the first requests, then answer."""
    seen: Counter[None] = Counter()

    def misbehave(_: Body) -> web.Response | None:
        seen[None] += 1
        return response() if seen[None] <= times else None

    return misbehave


@asynccontextmanager
async def serving(oracle: FakeOpenAIServer) -> AsyncIterator[FakeOpenAIServer]:
    """Run the server on its port, or on a free one if the port is 0."""
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/chat/completions", oracle.complete)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", oracle.port, reuse_address=True)
    await site.start()
    oracle.port = runner.addresses[0][1]
    try:
        yield oracle
    finally:
        await runner.cleanup()
