"""A real HTTP endpoint that speaks as an OpenAI-compatible server does, answers as it is told, and can misbehave."""

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
Misbehaviour = Callable[[Body], web.Response | None]


@dataclass
class Oracle:
    """What it was asked, and how it behaves."""

    answer: Callable[[str], str] = lambda _: "Yes"
    """From a prompt to an answer."""
    misbehave: Misbehaviour = lambda _: None
    """From a body to a response other than an answer, or None."""
    pause_s: float = 0.0
    port: int = 0
    bodies: list[Body] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def asked(self) -> Counter[str]:
        """How often each prompt came about each picture."""
        return Counter(f"{picture_url(body)} {prompt(body)}" for body in self.bodies)

    async def complete(self, request: web.Request) -> web.Response:
        """POST /v1/chat/completions."""
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization"))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.pause_s)
            return self.misbehave(body) or completion(self.answer(prompt(body)))
        finally:
            self.running -= 1


def prompt(body: Body) -> str:
    """The text of a chat body."""
    return next(str(part["text"]) for part in body["messages"][0]["content"] if part["type"] == "text")


def picture_url(body: Body) -> str:
    """The URL of a chat body's picture."""
    return str(body["messages"][0]["content"][0]["image_url"]["url"])


def picture(body: Body) -> bytes:
    """The bytes of a chat body's picture."""
    return base64.b64decode(picture_url(body).partition(",")[2])


def completion(text: str | None) -> web.Response:
    """A chat completion."""
    message = {"role": "assistant", "content": text}
    return web.json_response({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


def error(status: int, sentence: str) -> web.Response:
    """An OpenAI error object."""
    return web.json_response({"error": {"message": sentence, "type": "server_error"}}, status=status)


def first(times: int, response: Callable[[], web.Response]) -> Misbehaviour:
    """Misbehave that many times, then answer."""
    seen: Counter[None] = Counter()

    def misbehave(_: Body) -> web.Response | None:
        seen[None] += 1
        return response() if seen[None] <= times else None

    return misbehave


@asynccontextmanager
async def serving(oracle: Oracle) -> AsyncIterator[Oracle]:
    """Listen on the oracle's port, a free one where it has none yet."""
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
