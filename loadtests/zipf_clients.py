"""Concurrent clients that ask about images whose popularity follows Zipf's law."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
from PIL import Image

from harness import Start, mock_worker, vllm_worker
from sarlens.runtime.child_process import ManagedProcess


@dataclass
class Fleet:
    """Worker processes and their URLs."""

    urls: list[str] = field(default_factory=list)
    processes: list[ManagedProcess] = field(default_factory=list)

    def add(self, start: Start, *options: str) -> None:
        """Start a mock worker."""
        self._keep(mock_worker(start, f"worker-{len(self.urls)}", *options))

    def add_real(self, start: Start, model: Path) -> None:
        """Start a vLLM worker on the CPU."""
        self._keep(vllm_worker(start, f"worker-{len(self.urls)}", model))

    def begin(self, number: int, fault: str) -> None:
        """Start a fault of a mock worker."""
        request = urllib.request.Request(f"{self.urls[number]}/fault", fault.encode(), method="POST")
        urllib.request.urlopen(request).close()

    def counts(self) -> list[dict[str, int]]:
        """Return the counts of each mock worker."""
        counts = []
        for url in self.urls:
            with urllib.request.urlopen(f"{url}/count") as response:
                counts.append(json.load(response))
        return counts

    def _keep(self, worker: tuple[str, ManagedProcess]) -> None:
        self.urls.append(worker[0])
        self.processes.append(worker[1])


def png(number: int) -> bytes:
    """Return a small image that differs for each number."""
    buffer = io.BytesIO()
    image = Image.new("L", (16, 16))
    image.putpixel((0, 0), number % 251)
    image.putpixel((1, 0), number // 251)
    image.save(buffer, "png")
    return buffer.getvalue()


def data_url(number: int) -> str:
    """Return the data URL of ``png(number)``."""
    return f"data:image/png;base64,{base64.b64encode(png(number)).decode()}"


def zipf(count: int, images: int, seed: int = 0) -> list[int]:
    """Return the image number of each of ``count`` questions; the n-th most popular has a weight of 1/n."""
    weights = 1 / np.arange(1, images + 1)
    chosen = np.random.default_rng(seed).choice(images, size=count, p=weights / weights.sum())
    return [int(number) for number in chosen]


@dataclass
class Results:
    """Results of a run."""

    statuses: Counter[int] = field(default_factory=Counter)
    """Number of responses by status."""
    cut: int = 0
    """Number of streams that broke off."""
    seconds: list[tuple[int, float]] = field(default_factory=list)
    """Status and duration of each response."""
    failures: list[bytes] = field(default_factory=list)
    """Bodies of the responses that failed."""


async def ask_each(
    url: str,
    numbers: list[int],
    *,
    callers: int,
    streams: bool,
    midway: Callable[[], None] = lambda: None,
    image: Callable[[int], str] = data_url,
) -> Results:
    """Ask about each image, whose URL ``image`` returns; call ``midway`` after a quarter of the requests."""
    results = Results()
    sent = 0
    remaining = iter(numbers)
    urls = {number: image(number) for number in set(numbers)}
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def caller() -> None:
            nonlocal sent
            for number in remaining:
                sent += 1
                if sent == len(numbers) // 4:
                    midway()
                content = [
                    {"type": "image_url", "image_url": {"url": urls[number]}},
                    {"type": "text", "text": "How many ships are in the image?"},
                ]
                stream = streams and sent % 2 == 0
                body = {"model": "sarlens-nano", "messages": [{"role": "user", "content": content}], "stream": stream}
                body |= {"max_tokens": 8, "temperature": 0}
                began = loop.time()
                async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                    answer = await response.read()
                results.statuses[response.status] += 1
                if response.status != 200:
                    results.failures.append(answer)
                results.cut += stream and response.status == 200 and b"[DONE]" not in answer
                results.seconds.append((response.status, loop.time() - began))

        await asyncio.gather(*(caller() for _ in range(callers)))
    return results
