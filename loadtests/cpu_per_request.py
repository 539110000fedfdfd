"""What a request costs: CPU milliseconds of the worker alone and of Sarlens before it, in one interleaved run.

The worker is a static one (``static_worker.py``), so that its own work does not hide the gateway's.

    .venv/bin/python loadtests/cpu_per_request.py
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import orjson
import rasterio

from sarlens.child import Child
from sarlens.seaweed import KEYS, fill_bucket, free_port, s3_command
from stand import JSON, cpu_ms, sarlens, spread, starter, static_worker

TEXT = {"model": "sarlens-nano", "messages": [{"role": "user", "content": "x" * 900}]}
IMAGE = {
    "model": "sarlens-nano",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "s3://scenes/scene.tif"}},
                {"type": "text", "text": "How many ships are in the image?"},
            ],
        }
    ],
}


@dataclass
class Case:
    """One row of the table: where the request goes and whose CPU time is counted."""

    name: str
    url: str
    process: Child
    body: bytes
    milliseconds: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)


async def send(session: aiohttp.ClientSession, case: Case, requests: int, callers: int) -> None:
    """Send ``requests`` requests, ``callers`` at a time."""

    async def caller() -> None:
        for _ in range(requests // callers):
            async with session.post(f"{case.url}/v1/chat/completions", data=case.body, headers=JSON) as response:
                answer = await response.read()
                assert response.status == 200, answer

    await asyncio.gather(*(caller() for _ in range(callers)))


async def measure(cases: list[Case], *, rounds: int, requests: int, callers: int) -> None:
    """Fill the cases' figures, every case once a round."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        for case in cases:
            await send(session, case, callers * 8, callers)
        for number in range(rounds):
            for case in cases:
                before, began = cpu_ms(case.process), loop.time()
                await send(session, case, requests, callers)
                case.milliseconds.append((cpu_ms(case.process) - before) / requests)
                case.per_second.append(requests / (loop.time() - began))
            print(f"round {number + 1} of {rounds} done", file=sys.stderr)


def write_scene(path: Path) -> None:
    """A 2048 x 2048 scene of digital numbers with overviews, as a detected product has them."""
    rng = np.random.default_rng(0)
    pixels = (100 * np.sqrt(rng.gamma(4.0, 0.25, (2048, 2048)))).astype(np.uint16)
    profile = {"driver": "GTiff", "width": 2048, "height": 2048, "count": 1, "dtype": "uint16", "tiled": True}
    with rasterio.open(path, "w", **profile, blockxsize=512, blockysize=512, compress="deflate") as scene:
        scene.write(pixels, 1)
        scene.build_overviews([2, 4, 8])


def main() -> None:
    """Start everything, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=4000, help="requests a round and row")
    parser.add_argument("--callers", type=int, default=16, help="requests at the same time")
    given = parser.parse_args()
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (state / "scenes").mkdir()
        write_scene(state / "scenes" / "scene.tif")
        start = starter(stack, state)
        os.environ.update(KEYS)
        port = free_port()
        s3_url = f"http://127.0.0.1:{port}"
        worker_url, worker = static_worker(start, "worker")
        fill_bucket(start("s3", s3_command(state / "s3", port), {}), s3_url, state / "scenes")
        url, gateway = sarlens(start, [worker_url], {"SARLENS_S3__ENDPOINT": s3_url})
        cases = [
            Case("the bare worker, 1 kB text", worker_url, worker, orjson.dumps(TEXT)),
            Case("Sarlens, 1 kB text passed through", url, gateway, orjson.dumps(TEXT)),
            Case("Sarlens, cached s3:// image", url, gateway, orjson.dumps(IMAGE)),
        ]
        asyncio.run(measure(cases, rounds=given.rounds, requests=given.requests, callers=given.callers))
        print(f"{'':36}CPU ms a request             requests a second")
        for case in cases:
            print(f"{case.name:36}{spread(case.milliseconds, '.3f')}   {spread(case.per_second, '.0f')}")


if __name__ == "__main__":
    main()
