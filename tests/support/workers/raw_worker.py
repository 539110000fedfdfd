"""A worker that answers with raw bytes, to test its client; it runs in the loop of the test."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return a chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def into(pieces: list[bytes]) -> Callable[[bytes], bool]:
    """Return a writer for ``forward`` that keeps all bytes in a list."""

    def write(data: bytes) -> bool:
        pieces.append(data)
        return True

    return write


@dataclass
class Call:
    """A request that the worker received."""

    connection: int
    """Number of the connection, from 0."""
    head: bytes
    body: bytes
    writer: asyncio.StreamWriter = field(repr=False)

    async def write(self, *pieces: bytes) -> None:
        """Send pieces of a response, each in a packet of its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.005)


Answer = Callable[[Call], Awaitable[None]]


@dataclass
class RawWorker:
    """A running worker."""

    answer: Answer
    port: int = 0
    calls: list[Call] = field(default_factory=list)
    opened: int = 0
    """Number of connections so far."""
    ended: int = 0
    """Number of connections that the client ended."""
    tasks: list[asyncio.Task[None] | None] = field(default_factory=list)
    """Tasks of the connections."""

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection until the answer closes it, or its client does."""
        number, self.opened = self.opened, self.opened + 1
        self.tasks.append(asyncio.current_task())
        with suppress(ConnectionError, asyncio.CancelledError):
            while not writer.is_closing():
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except asyncio.IncompleteReadError:
                    self.ended += 1
                    break
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or b"0")
                call = Call(number, head, await reader.readexactly(length), writer)
                self.calls.append(call)
                await self.answer(call)
        writer.close()


@asynccontextmanager
async def raw_worker(
    answer: Answer, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[RawWorker]:
    """Start a worker that calls ``answer`` for each request."""
    worker = RawWorker(answer)
    server = await asyncio.start_server(worker.serve, host, 0, ssl=tls)
    worker.port = server.sockets[0].getsockname()[1]
    try:
        yield worker
    finally:
        server.close()
        for task in worker.tasks:
            if task is not None:
                task.cancel()


async def answer_once(call: Call) -> None:
    """Answer with an empty JSON object."""
    call.writer.write(ANSWER)
