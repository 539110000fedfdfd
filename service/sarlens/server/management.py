"""The server of the management port, in the process of the gateway."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from sarlens.api.app.asgi import GatewayApp
from sarlens.server.uvicorn_config import uvicorn_config


@asynccontextmanager
async def serve_management(app: GatewayApp | None, sock: socket.socket | None) -> AsyncIterator[None]:
    """Serve the management port within the block, also while the gateway drains; without a socket, do nothing."""
    if app is None or sock is None:
        yield
        return
    server = _ManagementServer(app)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _ManagementServer(uvicorn.Server):
    """A server that leaves signals to that of the gateway."""

    def __init__(self, app: GatewayApp) -> None:
        super().__init__(uvicorn_config(app, "httptools"))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
