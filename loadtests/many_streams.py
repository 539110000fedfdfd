"""Thousands of open streams through one gateway: its memory a stream, and its CPU time an idle stream and a token.

The worker (``stream_worker.py``) sends each stream a token every few seconds. Each stream needs two file descriptors of
the gateway, so the hard limit must be a little more than twice the number of streams.

    .venv/bin/python loadtests/many_streams.py --streams 10000
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import aiohttp
import orjson
import uvloop

from harness import memory_mb, print_machine, run_ms, sarlens, starter, stream_worker
from sarlens.runtime.child_process import ManagedProcess

_BODY = orjson.dumps(
    {"model": "sarlens-nano", "messages": [{"role": "user", "content": "x" * 900}], "stream": True, "max_tokens": 9999}
)
_NEVER_S = 1e9
_CONNECTS_AT_ONCE = 100
_SPARE_FILES = 64
"""File descriptors of a gateway other than those of streams."""


@dataclass
class Tally:
    """The figures of all streams."""

    begun: int = 0
    tokens: int = 0
    failures: list[str] = field(default_factory=list)


class Stream(asyncio.Protocol):
    """One stream. It fails if its status isn't 200, or if it ends before ``close``."""

    def __init__(self, tally: Tally, request: bytes) -> None:
        self._tally = tally
        self._request = request
        self._begun = self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count the events; the first piece of the response has the status."""
        if not self._begun:
            if not data.startswith(b"HTTP/1.1 200"):
                self._tally.failures.append(data[:300].decode(errors="replace"))
            self._begun = True
            self._tally.begun += 1
        self._tally.tokens += data.count(b"data: ")

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a stream that the gateway ended."""
        if not self._closed:
            self._tally.failures.append(f"the stream ended: {exc}")

    def close(self) -> None:
        """End the stream."""
        self._closed = True
        self._transport.abort()


async def open_streams(url: str, tally: Tally, count: int) -> list[Stream]:
    """Open streams, some at a time, and wait until all have begun."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    host, port = parts.hostname or "", parts.port or 80
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(_BODY)}\r\n\r\n".encode() + _BODY
    streams = [Stream(tally, request) for _ in range(count)]
    for start in range(0, count, _CONNECTS_AT_ONCE):
        some = streams[start : start + _CONNECTS_AT_ONCE]
        await asyncio.gather(
            *(loop.create_connection(lambda stream=stream: stream, host, port) for stream in some)  # type: ignore[misc]
        )
        while tally.begun < start + len(some):
            await asyncio.sleep(0.01)
            _raise_failures(tally)
    return streams


def _raise_failures(tally: Tally) -> None:
    if tally.failures:
        raise SystemExit(f"{len(tally.failures)} of {tally.begun} streams failed; the first one: {tally.failures[0]}")


class Measurement:
    """One gateway, its worker and the sums of its streams."""

    def __init__(self, url: str, worker_url: str, gateway: ManagedProcess, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._worker_url = worker_url
        self._gateway = gateway
        self._session = session
        self.tally = Tally()

    async def set_interval(self, seconds: float) -> None:
        """Let the worker send a token to each stream in this time."""
        async with self._session.post(f"{self._worker_url}/interval", data=str(seconds).encode()) as response:
            assert response.status == 200

    async def cpu_ms_per_s(self, seconds: float) -> tuple[float, int]:
        """Return the CPU time of the gateway in ms a second, and the tokens that arrived."""
        before, tokens, began = run_ms(self._gateway), self.tally.tokens, asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        spent_ms = run_ms(self._gateway) - before
        return spent_ms / (asyncio.get_running_loop().time() - began), self.tally.tokens - tokens

    async def healthz_ms(self, requests: int = 50) -> list[float]:
        """Return the times of requests next to the streams, in ms, ascending."""
        times = []
        for _ in range(requests):
            began = asyncio.get_running_loop().time()
            async with self._session.get(f"{self._url}/healthz") as response:
                assert response.status == 200
            times.append(1000 * (asyncio.get_running_loop().time() - began))
            await asyncio.sleep(0.05)
        return sorted(times)

    async def run(self, count: int, interval_s: float, seconds: float) -> None:
        """Open the streams, measure them without and with tokens, and print the figures."""
        await self.set_interval(_NEVER_S)
        streams = await open_streams(self._url, self.tally, warm := 100)
        for stream in streams:
            stream.close()
        await asyncio.sleep(2)
        without_ms, _ = await self.cpu_ms_per_s(seconds)
        before_mb, self.tally.begun = memory_mb(self._gateway), 0
        opened_at, opened_ms = asyncio.get_running_loop().time(), run_ms(self._gateway)
        streams = await open_streams(self._url, self.tally, count)
        opened_ms = run_ms(self._gateway) - opened_ms
        print_machine()
        print(f"{count} streams open after {asyncio.get_running_loop().time() - opened_at:.0f} s, {warm} before them")
        print(f"memory: {before_mb:.0f} MB without streams, {memory_mb(self._gateway):.0f} MB with them, ", end="")
        print(f"{1024 * (memory_mb(self._gateway) - before_mb) / count:.1f} kB a stream")
        print(f"CPU to open a stream: {opened_ms / count:.3f} ms")
        idle_ms, _ = await self.cpu_ms_per_s(seconds)
        print(f"CPU of idle streams: {idle_ms:.1f} ms a second, {without_ms:.1f} without streams, ", end="")
        print(f"{1000 * (idle_ms - without_ms) / count:.2f} µs a second and stream")
        await self.set_interval(interval_s)
        await asyncio.sleep(interval_s)
        busy_ms, tokens = await self.cpu_ms_per_s(seconds)
        rate = tokens / seconds
        print(f"CPU with a token every {interval_s:g} s: {busy_ms:.0f} ms a second for {rate:.0f} tokens, ", end="")
        print(f"{1000 * (busy_ms - idle_ms) / rate:.1f} µs a token")
        times = await self.healthz_ms()
        print(f"/healthz next to them: p50 {times[len(times) // 2]:.1f} ms, maximum {times[-1]:.1f} ms")
        print(f"memory at the end: {1024 * (memory_mb(self._gateway) - before_mb) / count:.1f} kB a stream")
        _raise_failures(self.tally)
        print(f"failed: 0 of {count}")
        for stream in streams:
            stream.close()


async def measure(url: str, worker_url: str, gateway: ManagedProcess, options: argparse.Namespace) -> None:
    """Measure one gateway."""
    async with aiohttp.ClientSession() as session:
        await Measurement(url, worker_url, gateway, session).run(options.streams, options.interval, options.seconds)


def main() -> None:
    """Start a worker and a gateway, and measure them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--interval", type=float, default=4.0, help="seconds between two tokens of a stream")
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of each measurement")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * options.streams + _SPARE_FILES:
        raise SystemExit(f"{options.streams} streams need a hard limit of open files above {hard}: see ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limits = {
        "SARLENS_SERVER__MAX_CONNECTIONS": str(options.streams + _SPARE_FILES // 2),
        "SARLENS_ADMISSION__MAX_REQUESTS_PER_WORKER": str(options.streams),
        "SARLENS_WORKER__STREAM_IDLE_TIMEOUT_S": "3600",
    }
    print(*(f"{name}={value}" for name, value in limits.items()), f"open files: {hard}", sep="\n", file=sys.stderr)
    with ExitStack() as stack:
        start = starter(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        worker_url, _ = stream_worker(start, "worker", options.interval)
        url, gateway = sarlens(start, [worker_url], limits)
        uvloop.run(measure(url, worker_url, gateway, options))


if __name__ == "__main__":
    main()
