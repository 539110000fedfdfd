"""Callers who ask about pictures, as many of one as Zipf's law says."""

from __future__ import annotations

import asyncio
import base64
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
from PIL import Image

from sarlens.child import Child
from stand import Start, pretend_worker, vllm_worker


@dataclass
class Fleet:
    """Workers, each a process."""

    urls: list[str] = field(default_factory=list)
    processes: list[Child] = field(default_factory=list)

    def add(self, start: Start, *options: str) -> None:
        """Start one more."""
        self._keep(pretend_worker(start, f"worker-{len(self.urls)}", *options))

    def add_real(self, start: Start, model: Path) -> None:
        """Start one more, a real vLLM worker on the CPU."""
        self._keep(vllm_worker(start, f"worker-{len(self.urls)}", model))

    def _keep(self, worker: tuple[str, Child]) -> None:
        self.urls.append(worker[0])
        self.processes.append(worker[1])


def png(number: int) -> bytes:
    """One of many small pictures."""
    held = io.BytesIO()
    image = Image.new("L", (16, 16))
    image.putpixel((0, 0), number % 251)
    image.putpixel((1, 0), number // 251)
    image.save(held, "png")
    return held.getvalue()


def picture(number: int) -> str:
    """A data URL of one of them."""
    return f"data:image/png;base64,{base64.b64encode(png(number)).decode()}"


def zipf(count: int, pictures: int, seed: int = 0) -> list[int]:
    """Which picture each of ``count`` questions is about; the n-th most asked comes in proportion to 1/n."""
    weights = 1 / np.arange(1, pictures + 1)
    chosen = np.random.default_rng(seed).choice(pictures, size=count, p=weights / weights.sum())
    return [int(number) for number in chosen]


@dataclass
class Told:
    """What callers were told: statuses, streams that broke midway, and the seconds of each answer."""

    statuses: Counter[int] = field(default_factory=Counter)
    cut: int = 0
    seconds: list[tuple[int, float]] = field(default_factory=list)


async def ask_each(
    url: str,
    numbers: list[int],
    *,
    callers: int,
    streams: bool,
    midway: Callable[[], None] = lambda: None,
    image: Callable[[int], str] = picture,
) -> Told:
    """Ask about each picture, which ``image`` gives the URL of; ``midway`` is called when a quarter has been asked."""
    told = Told()
    asked = 0
    waiting = iter(numbers)
    pictures = {number: image(number) for number in set(numbers)}
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def caller() -> None:
            nonlocal asked
            for number in waiting:
                asked += 1
                if asked == len(numbers) // 4:
                    midway()
                content = [
                    {"type": "image_url", "image_url": {"url": pictures[number]}},
                    {"type": "text", "text": "How many ships are in the image?"},
                ]
                stream = streams and asked % 2 == 0
                body = {"model": "sarlens-nano", "messages": [{"role": "user", "content": content}], "stream": stream}
                body |= {"max_tokens": 8, "temperature": 0}
                began = loop.time()
                async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                    answer = await response.read()
                told.statuses[response.status] += 1
                told.cut += stream and response.status == 200 and b"[DONE]" not in answer
                told.seconds.append((response.status, loop.time() - began))

        await asyncio.gather(*(caller() for _ in range(callers)))
    return told
