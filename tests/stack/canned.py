"""A server that says what it is told to, byte for byte, so that a client meets stores and hosts that misbehave."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Canned:
    """``asked`` are the requests it had, headers only."""

    port: int = 0
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def canned(*answers: bytes, tls: ssl.SSLContext | None = None, lingers: bool = False) -> AsyncIterator[Canned]:
    """Give one answer for each request, the last one again and again; hang up after each unless it ``lingers``."""
    server = Canned()
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            server.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(answers[min(len(server.asked), len(answers)) - 1])
            await writer.drain()
            if lingers:
                await over.wait()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        over.set()
        listening.close()


def http(status: int, body: bytes = b"", headers: Sequence[str] = (), *, length: int | None = None) -> bytes:
    """An HTTP answer; ``length`` is what it promises instead of the length of the body."""
    size = len(body) if length is None else length
    head = [f"HTTP/1.1 {status} Status", f"Content-Length: {size}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body
