"""What a request costs a gateway and a worker, in CPU time, for ``capacity.py``; kept in ``service_times.json``.

The gateway is measured before a static worker and a real S3 server: a text; a question about an image that it knows;
and questions about images that it has never seen, each a new object of 512 or 2048 pixels a side, with the server's own
count of what is read. Then before that worker under many names: what each further worker costs a request, and what it
costs to look after them. Then before a real vLLM on the CPU with sarlens-nano: what the worker spends on questions
about new pictures, 1 to 32 at the same time, and about one that it knows; and what the gateway spends on streams of 32
tokens, 16 at the same time. CPU time is the scheduler's own, so that time which others have is not counted.

    .venv/bin/python loadtests/service_times.py
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import sleep
from typing import Any

import aiohttp
import numpy as np
import orjson
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from capacity import FILE, LOOK_S, SIDES
from cpu_per_request import TEXT
from local_stack import MODEL, LocalStack, local_stack
from mix import Mix
from sar_workload import tiff
from sarlens.child import Child
from sarlens.seaweed import KEYS, fill_bucket, free_port, s3_command
from stand import JSON, run_ms, sarlens, starter, static_worker

BATCHES = (1, 2, 4, 8, 16, 32)
FLEETS = (1, 100, 300)
STREAMED = 32

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


def gateway(rounds: int) -> dict[str, dict[str, Any]]:
    """What the gateway spends on each kind of request, medians of some rounds, and what it reads of each new image."""
    counts = dict(zip(SIDES, (60, 12), strict=True))
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        write_images(state / "scenes", {side: count * (rounds + 1) for side, count in counts.items()})
        os.environ.update(KEYS)
        port, counting = free_port(), free_port()
        s3_url = f"http://127.0.0.1:{port}"
        s3 = start("s3", [*s3_command(state / "s3", port), f"-metricsPort={counting}"], {})
        fill_bucket(s3, s3_url, state / "scenes")
        url, process = sarlens(start, [static_worker(start, "worker")[0]], {"SARLENS_S3__ENDPOINT": s3_url})
        kinds: dict[str, tuple[Body, int]] = {
            "text": (lambda _: orjson.dumps(TEXT), 2000),
            "known image": (lambda _: about("s3://scenes/512-0.tif", "How many ships?"), 2000),
        }
        for side, count in counts.items():

            def once(number: int, side: int = side) -> bytes:
                return about(f"s3://scenes/{side}-{number}.tif", "Any?")

            kinds[f"new image of {side}"] = once, count
        costs: dict[str, list[float]] = {kind: [] for kind in kinds}
        reads: dict[str, dict[str, float]] = {}
        for number in range(rounds + 1):
            for kind, (body, count) in kinds.items():
                numbers, before = range(number * count, (number + 1) * count), asyncio.run(answered(counting))
                costs[kind].append(asyncio.run(cost_ms(url, process, body, numbers, 16)))
                after = asyncio.run(answered(counting))
                reads[kind] = {what: round((after[what] - before[what]) / count, 2) for what in after}
    # The first round warms up.
    middle = {kind: round(statistics.median(each[1:]), 3) for kind, each in costs.items()}
    return {"gateway_ms": middle, "store": {str(side): reads[f"new image of {side}"] for side in SIDES}}


async def answered(port: int) -> dict[str, float]:
    """Reads that an S3 server has answered so far, and their bytes, by its own count."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as response:
        page = await response.text()
    totals = {"SeaweedFS_s3_request_total": 0.0, "SeaweedFS_s3_bucket_traffic_sent_bytes_total": 0.0}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name in totals:
                totals[sample.name] += sample.value
    return dict(zip(("reads", "bytes"), totals.values(), strict=True))


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


def streamed_ms(parts: LocalStack, rounds: int) -> float:
    """What a gateway spends on an answer that a vLLM worker streams token by token."""

    def body(number: int) -> bytes:
        messages = [{"role": "user", "content": f"Tell me about ship {number}."}]
        fixed = {"max_tokens": STREAMED, "ignore_eos": True, "stream": True}
        return orjson.dumps({"model": MODEL, "messages": messages, **fixed})

    costs = [asyncio.run(cost_ms(parts.url, parts.gateway, body, range(160), 16)) for _ in range(rounds + 1)]
    return round(statistics.median(costs[1:]), 3)


def many_workers(rounds: int) -> dict[str, Any]:
    """What a fleet costs a gateway: further workers each request about a known picture, and looks each worker."""
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((256, 256), np.uint8)).save(buffer, "png")
    body = about(f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}", "Any?")
    costs: dict[int, list[float]] = {number: [] for number in FLEETS}
    with ExitStack() as stack:
        start = starter(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        worker, _ = static_worker(start, "worker")
        names = [f"{worker}/{number}" for number in range(max(FLEETS))]
        seldom = {"SARLENS_WORKER__PROBE_S": "600"}
        gateways = {number: sarlens(start, names[:number], seldom) for number in FLEETS}
        for _ in range(rounds + 1):
            for number, (url, process) in gateways.items():
                costs[number].append(asyncio.run(cost_ms(url, process, lambda _: body, range(1000), 16)))
        often = {"SARLENS_WORKER__PROBE_S": str(LOOK_S)}
        _, process = sarlens(start, names, often)
        before, looks = run_ms(process), 5
        sleep(looks * LOOK_S)
        look = (run_ms(process) - before) / looks / len(names)
    middle = {number: statistics.median(each[1:]) for number, each in costs.items()}
    ranking = {str(number): round(middle[number] - middle[min(FLEETS)], 3) for number in FLEETS[1:]}
    return {"ranking_ms": ranking, "look_ms": round(look, 3)}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    figures = {**gateway(given.rounds), **many_workers(given.rounds)}
    with ExitStack() as stack:
        parts = local_stack(stack)
        figures["gateway_ms"][f"{STREAMED} tokens streamed"] = streamed_ms(parts, given.rounds)
        figures["worker_ms"] = worker_ms(parts, given.rounds)
    told = json.dumps(figures, indent=1)
    FILE.write_text(f"{told}\n")
    print(told)


if __name__ == "__main__":
    main()
