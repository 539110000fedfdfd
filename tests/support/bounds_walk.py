"""Requests to a measured gateway, each with bounds on the pause of its event loop, its memory and its status."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from support.measured_gateway import MeasuredGateway, measured_gateway
from support.workers.fake_worker import fake_worker

MAX_PAUSE_S = 0.05
MAX_GROWTH_BYTES = 512 * 2**20
MAX_ERROR_BYTES = 64 * 2**10


@asynccontextmanager
async def bounded_gateway(**settings: Any) -> AsyncIterator[MeasuredGateway]:
    """Start a gateway in front of a worker that rejects everything."""
    rejection = (400, json.dumps({"error": {"message": "no"}}))
    async with (
        fake_worker(fails_with=rejection) as worker,
        measured_gateway(worker={"urls": [worker.url]}, **settings) as gateway,
    ):
        yield gateway


@dataclass
class Walk:
    """Requests to a gateway, and those that broke a bound."""

    gateway: MeasuredGateway
    idle_bytes: int
    requests: int = 0
    longest_s: float = 0.0
    peak_growth: int = 0
    failures: list[str] = field(default_factory=list)

    async def check(self, name: str, request: Callable[[], Awaitable[int]]) -> None:
        """Send a request up to six times, until the pause is within its bound; other processes slow the memory."""
        self.requests += 1
        for _ in range(6):
            await self.gateway.pause()
            status = await request()
            pause = await self.gateway.pause()
            if pause.seconds <= MAX_PAUSE_S:
                break
        growth = pause.peak_bytes - self.idle_bytes
        self.longest_s, self.peak_growth = max(self.longest_s, pause.seconds), max(self.peak_growth, growth)
        if pause.seconds > MAX_PAUSE_S or growth > MAX_GROWTH_BYTES or status >= 500:
            self.failures.append(f"{name}: {status}, {1000 * pause.seconds:.0f} ms, {growth >> 20} MiB")

    async def post(self, path: str, bodies: Iterable[tuple[str, bytes]]) -> None:
        """Check a route with bodies."""
        for name, body in bodies:

            async def request(body: bytes = body) -> int:
                async with self.gateway.http.post(self.gateway.url + path, data=body) as response:
                    assert len(await response.read()) < MAX_ERROR_BYTES
                    return response.status

            await self.check(f"POST {path} {name}", request)


@asynccontextmanager
async def walk(**settings: Any) -> AsyncIterator[Walk]:
    """Start a gateway to walk through, and assert that no request broke a bound."""
    async with bounded_gateway(**settings) as gateway:
        await gateway.pause()
        walked = Walk(gateway, (await gateway.pause()).peak_bytes)
        yield walked
    figures = f"longest pause {1000 * walked.longest_s:.0f} ms, peak +{walked.peak_growth >> 20} MiB"
    print(f"{walked.requests} requests: {figures}")
    assert walked.failures == []
