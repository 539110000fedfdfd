"""What a request costs a gateway and a worker, in CPU time, for ``capacity.py``; kept in ``service_times.json``.

The gateway is measured before a static worker and a real S3 server: a text; a question about an image that it knows;
and questions about images that it has never seen, each a new object of 512 or 2048 pixels a side. The worker is a real
vLLM on the CPU with sarlens-nano behind a gateway: questions about new pictures, 1 to 32 at the same time, and about
one that it knows. CPU time is the scheduler's own, so that others on the machine count little.

    .venv/bin/python loadtests/service_times.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import aiohttp
import numpy as np
import orjson

from capacity import FILE, SIDES
from cpu_per_request import TEXT
from local_stack import MODEL, LocalStack, local_stack
from mix import Mix
from sar_workload import tiff
from sarlens.child import Child
from sarlens.routing.policy import Candidate, Router
from sarlens.seaweed import KEYS, fill_bucket, free_port, s3_command
from stand import JSON, run_ms, sarlens, starter, static_worker

BATCHES = (1, 2, 4, 8, 16, 32)
FLEETS = (1, 10, 100, 1000)

Body = Callable[[int], bytes]


def about(image: str, question: str, **sar: object) -> bytes:
    """A chat about an image."""
    parts = [
        {"type": "image_url", "image_url": {"url": image, "sar": sar}},
        {"type": "text", "text": question},
    ]
    return orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": parts}], "max_tokens": 32})


async def cost_ms(url: str, process: Child, body: Body, numbers: Sequence[int], callers: int) -> float:
    """CPU milliseconds of ``process`` for each of some requests, ``callers`` at a time."""
    waiting = iter(numbers)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:

        async def caller() -> None:
            for number in waiting:
                async with session.post(f"{url}/v1/chat/completions", data=body(number), headers=JSON) as response:
                    answer = await response.read()
                    assert response.status == 200, answer[:300]

        before = run_ms(process)
        await asyncio.gather(*(caller() for _ in range(callers)))
    return (run_ms(process) - before) / len(numbers)


def gateway_ms(rounds: int) -> dict[str, float]:
    """What the gateway spends on each kind of request, medians of some rounds."""
    counts = dict(zip(SIDES, (60, 12), strict=True))
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        write_images(state / "scenes", {side: count * (rounds + 1) for side, count in counts.items()})
        os.environ.update(KEYS)
        port = free_port()
        s3_url = f"http://127.0.0.1:{port}"
        fill_bucket(start("s3", s3_command(state / "s3", port), {}), s3_url, state / "scenes")
        url, process = sarlens(start, [static_worker(start, "worker")[0]], {"SARLENS_S3__ENDPOINT": s3_url})
        kinds: dict[str, tuple[Body, int]] = {
            "text": (lambda _: orjson.dumps(TEXT), 2000),
            "known image": (lambda _: about("s3://scenes/512-0.tif", "How many ships?"), 2000),
        }
        for side, count in counts.items():

            def once(number: int, side: int = side) -> bytes:
                return about(f"s3://scenes/{side}-{number}.tif", "Any?")

            kinds[f"new image of {side}"] = once, count
        figures: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(rounds + 1):
            for kind, (body, count) in kinds.items():
                numbers = range(number * count, (number + 1) * count)
                figures[kind].append(asyncio.run(cost_ms(url, process, body, numbers, 16)))
        # The first round warms up.
        return {kind: round(statistics.median(each[1:]), 3) for kind, each in figures.items()}


def write_images(folder: Path, counts: dict[int, int]) -> None:
    """Write so many images of each size: speckle of 16 bits, tiled, with overviews."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for side, count in counts.items():
        pixels = (100 * np.sqrt(rng.gamma(4.0, 0.25, (side, side)))).astype(np.uint16)
        for number in range(count):
            pixels[0, :16] = number
            tiff(folder / f"{side}-{number}.tif", pixels)


def worker_ms(parts: LocalStack, rounds: int) -> dict[str, object]:
    """What a vLLM worker spends on an answer: alone, one by one; in batches; and about a picture that it knows."""
    mix, choose = Mix(MODEL, parts.scenes), random.Random(0)

    def fresh(_: int) -> bytes:
        window = [choose.randrange(256), choose.randrange(256), 256, 256]
        return about(choose.choice(parts.scenes), mix.question(), window=window)

    def again(_: int) -> bytes:
        return about(parts.scenes[0], mix.question(), window=[0, 0, 256, 256])

    def cost(body: Body, count: int, callers: int) -> float:
        return asyncio.run(cost_ms(parts.url, parts.worker, body, range(count), callers))

    cost(fresh, 32, 16)
    alone = [cost(fresh, 1, 1) for _ in range(40 * rounds)]
    batches = {n: [cost(fresh, 8 + 4 * n, n) for _ in range(rounds)] for n in BATCHES}
    known = [cost(again, 64, 16) for _ in range(rounds)]
    return {
        "alone": sorted(round(each, 2) for each in alone),
        "in batches of": {str(n): round(statistics.median(each), 2) for n, each in batches.items()},
        "known picture, 16 at a time": round(statistics.median(known), 2),
    }


def ranking_ms(workers: int, times: int = 200) -> float:
    """What the router spends on an order of so many workers for a new picture."""
    router, fleet = Router("affinity", bound=1.25), [Candidate(f"http://worker-{n}:8000") for n in range(workers)]
    began = perf_counter()
    for number in range(times):
        router.rank(fleet, str(number))
    return 1000 * (perf_counter() - began) / times


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    gateway = gateway_ms(given.rounds)
    with ExitStack() as stack:
        worker = worker_ms(local_stack(stack), given.rounds)
    ranking = {str(n): round(min(ranking_ms(n) for _ in range(given.rounds)), 3) for n in FLEETS}
    told = json.dumps({"gateway_ms": gateway, "worker_ms": worker, "ranking_ms": ranking}, indent=1)
    FILE.write_text(f"{told}\n")
    print(told)


if __name__ == "__main__":
    main()
