"""Latency of a key that sends one request at a time, alone and while another key keeps 340 requests open.

Two mock workers answer 10 concurrent requests each in 0.1 s. In the row "same key", all requests share one key, so
they wait in the order of arrival.

    .venv/bin/python loadtests/fairness.py
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import aiohttp
import orjson
import uvloop

from harness import JSON, print_machine, sarlens, starter
from sarlens.admission.api_keys import generate_api_key
from zipf_clients import Fleet

BODY = orjson.dumps({"model": "sarlens-nano", "messages": [{"role": "user", "content": "How many ships?"}]})
GREEDY_REQUESTS = 340
"""Requests that the greedy key keeps open: 20 run and 320 wait."""


async def ask(session: aiohttp.ClientSession, url: str, key: str) -> float:
    """Send a request, and return the seconds until its response is complete."""
    began = perf_counter()
    headers = {**JSON, "Authorization": f"Bearer {key}"}
    async with session.post(f"{url}/v1/chat/completions", data=BODY, headers=headers) as response:
        await response.read()
        response.raise_for_status()
    return perf_counter() - began


async def measure(url: str, key: str, requests: int, greedy_key: str | None) -> tuple[list[float], float]:
    """Return the seconds of each request of ``key``, and the greedy key's responses per second meanwhile."""
    answered = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def keep_asking(key: str) -> None:
            nonlocal answered
            while True:
                await ask(session, url, key)
                answered += 1

        greedy = [asyncio.create_task(keep_asking(greedy_key)) for _ in range(GREEDY_REQUESTS) if greedy_key]
        await asyncio.sleep(2)
        before, began = answered, perf_counter()
        seconds = [await ask(session, url, key) for _ in range(requests)]
        rate = (answered - before) / (perf_counter() - began)
        for task in greedy:
            task.cancel()
        await asyncio.gather(*greedy, return_exceptions=True)
    return seconds, rate


def main() -> None:
    """Run the phases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300, help="requests of the small key in each phase")
    args = parser.parse_args()
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        fleet = Fleet()
        for _ in range(2):
            fleet.add(start, "--pause-s", "0.1", "--slots", "10")
        (small, small_hash), (greedy, greedy_hash) = generate_api_key(), generate_api_key()
        entries = [{"name": "small", "sha256": small_hash}, {"name": "greedy", "sha256": greedy_hash}]
        keys = state / "keys.json"
        keys.write_bytes(orjson.dumps(entries))
        limits = {"SARLENS_ADMISSION__MAX_REQUESTS_PER_WORKER": "10", "SARLENS_KEYS__FILE": str(keys)}
        url, _ = sarlens(start, fleet.urls, limits)
        print_machine()
        print(f"{'':28}{'p50 ms':>8}{'p99 ms':>8}{'of alone':>10}{'greedy, 1/s':>13}")
        alone_p99 = 0.0
        for name, key, other, requests in (
            ("small key alone", small, None, args.requests),
            ("with a greedy key", small, greedy, args.requests),
            ("same key", greedy, greedy, args.requests // 20),
        ):
            seconds, rate = uvloop.run(measure(url, key, requests, other))
            p99 = statistics.quantiles(seconds, n=100, method="inclusive")[98]
            alone_p99 = alone_p99 or p99
            row = f"{1000 * statistics.median(seconds):>8.0f}{1000 * p99:>8.0f}{p99 / alone_p99:>10.2f}{rate:>13.0f}"
            print(f"{name:28}{row}", flush=True)


if __name__ == "__main__":
    main()
