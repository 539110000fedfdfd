"""Ten times the capacity of two workers for a minute: latency of accepted and rejected requests, and gateway memory.

Two mock workers answer 10 concurrent requests each in 0.1 s: 200 per second. Requests arrive at ten times that rate,
independent of earlier responses.

With --baseline, the rows of ``overload_rows.py`` follow, which compare the gateway with that of another checkout.

    .venv/bin/python loadtests/overload.py
    .venv/bin/python loadtests/overload.py --seconds 0 --baseline ../sarlens-before
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import aiohttp
import orjson
import uvloop

from comparison import compare
from harness import JSON, memory_mb, open_loop, print_machine, sarlens, starter
from overload_rows import ROWS
from zipf_clients import Fleet

BODY = orjson.dumps({"model": "sarlens-nano", "messages": [{"role": "user", "content": "How many ships?" * 60}]})


async def arrive(url: str, per_second: float, seconds: float) -> list[tuple[int, float]]:
    """Send requests at a steady rate; return the status and the seconds of each."""
    responses: list[tuple[int, float]] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask() -> None:
            began = perf_counter()
            async with session.post(f"{url}/v1/chat/completions", data=BODY, headers=JSON) as response:
                await response.read()
            responses.append((response.status, perf_counter() - began))

        await open_loop(ask, per_second, seconds)
    return responses


def line(name: str, responses: list[tuple[int, float]], memory: float) -> str:
    """Return one row of the table."""
    accepted = [seconds for status, seconds in responses if status == 200]
    rejected = [seconds for status, seconds in responses if status != 200]
    statuses = dict(Counter(status for status, _ in responses))
    tail = f"{1000 * statistics.quantiles(rejected, n=100)[98]:.0f}" if len(rejected) > 1 else "-"
    p99 = 1000 * statistics.quantiles(accepted, n=100)[98]
    p50 = 1000 * statistics.median(accepted)
    return f"{name:22}{statuses!s:26}{p50:>8.0f}{p99:>8.0f}{tail:>14}{memory:>10.0f}"


def overload(seconds: float) -> None:
    """Run the phases and print the table."""
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        fleet = Fleet()
        for _ in range(2):
            fleet.add(start, "--pause-s", "0.1", "--slots", "10")
        limits = {"SARLENS_ADMISSION__MAX_REQUESTS_PER_WORKER": "10", "SARLENS_ADMISSION__MAX_QUEUED": "20"}
        url, process = sarlens(start, fleet.urls, limits)
        print_machine()
        print(f"{'':22}{'statuses':26}{'p50 ms':>8}{'p99 ms':>8}{'refused p99':>14}{'RSS, MB':>10}")
        for name, rate, phase_s in (
            ("a tenth of capacity", 20, 10),
            ("ten times capacity", 2000, seconds),
            ("2 s after", 150, 10),
        ):
            responses = uvloop.run(arrive(url, rate, phase_s))
            print(line(name, responses, memory_mb(process)), flush=True)
            uvloop.run(asyncio.sleep(2))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="duration of the overload; 0: without it")
    parser.add_argument("--baseline", type=Path, help="checkout of an earlier version, for overload_rows.py")
    args = parser.parse_args()
    if args.seconds:
        overload(args.seconds)
    if args.baseline:
        compare(ROWS, args.baseline)


if __name__ == "__main__":
    main()
