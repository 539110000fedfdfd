"""What Sarlens adds to the time of a request, at 50 requests a second, over asking the worker directly.

The worker is a static one. An answer is timed to its last byte, a stream to its first.

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

from stand import JSON, open_loop, sarlens, spread, starter, static_worker

BODY = {"model": "sarlens-nano", "messages": [{"role": "user", "content": "x" * 900}]}


async def times_ms(url: str, body: bytes, per_second: float, seconds: float) -> list[float]:
    """Ask at a steady rate; how long each took."""
    taken: list[float] = []
    async with aiohttp.ClientSession() as session:

        async def ask() -> None:
            began = perf_counter()
            async with session.post(f"{url}/v1/chat/completions", data=body, headers=JSON) as response:
                await response.content.readany()
                taken.append(1000 * (perf_counter() - began))
                await response.read()

        await open_loop(ask, per_second, seconds)
    return taken


def main() -> None:
    """Measure in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6, help="of each round and row")
    given = parser.parse_args()
    figures: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        worker_url, _ = static_worker(start, "worker")
        url, _ = sarlens(start, [worker_url], {})
        for number in range(given.rounds + 1):
            for stream in (False, True):
                for name, at in (("the worker itself", worker_url), ("Sarlens", url)):
                    body = orjson.dumps({**BODY, "stream": stream})
                    taken = uvloop.run(times_ms(at, body, 50, given.seconds if number else 1))
                    cuts = statistics.quantiles(taken, n=100)
                    if number:
                        figures.setdefault((name, stream), []).append((cuts[49], cuts[98]))
            print(f"round {number} of {given.rounds} done", file=sys.stderr)
    print(f"{'':30}p50, ms                     p99, ms")
    for (name, stream), rounds in figures.items():
        p50, p99 = zip(*rounds, strict=True)
        print(f"{name + (', streaming' if stream else ''):30}{spread(p50, '.2f')}   {spread(p99, '.2f')}")


if __name__ == "__main__":
    main()
