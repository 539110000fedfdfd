"""CPU time of gateway and worker per request, for ``capacity.py``; written to ``service_times.json``.

Three setups measure:

- A gateway, ``stub_worker.py`` and an S3 server: text requests, questions about a cached image, and questions about new
  images. Each new image is an object of 512 or 2048 pixels a side; the S3 server counts the reads.
- A gateway and the same worker under many URLs: the time per request and per health check of each further worker.
- A gateway and vLLM on the CPU with sarlens-nano. The worker answers questions about new images, 1 to 32 at a time, and
  about a cached one. The gateway forwards streams of 32 tokens, 16 at a time.

CPU time comes from the scheduler, so the time of other processes isn't counted.

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

from capacity import FILE, PROBE_INTERVAL_S, SIDES
from cpu_per_request import TEXT
from harness import JSON, machine, run_ms, sarlens, starter, stub_worker
from local_stack import MODEL, LocalStack, local_stack
from sar_scenes import tiff
from sarlens.devstack.ports import free_port
from sarlens.devstack.seaweedfs import S3_CREDENTIALS, seaweedfs_command, upload_samples
from sarlens.runtime.child_process import ManagedProcess
from workload_mix import Mix

BATCHES = (1, 2, 4, 8, 16, 32)
FLEETS = (1, 100, 300)
STREAMED = 32

Body = Callable[[int], bytes]


def about(image: str, question: str, **sar: object) -> bytes:
    """Return a chat about an image."""
    local = [
        {"type": "image_url", "image_url": {"url": image, "sar": sar}},
        {"type": "text", "text": question},
    ]
    return orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": local}], "max_tokens": 32})


async def cost_ms(url: str, process: ManagedProcess, body: Body, numbers: Sequence[int], callers: int) -> float:
    """Return the CPU milliseconds of ``process`` per request, with ``callers`` concurrent requests."""
    remaining = iter(numbers)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:

        async def caller() -> None:
            for number in remaining:
                async with session.post(f"{url}/v1/chat/completions", data=body(number), headers=JSON) as response:
                    answer = await response.read()
                    assert response.status == 200, answer[:300]

        before = run_ms(process)
        await asyncio.gather(*(caller() for _ in range(callers)))
    return (run_ms(process) - before) / len(numbers)


def gateway(rounds: int) -> dict[str, dict[str, Any]]:
    """Return the median CPU time of a gateway by type of request, and its reads per new image."""
    counts = dict(zip(SIDES, (60, 12), strict=True))
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        write_images(state / "scenes", {side: count * (rounds + 1) for side, count in counts.items()})
        os.environ.update(S3_CREDENTIALS)
        port, metrics_port = free_port(), free_port()
        s3_url = f"http://127.0.0.1:{port}"
        s3 = start("s3", [*seaweedfs_command(state / "s3", port), f"-metricsPort={metrics_port}"], {})
        upload_samples(s3, s3_url, state / "scenes")
        url, process = sarlens(start, [stub_worker(start, "worker")[0]], {"SARLENS_S3__ENDPOINT": s3_url})
        cases: dict[str, tuple[Body, int]] = {
            "text": (lambda _: orjson.dumps(TEXT), 2000),
            "known image": (lambda _: about("s3://scenes/512-0.tif", "How many ships?"), 2000),
        }
        for side, count in counts.items():

            def once(number: int, side: int = side) -> bytes:
                return about(f"s3://scenes/{side}-{number}.tif", "Any?")

            cases[f"new image of {side}"] = once, count
        costs: dict[str, list[float]] = {name: [] for name in cases}
        reads: dict[str, dict[str, float]] = {}
        for number in range(rounds + 1):
            for name, (body, count) in cases.items():
                numbers, before = range(number * count, (number + 1) * count), asyncio.run(s3_totals(metrics_port))
                costs[name].append(asyncio.run(cost_ms(url, process, body, numbers, 16)))
                after = asyncio.run(s3_totals(metrics_port))
                reads[name] = {total: round((after[total] - before[total]) / count, 2) for total in after}
    # The first round warms up.
    medians = {name: round(statistics.median(values[1:]), 3) for name, values in costs.items()}
    return {"gateway_ms": medians, "store": {str(side): reads[f"new image of {side}"] for side in SIDES}}


async def s3_totals(port: int) -> dict[str, float]:
    """Return the number and bytes of the reads that an S3 server has answered, from its metrics."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as response:
        page = await response.text()
    totals = {"SeaweedFS_s3_request_total": 0.0, "SeaweedFS_s3_bucket_traffic_sent_bytes_total": 0.0}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name in totals:
                totals[sample.name] += sample.value
    return dict(zip(("reads", "bytes"), totals.values(), strict=True))


def write_images(folder: Path, counts: dict[int, int]) -> None:
    """Write ``counts[side]`` images of each size: speckle of 16 bits, tiled, with overviews."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for side, count in counts.items():
        pixels = (100 * np.sqrt(rng.gamma(4.0, 0.25, (side, side)))).astype(np.uint16)
        for number in range(count):
            pixels[0, :16] = number
            tiff(folder / f"{side}-{number}.tif", pixels)


def worker_ms(local: LocalStack, rounds: int) -> dict[str, object]:
    """Return the CPU time of a vLLM worker per response: one at a time, in batches, and about a cached image."""
    mix, rng = Mix(MODEL, local.scenes), random.Random(0)

    def new_image(_: int) -> bytes:
        window = [rng.randrange(256), rng.randrange(256), 256, 256]
        return about(rng.choice(local.scenes), mix.question(window), window=window)

    def known_image(_: int) -> bytes:
        window = [0, 0, 256, 256]
        return about(local.scenes[0], mix.question(window), window=window)

    def cost(body: Body, count: int, callers: int) -> float:
        return asyncio.run(cost_ms(local.url, local.worker, body, range(count), callers))

    cost(new_image, 32, 16)
    alone = [cost(new_image, 1, 1) for _ in range(40 * rounds)]
    batches = {n: [cost(new_image, 8 + 4 * n, n) for _ in range(rounds)] for n in BATCHES}
    known = [cost(known_image, 64, 16) for _ in range(rounds)]
    return {
        "alone": sorted(round(value, 2) for value in alone),
        "in batches of": {str(n): round(statistics.median(values), 2) for n, values in batches.items()},
        "known image, 16 at a time": round(statistics.median(known), 2),
    }


def streamed_ms(local: LocalStack, rounds: int) -> float:
    """Return the CPU time of a gateway per response that a vLLM worker streams."""

    def body(number: int) -> bytes:
        messages = [{"role": "user", "content": f"Tell me about ship {number}."}]
        fixed = {"max_tokens": STREAMED, "ignore_eos": True, "stream": True}
        return orjson.dumps({"model": MODEL, "messages": messages, **fixed})

    costs = [asyncio.run(cost_ms(local.url, local.gateway, body, range(160), 16)) for _ in range(rounds + 1)]
    return round(statistics.median(costs[1:]), 3)


def many_workers(rounds: int) -> dict[str, Any]:
    """Return the CPU time of a gateway for many workers: per request about a cached image, and per health check."""
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((256, 256), np.uint8)).save(buffer, "png")
    body = about(f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}", "Any?")
    costs: dict[int, list[float]] = {number: [] for number in FLEETS}
    with ExitStack() as stack:
        start = starter(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        worker, _ = stub_worker(start, "worker")
        urls = [f"{worker}/{number}" for number in range(max(FLEETS))]
        seldom = {"SARLENS_WORKER__PROBE_INTERVAL_S": "600"}
        gateways = {number: sarlens(start, urls[:number], seldom) for number in FLEETS}
        for _ in range(rounds + 1):
            for number, (url, process) in gateways.items():
                costs[number].append(asyncio.run(cost_ms(url, process, lambda _: body, range(1000), 16)))
        often = {"SARLENS_WORKER__PROBE_INTERVAL_S": str(PROBE_INTERVAL_S)}
        _, process = sarlens(start, urls, often)
        before, checks = run_ms(process), 5
        sleep(checks * PROBE_INTERVAL_S)
        health_check = (run_ms(process) - before) / checks / len(urls)
    medians = {number: statistics.median(values[1:]) for number, values in costs.items()}
    ranking = {str(number): round(medians[number] - medians[min(FLEETS)], 3) for number in FLEETS[1:]}
    return {"ranking_ms": ranking, "health_check_ms": round(health_check, 3)}


def main() -> None:
    """Measure, print the figures, and write them to ``service_times.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    figures = {"machine": machine(), **gateway(args.rounds), **many_workers(args.rounds)}
    with ExitStack() as stack:
        local = local_stack(stack)
        figures["gateway_ms"][f"{STREAMED} tokens streamed"] = streamed_ms(local, args.rounds)
        figures["worker_ms"] = worker_ms(local, args.rounds)
    text = json.dumps(figures, indent=1)
    FILE.write_text(f"{text}\n")
    print(text)


if __name__ == "__main__":
    main()
