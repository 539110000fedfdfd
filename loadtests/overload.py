"""Ten times what two workers can answer, for a minute: what the admitted, the refused and the memory feel.

Two pretend workers answer 10 questions each at the same time, in 0.1 s: 200 a second. Questions come at ten times that
rate whether or not earlier ones are answered.

    .venv/bin/python loadtests/overload.py
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

from crowd import Fleet
from stand import JSON, memory_mb, open_loop, sarlens, starter

BODY = orjson.dumps({"model": "sarlens-nano", "messages": [{"role": "user", "content": "How many ships?" * 60}]})


async def arrive(url: str, per_second: float, seconds: float) -> list[tuple[int, float]]:
    """Ask at a steady rate; the status and the seconds of each."""
    told: list[tuple[int, float]] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask() -> None:
            began = perf_counter()
            async with session.post(f"{url}/v1/chat/completions", data=BODY, headers=JSON) as response:
                await response.read()
            told.append((response.status, perf_counter() - began))

        await open_loop(ask, per_second, seconds)
    return told


def line(name: str, told: list[tuple[int, float]], memory: float) -> str:
    """One row of the table."""
    admitted = [seconds for status, seconds in told if status == 200]
    refused = [seconds for status, seconds in told if status != 200]
    statuses = dict(Counter(status for status, _ in told))
    tail = f"{1000 * statistics.quantiles(refused, n=100)[98]:.0f}" if len(refused) > 1 else "-"
    p99 = 1000 * statistics.quantiles(admitted, n=100)[98]
    p50 = 1000 * statistics.median(admitted)
    return f"{name:22}{statuses!s:26}{p50:>8.0f}{p99:>8.0f}{tail:>14}{memory:>10.0f}"


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        fleet = Fleet()
        for _ in range(2):
            fleet.add(start, "--pause-s", "0.1", "--slots", "10")
        room = {"SARLENS_ADMISSION__REQUESTS": "10", "SARLENS_ADMISSION__QUEUE": "20"}
        url, process = sarlens(start, fleet.urls, room)
        print(f"{'':22}{'statuses':26}{'p50 ms':>8}{'p99 ms':>8}{'refused p99':>14}{'RSS, MB':>10}")
        for name, rate, seconds in (
            ("a tenth of capacity", 20, 10),
            ("ten times capacity", 2000, given.seconds),
            ("2 s after", 150, 10),
        ):
            told = uvloop.run(arrive(url, rate, seconds))
            print(line(name, told, memory_mb(process)), flush=True)
            uvloop.run(asyncio.sleep(2))


if __name__ == "__main__":
    main()
