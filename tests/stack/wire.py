"""A wire to a server that counts the bytes and connections on it, and can fall silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass


@dataclass
class Wire:
    """``received`` counts bytes that came from the server, ``sent`` those that went to it."""

    url: str = ""
    received: int = 0
    sent: int = 0
    connections: int = 0
    silent: bool = False


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """A wire to an ``http://host:port`` server; while it is silent, nothing gets through."""
    seen = Wire()
    host, port = url.removeprefix("http://").split(":")

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                while seen.silent:
                    await asyncio.sleep(0.01)
                seen.received += len(data) if back else 0
                seen.sent += 0 if back else len(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(carry(reader, far_writer, back=False), carry(far_reader, writer, back=True))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    seen.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield seen
    finally:
        seen.silent = False
        server.close()
