"""HTTP load generator with little overhead: prepared requests on persistent connections."""

from __future__ import annotations

import asyncio
from typing import cast
from urllib.parse import urlsplit


class _Connection(asyncio.Protocol):
    """Connection that sends one request after another until ``remaining`` is 0."""

    def __init__(self, request: bytes, remaining: list[int]) -> None:
        self._request = request
        self._remaining = remaining
        self._buffer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        headers = head.lower()
        if b"chunked" in headers:
            complete = body.endswith(b"0\r\n\r\n")
        else:
            complete = len(body) >= int(headers.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if complete:
            assert b" 200 " in head.split(b"\r\n", 1)[0], self._buffer[:300]
            self._buffer = b""
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError())

    def _next(self) -> None:
        if self._remaining[0] <= 0:
            if not self.done.done():
                self.done.set_result(None)
            self._transport.close()
            return
        self._remaining[0] -= 1
        self._transport.write(self._request)


async def hammer(url: str, path: str, body: bytes, *, requests: int, callers: int) -> float:
    """Send ``requests`` requests, ``callers`` at a time; return the responses per second."""
    parts = urlsplit(url)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    remaining = [requests]
    loop = asyncio.get_running_loop()
    began = loop.time()
    connections = [
        (
            await loop.create_connection(
                lambda: _Connection(head.encode() + body, remaining), parts.hostname or "", parts.port or 80
            )
        )[1]
        for _ in range(callers)
    ]
    await asyncio.gather(*(connection.done for connection in connections))
    return requests / (loop.time() - began)
