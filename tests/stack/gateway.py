"""A gateway on a free port, in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from sarlens.serve import GatewayServer, listen
from sarlens.settings import Settings
from sarlens.wiring import open_gateway


@asynccontextmanager
async def gateway(settings: Settings, *, ready: bool = True) -> AsyncIterator[str]:
    """Serve with these settings and yield the base URL, when a worker answers if ``ready``."""
    taken = listen("127.0.0.1", 0)
    async with open_gateway(settings) as app:
        server = GatewayServer(app, drain_s=1)
        serving = asyncio.create_task(server._serve(sockets=[taken]))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        try:
            await until_it_answers(f"{url}/{'readyz' if ready else 'healthz'}")
            yield url
        finally:
            server.should_exit = True
            await serving


async def until_it_answers(url: str) -> None:
    """Wait until a page answers 200."""
    async with asyncio.timeout(120), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.02)
