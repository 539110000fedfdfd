"""TCP proxy that counts bytes and connections, and can stop forwarding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass


@dataclass
class TcpProxy:
    """A running proxy."""

    url: str = ""
    received: int = 0
    """Bytes from the server."""
    sent: int = 0
    """Bytes to the server."""
    connections: int = 0
    silent: bool = False
    """Whether the proxy stops forwarding."""


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[TcpProxy]:
    """Run a proxy to an ``http://host:port`` server."""
    proxy = TcpProxy()
    host, port = url.removeprefix("http://").split(":")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_server: bool) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                while proxy.silent:
                    await asyncio.sleep(0.01)
                proxy.received += len(data) if from_server else 0
                proxy.sent += 0 if from_server else len(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        proxy.connections += 1
        server_reader, server_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(
            forward(reader, server_writer, from_server=False), forward(server_reader, writer, from_server=True)
        )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        proxy.silent = False
        server.close()
