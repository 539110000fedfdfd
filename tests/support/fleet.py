"""A gateway with several fake workers, and requests to it."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
from PIL import Image

from sarlens.settings import RoutingSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.workers.fake_worker import MODEL, FakeWorker, fake_worker


def question(number: int = 0, text: str = "How many ships?", **more: Any) -> dict[str, Any]:
    """Return a chat about one of many images, with the text before the image."""
    buffer = io.BytesIO()
    Image.new("L", (64, 64), number % 256).save(buffer, "png", pnginfo=None)
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue() + str(number).encode()).decode()}"
    content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **more}


async def ask(http: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> tuple[int, bytes]:
    """Send a chat; return the status and the whole body."""
    async with http.post(f"{url}/v1/chat/completions", json=body) as response:
        return response.status, await response.read()


@asynccontextmanager
async def fleet(
    number: int, routing: RoutingSettings | None = None, **worker: Any
) -> AsyncIterator[tuple[str, list[FakeWorker], aiohttp.ClientSession]]:
    """Start a gateway with several fake workers."""
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(fake_worker()) for _ in range(number)]
        given = WorkerSettings(urls=tuple(each.url for each in workers), **{"probe_interval_s": 60, **worker})
        url = await stack.enter_async_context(
            gateway(Settings(worker=given, routing=routing or RoutingSettings(max_retry_budget=10_000)))
        )
        connector = aiohttp.TCPConnector(limit=0)
        yield url, workers, await stack.enter_async_context(aiohttp.ClientSession(connector=connector))


async def metric(http: aiohttp.ClientSession, url: str, start: str) -> float:
    """Return the sum of the samples whose line begins with ``start``."""
    async with http.get(f"{url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))
