"""Open-loop sweep: send requests at rising rates, and find the highest rate that meets the objectives.

Requests arrive as a Poisson process, whether or not earlier ones are answered. A request is good if it is answered
within each objective. The knee is the highest rate at which nine of ten requests are good. Results: OUT/sweep.json and
OUT/sweep.png.

    .venv/bin/python loadtests/rate_sweep.py --goodput ttft:500 e2e:2000
    .venv/bin/python loadtests/rate_sweep.py --url http://localhost:8080 --rates 5,10,20 --out before
    .venv/bin/python loadtests/compare_sweeps.py before/sweep.json after/sweep.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import resource
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import uvloop

from harness import machine
from local_stack import MODEL, local_stack
from mixed_client import MixedClient, RequestFailed, open_client
from sweep_picture import draw
from sweep_results import Sample, Step, knee, parse_objectives, summarize
from workload_mix import SCENE, SIDE, Mix

FACTOR, MAX_RATE = 2.0, 4096.0
"""Ratio of consecutive rates while the objectives are met, and the highest rate."""


async def run_step(
    client: MixedClient, rate: float, seconds: float, objectives: dict[str, float], *, max_in_flight: int, seed: int
) -> Step:
    """Send requests at ``rate`` for ``seconds``, wait for all responses, and summarize them."""
    arrivals, samples, began = random.Random(seed), list[Sample](), monotonic()
    tasks, due_s, cpu = set[asyncio.Task[None]](), 0.0, _cpu_s()
    while (due_s := due_s + arrivals.expovariate(rate)) < seconds:
        await asyncio.sleep(max(0.0, began + due_s - monotonic()))
        surface = client.mix.surface()
        if len(tasks) >= max_in_flight:
            samples.append(Sample(surface, due_s, 0.0, 0.0, error="client_limit"))
            continue
        task = asyncio.create_task(_ask(client, surface, began, due_s, samples))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    sending_s, used_s = monotonic() - began, _cpu_s() - cpu
    await asyncio.gather(*tasks)
    return summarize(rate, seconds, samples, objectives, used_s / sending_s)


async def _ask(client: MixedClient, surface: str, began: float, due_s: float, samples: list[Sample]) -> None:
    due_at = began + due_s
    late_ms = 1000 * (monotonic() - due_at)
    try:
        answer = await client.ask(surface)
    except RequestFailed as failure:
        e2e_ms = 1000 * (monotonic() - due_at)
        samples.append(Sample(surface, due_s, late_ms, e2e_ms, is_new=failure.is_new, error=failure.code))
        return
    first_at, further = answer.first_at, answer.tokens - 1
    samples.append(
        Sample(
            surface,
            due_s,
            late_ms,
            e2e_ms=1000 * (answer.done_at - due_at),
            ttft_ms=None if first_at is None else 1000 * (first_at - due_at),
            # The last token has no text: its time is the end of the stream.
            tpot_ms=1000 * (answer.done_at - first_at) / further if first_at and further > 0 else None,
            tokens=answer.tokens,
            is_new=answer.is_new,
        )
    )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def search(measure: Callable[[float], Awaitable[Step]], rate: float, min_ratio: float, halvings: int) -> None:
    """Multiply the rate by ``FACTOR`` until too few requests are good, then halve the interval of the knee."""
    low = 0.0
    while (await measure(rate)).good_ratio >= min_ratio:
        low, rate = rate, rate * FACTOR
        if rate > MAX_RATE:
            return
    high = rate
    for _ in range(halvings):
        rate = round((low + high) / 2, 2)
        low, high = (rate, high) if (await measure(rate)).good_ratio >= min_ratio else (low, rate)


async def sweep(client: MixedClient, args: argparse.Namespace) -> list[Step]:
    """Measure each rate, print a line for each, and return the steps by rate."""
    steps: list[Step] = []

    async def measure(rate: float) -> Step:
        options = {"max_in_flight": args.max_in_flight, "seed": args.seed + len(steps)}
        step = await run_step(client, rate, args.seconds, args.objectives, **options)
        steps.append(step)
        print(line(step), flush=True)
        return step

    print("  rate/s  goodput/s    good  failed  late p99 ms  client CPU", flush=True)
    if args.rates:
        for rate in args.rates:
            await measure(rate)
    else:
        await search(measure, args.rate, args.min_ratio, args.halvings)
    return sorted(steps, key=lambda step: step.rate)


def line(step: Step) -> str:
    """Format a step as a row of the table."""
    failed = step.requests - step.answered
    return (
        f"{step.rate:>8.2f} {step.goodput:>10.2f} {step.good_ratio:>7.1%} {failed:>7} {step.late_p99_ms:>12.1f} "
        f"{step.client_cpu:>11.0%}"
    )


async def warm_up(client: MixedClient, seconds: float) -> None:
    """Ask one request after the other, because the first responses of a worker take seconds."""
    until = monotonic() + seconds
    while monotonic() < until:
        await client.ask()


async def version(url: str) -> str:
    """Return the version of the gateway, or ``unknown`` if it doesn't tell."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/version") as response:
        return str((await response.json())["version"]) if response.status == 200 else "unknown"


async def run(args: argparse.Namespace, url: str, grpc_address: str, scenes: list[str]) -> dict[str, Any]:
    """Run the sweep against a gateway and return the document."""
    mix = Mix(args.model, scenes, args.seed, args.side)
    async with open_client(url, grpc_address, mix) as client:
        await warm_up(client, args.warm_up_s)
        steps = await sweep(client, args)
    names = ("goodput", "min_ratio", "seconds", "side", "model", "seed", "max_in_flight")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "gateway": await version(url),
        "python": platform.python_version(),
        "machine": machine(),
        "settings": {name: getattr(args, name) for name in names} | {"scenes": len(scenes)},
        "knee": knee(steps, args.min_ratio),
        "steps": [step.to_json() for step in steps],
    }


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    goals = ["ttft:500", "e2e:2000"]
    parser.add_argument("--goodput", nargs="+", default=goals, help="objectives: ttft, tpot, e2e, in milliseconds")
    parser.add_argument("--rates", type=lambda text: [float(word) for word in text.split(",")], help="fixed rates")
    parser.add_argument("--rate", type=float, default=2.0, help="first rate of the search, in requests per second")
    parser.add_argument("--halvings", type=int, default=3, help="how often the search halves the interval of the knee")
    parser.add_argument("--min-ratio", type=float, default=0.9, help="fraction of good requests up to the knee")
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of each rate")
    parser.add_argument("--warm-up-s", type=float, default=10.0)
    parser.add_argument("--side", type=int, default=SIDE, help=f"side of the windows in pixels, at most {SCENE}")
    parser.add_argument("--max-in-flight", type=int, default=1024, help="further requests fail in the client")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--url", help="gateway to ask; default: a local stack of its own")
    parser.add_argument("--grpc", help="gRPC address; default: port 8081 of --url")
    parser.add_argument("--scenes", default="s3://scenes/port.tif", help="comma-separated URLs, for --url")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--out", type=Path, default=Path("load"), help="folder of sweep.json and sweep.png")
    args = parser.parse_args()
    try:
        args.objectives = parse_objectives(args.goodput)
    except ValueError as error:
        parser.error(str(error))
    if not 0 < args.side <= SCENE:
        parser.error(f"--side must be between 1 and {SCENE}.")
    return args


def main() -> None:
    """Run the sweep, write its results, and print the knee."""
    args = parse()
    args.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if args.url:
            grpc_address = args.grpc or f"{urlsplit(args.url).hostname}:8081"
            document = uvloop.run(run(args, args.url.rstrip("/"), grpc_address, args.scenes.split(",")))
        else:
            local = local_stack(stack)
            document = uvloop.run(run(args, local.url, local.grpc, local.scenes))
    (args.out / "sweep.json").write_text(json.dumps(document, indent=1))
    draw(document, args.out / "sweep.png")
    print(f"Machine: {document['machine']}")
    met = "none of the rates meets" if document["knee"] is None else f"{document['knee']:g} requests a second meet"
    print(f"Knee: {met} {' '.join(args.goodput)} for {args.min_ratio:.0%} of the requests.")


if __name__ == "__main__":
    main()
