"""Latency of requests through Sarlens, compared with requests to the worker itself, at 50 requests per second.

The worker is ``stub_worker.py``. Responses are timed to their first piece.

    .venv/bin/python loadtests/latency.py
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import aiohttp
import orjson
import uvloop

from harness import JSON, open_loop, print_machine, sarlens, spread, starter, stub_worker

BODY = {"model": "sarlens-nano", "messages": [{"role": "user", "content": "x" * 900}]}


async def times_ms(url: str, body: bytes, per_second: float, seconds: float) -> list[float]:
    """Send requests at a steady rate and return the milliseconds to the first piece of each response."""
    times: list[float] = []
    async with aiohttp.ClientSession() as session:

        async def ask() -> None:
            began = perf_counter()
            async with session.post(f"{url}/v1/chat/completions", data=body, headers=JSON) as response:
                await response.content.readany()
                times.append(1000 * (perf_counter() - began))
                await response.read()

        await open_loop(ask, per_second, seconds)
    return times


def main() -> None:
    """Measure every case once a round, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6, help="seconds per round and row")
    args = parser.parse_args()
    figures: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        worker_url, _ = stub_worker(start, "worker")
        url, _ = sarlens(start, [worker_url], {})
        for number in range(args.rounds + 1):
            for stream in (False, True):
                for name, target in (("the worker itself", worker_url), ("Sarlens", url)):
                    body = orjson.dumps({**BODY, "stream": stream})
                    times = uvloop.run(times_ms(target, body, 50, args.seconds if number else 1))
                    percentiles = statistics.quantiles(times, n=100)
                    if number:
                        figures.setdefault((name, stream), []).append((percentiles[49], percentiles[98]))
            print(f"round {number} of {args.rounds} done", file=sys.stderr)
    print_machine()
    print(f"{'':30}p50, ms                     p99, ms")
    for (name, stream), rounds in figures.items():
        p50, p99 = zip(*rounds, strict=True)
        print(f"{name + (', streaming' if stream else ''):30}{spread(p50, '.2f')}   {spread(p99, '.2f')}")


if __name__ == "__main__":
    main()
