"""TCP server that returns fixed bytes, to test clients against faulty stores and hosts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class CannedServer:
    """A running server."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    """Request lines and headers of the requests."""


@asynccontextmanager
async def canned(
    *answers: bytes, tls: ssl.SSLContext | None = None, lingers: bool = False
) -> AsyncIterator[CannedServer]:
    """Return one of ``answers`` per request, then repeat the last one.

    The server closes each connection after the response, unless it ``lingers`` until the end of the test.
    """
    server = CannedServer()
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            server.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(answers[min(len(server.asked), len(answers)) - 1])
            await writer.drain()
            if lingers:
                await ended.wait()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        ended.set()
        listener.close()


def http(status: int, body: bytes = b"", headers: Sequence[str] = (), *, length: int | None = None) -> bytes:
    """Return an HTTP response; ``length`` replaces the length of the body in Content-Length."""
    size = len(body) if length is None else length
    head = [f"HTTP/1.1 {status} Status", f"Content-Length: {size}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body
