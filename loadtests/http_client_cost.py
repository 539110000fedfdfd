"""CPU time of a request in the client process, for Sarlens' client, aiohttp and httpx, against ``stub_worker.py``.

.venv/bin/python loadtests/http_client_cost.py
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import httpx
import uvloop

from harness import JSON, print_machine, spread, starter, stub_worker
from sarlens.workers.clients.http import OpenAIHttpClient, WorkerTimeouts
from sarlens.workers.clients.http1.pool import http_connections

BODY = b'{"model":"sarlens-nano","messages":[{"role":"user","content":"' + b"x" * 900 + b'"}]}'
PATH = "/v1/chat/completions"
Send = Callable[[], Awaitable[None]]


async def cost_ms(send: Send, requests: int, concurrency: int) -> float:
    """Return the CPU milliseconds of this process per request."""

    async def client() -> None:
        for _ in range(requests // concurrency):
            await send()

    began = time.process_time()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    return 1000 * (time.process_time() - began) / requests


async def measure(base: str, rounds: int, requests: int, concurrency: int) -> dict[str, list[float]]:
    """Measure every client once a round, and return its CPU milliseconds per request."""
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with (
        http_connections(connect_timeout_s=2, keepalive_timeout_s=4) as connections,
        aiohttp.ClientSession() as session,
        httpx.AsyncClient(limits=limits, trust_env=False) as client,
    ):
        worker = OpenAIHttpClient(base, connections, WorkerTimeouts(60, 60, 600), max_response_bytes=2**24)
        url = base + PATH

        async def by_sarlens() -> None:
            response = await worker.send(PATH, BODY, "0123456789abcdef", {}, stream=False)
            assert response.first_chunk
            response.close()

        async def by_aiohttp() -> None:
            async with session.post(url, data=BODY, headers=JSON) as response:
                await response.read()

        async def by_httpx() -> None:
            await client.post(url, content=BODY, headers=JSON)

        clients: dict[str, Send] = {"Sarlens": by_sarlens, "aiohttp": by_aiohttp, "httpx": by_httpx}
        costs: dict[str, list[float]] = {name: [] for name in clients}
        for number in range(rounds + 1):
            for name, send in clients.items():
                cost = await cost_ms(send, requests, concurrency)
                costs[name] += [cost] if number else []
    return costs


def main() -> None:
    """Start the worker, measure the clients, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2000, help="requests per round and client")
    parser.add_argument("--concurrency", type=int, default=16)
    options = parser.parse_args()
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        base, _ = stub_worker(starter(stack, state), "worker")
        costs = uvloop.run(measure(base, options.rounds, options.requests, options.concurrency))
    print_machine()
    print(f"{'':12}CPU ms a request of the client")
    for name, values in costs.items():
        print(f"{name:12}{spread(values, '.3f')}")


if __name__ == "__main__":
    main()
