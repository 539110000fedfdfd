"""Fake worker that holds thousands of streams: raw HTTP/1.1, a token per stream and interval.

``python stream_worker.py PORT INTERVAL_S``. ``POST /interval``, with seconds in its body, changes the interval.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from collections import deque
from typing import cast

import orjson
import uvloop

_MODEL = {"id": "sarlens-nano", "object": "model", "created": 1, "owned_by": "vllm", "max_model_len": 2048}
_HEAD = {"id": "chatcmpl-1", "created": 1, "model": "sarlens-nano", "object": "chat.completion.chunk"}
_MODELS = orjson.dumps({"object": "list", "data": [_MODEL]})
_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_TICK_S = 0.02


def event(delta: dict[str, str]) -> bytes:
    """Return a chunk of HTTP with one event."""
    choices = [{"index": 0, "delta": delta, "finish_reason": None}]
    data = b"data: " + orjson.dumps({**_HEAD, "choices": choices}) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


_FIRST, _TOKEN = event({"role": "assistant", "content": ""}), event({"content": "3"})


class StreamWorker:
    """The open streams, in the order in which their tokens are due."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._streams: deque[asyncio.Transport] = deque()
        self._due = 0.0

    def set_interval(self, interval_s: float) -> None:
        """Set the seconds between two tokens of a stream."""
        self._interval_s, self._due = interval_s, 0.0

    def add(self, transport: asyncio.Transport) -> None:
        """Begin a stream."""
        transport.write(_STREAM + _FIRST)
        self._streams.append(transport)

    async def run_forever(self) -> None:
        """Send tokens at a steady rate, to each stream in its turn."""
        while True:
            await asyncio.sleep(_TICK_S)
            self._due += len(self._streams) * _TICK_S / self._interval_s
            while self._due >= 1 and self._streams:
                self._due -= 1
                transport = self._streams.popleft()
                if not transport.is_closing():
                    transport.write(_TOKEN)
                    self._streams.append(transport)


class Connection(asyncio.Protocol):
    """One connection of the gateway; a request is a head and a body with a length."""

    def __init__(self, worker: StreamWorker) -> None:
        self._worker = worker
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Respond to a complete request."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        if not separator or len(body) < int(length or 0):
            return
        self._received = b""
        path = head.split(b" ", 2)[1]
        if path.endswith(b"/completions"):
            self._worker.add(self._transport)
            return
        if path == b"/interval":
            self._worker.set_interval(float(body))
        answer = _MODELS if path == b"/v1/models" else b"{}"
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer)
        )


async def serve(port: int, interval_s: float) -> None:
    """Serve until the process ends."""
    worker = StreamWorker(interval_s)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(worker), "127.0.0.1", port, backlog=4096)
    async with server:
        await worker.run_forever()


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
