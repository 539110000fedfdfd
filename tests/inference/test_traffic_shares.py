"""Shares of the traffic, counted at the workers behind a gateway."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import aiohttp
import pytest

from sarlens.routing.policy import Policy
from sarlens.settings import RoutingSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.workers.fake_worker import MODEL, fake_worker

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Any ships?"}]}


@pytest.mark.parametrize("policy", ["affinity", "least_load", "round_robin"])
@pytest.mark.parametrize("callers", [1, 5])
async def test_an_idle_canary_gets_its_share(policy: Policy, callers: int) -> None:
    """Of 105 chats to workers of weights 1, 1 and 0.1, sequential or from five callers, the last gets five."""
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(fake_worker()) for _ in range(3)]
        urls = tuple(worker.url for worker in workers)
        url = await stack.enter_async_context(
            gateway(
                Settings(
                    worker=WorkerSettings(urls=urls, weights={urls[2]: 0.1}, probe_interval_s=0.05),
                    routing=RoutingSettings(policy=policy),
                ),
                ready_workers=3,
            )
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def send(count: int) -> None:
            for _ in range(count):
                async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
                    assert response.status == 200

        await asyncio.gather(*(send(105 // callers) for _ in range(callers)))
        first, second, canary = (len(worker.bodies) for worker in workers)
        assert canary == pytest.approx(5, abs=1)
        assert first == pytest.approx(50, abs=4)
        assert first + second + canary == 105
