"""Gateway on a free port, in the event loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from sarlens.bootstrap.gateway import open_gateway
from sarlens.devstack.ports import free_port
from sarlens.server.management import serve_management
from sarlens.server.server import GatewayServer, bind_management_socket, bind_socket
from sarlens.settings import GrpcSettings, Settings, WorkerSettings


@asynccontextmanager
async def gateway(settings: Settings, *, ready: bool = True, ready_workers: int = 0) -> AsyncIterator[str]:
    """Serve with these settings and yield the base URL.

    If ``ready``, wait until a worker is ready; with ``ready_workers``, until that many are.
    """
    listener = bind_socket("127.0.0.1", 0)
    management = bind_management_socket(settings)
    async with open_gateway(settings) as app, serve_management(app.management, management):
        server = GatewayServer(app, settings.server, drain_timeout_s=1)
        serving = asyncio.create_task(server._serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            await until_it_answers(f"{url}/{'health' if ready else 'healthz'}")
            await until_ready(url, ready_workers)
            yield url
        finally:
            server.should_exit = True
            await serving


async def until_ready(url: str, count: int) -> None:
    """Wait until a gateway reports at least ``count`` ready workers in its metrics."""
    async with asyncio.timeout(120), aiohttp.ClientSession() as session:
        while count:
            async with session.get(f"{url}/metrics") as response:
                lines = (await response.text()).splitlines()
            if sum(line.startswith("sarlens_worker_ready{") and line.endswith(" 1.0") for line in lines) >= count:
                return
            await asyncio.sleep(0.02)


async def until_it_answers(url: str) -> None:
    """Wait until a URL returns status 200."""
    async with asyncio.timeout(120), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class GatewayAddresses:
    """Addresses of a gateway: the base URL of REST, and host and port of gRPC."""

    url: str
    rpc: str


@asynccontextmanager
async def grpc_gateway(worker_url: str) -> AsyncIterator[GatewayAddresses]:
    """A gateway with gRPC in front of a worker."""
    port = free_port()
    settings = Settings(worker=WorkerSettings(urls=(worker_url,)), grpc=GrpcSettings(port=port))
    async with gateway(settings) as url:
        yield GatewayAddresses(url, f"127.0.0.1:{port}")
