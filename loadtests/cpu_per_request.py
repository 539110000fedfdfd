"""CPU milliseconds per request of the worker alone and of the gateway in front of it, in one interleaved run.

The worker answers from memory (``stub_worker.py``), so its own work doesn't hide the gateway's. With ``--baseline`` the
gateway of another checkout is measured in the same run.

    .venv/bin/python loadtests/cpu_per_request.py --baseline ../sarlens-before
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import orjson
import rasterio

from harness import HERE, JSON, Start, paired, print_machine, run_ms, sarlens, spread, starter, stub_worker
from sarlens.devstack.ports import free_port
from sarlens.devstack.seaweedfs import S3_CREDENTIALS, seaweedfs_command, upload_samples
from sarlens.runtime.child_process import ManagedProcess

TEXT = {"model": "sarlens-nano", "messages": [{"role": "user", "content": "x" * 900}]}
TOKENS = 32
"""Tokens of a stream of the stub worker."""
ONE_AT_A_TIME = {**TEXT, "stream": True, "messages": [{"role": "user", "content": "x" * 886 + " one at a time"}]}
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
    """One row of the table: the target of the request and the process whose CPU time counts."""

    name: str
    url: str
    process: ManagedProcess
    body: bytes
    part: int = 1
    """Divisor of the number of requests, for slow ones."""
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
    """Measure every case once a round, in alternating order."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        for case in cases:
            await send(session, case, callers * 8, callers)
        for number in range(rounds):
            for case in cases if number % 2 else reversed(cases):
                before, began, number_sent = run_ms(case.process), loop.time(), requests // case.part
                await send(session, case, number_sent, callers)
                case.milliseconds.append((run_ms(case.process) - before) / number_sent)
                case.per_second.append(number_sent / (loop.time() - began))
            print(f"round {number + 1} of {rounds} done", file=sys.stderr)


def write_scene(path: Path) -> None:
    """Write a 2048 x 2048 scene of digital numbers with overviews, as in a detected product."""
    rng = np.random.default_rng(0)
    pixels = (100 * np.sqrt(rng.gamma(4.0, 0.25, (2048, 2048)))).astype(np.uint16)
    profile = {"driver": "GTiff", "width": 2048, "height": 2048, "count": 1, "dtype": "uint16", "tiled": True}
    with rasterio.open(path, "w", **profile, blockxsize=512, blockysize=512, compress="deflate") as scene:
        scene.write(pixels, 1)
        scene.build_overviews([2, 4, 8])


def start_gateway(start: Start, worker_url: str, s3_url: str, checkout: Path) -> tuple[str, ManagedProcess]:
    """Start the gateway of a checkout in front of a worker, and wait until it is ready."""
    environment = {"SARLENS_S3__ENDPOINT": s3_url, "PYTHONPATH": str(checkout.resolve() / "service")}
    return sarlens(start, [worker_url], environment)


def _milliseconds(cases: list[Case], gateway: str, title: str) -> float:
    return statistics.median(next(case for case in cases if case.name.startswith(f"{gateway}, {title}")).milliseconds)


def main() -> None:
    """Start everything, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=4000, help="requests a round and row")
    parser.add_argument("--callers", type=int, default=16, help="concurrent requests")
    parser.add_argument("--baseline", type=Path, help="another checkout, whose gateway is measured as well")
    parser.add_argument("--text-only", action="store_true", help="leave the s3:// image out")
    options = parser.parse_args()
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (state / "scenes").mkdir()
        write_scene(state / "scenes" / "scene.tif")
        start = starter(stack, state)
        os.environ.update(S3_CREDENTIALS)
        port = free_port()
        s3_url = f"http://127.0.0.1:{port}"
        worker_url, worker = stub_worker(start, "worker")
        upload_samples(start("s3", seaweedfs_command(state / "s3", port), {}), s3_url, state / "scenes")
        cases = [Case("the bare worker, 1 kB text", worker_url, worker, orjson.dumps(TEXT))]
        bodies = {
            "1 kB text forwarded": TEXT,
            f"a stream of {TOKENS} tokens": {**TEXT, "stream": True},
            "the same, one at a time": ONE_AT_A_TIME,
        }
        bodies |= {} if options.text_only else {"cached s3:// image": IMAGE}
        gateways = {"Sarlens": start_gateway(start, worker_url, s3_url, HERE.parent)}
        if options.baseline:
            gateways["baseline"] = start_gateway(start, worker_url, s3_url, options.baseline)
        cases += [
            Case(f"{name}, {title}", url, process, orjson.dumps(body), 8 if body is ONE_AT_A_TIME else 1)
            for title, body in bodies.items()
            for name, (url, process) in gateways.items()
        ]
        asyncio.run(measure(cases, rounds=options.rounds, requests=options.requests, callers=options.callers))
        print_machine()
        print(f"{'':36}CPU ms a request             requests a second")
        for case in cases:
            print(f"{case.name:36}{spread(case.milliseconds, '.3f')}   {spread(case.per_second, '.0f')}")
        for name in gateways:
            tokens_ms = _milliseconds(cases, name, "the same, one at a time") - _milliseconds(cases, name, "1 kB text")
            print(f"{name}: {tokens_ms / TOKENS:.4f} ms a token, of medians")
        if options.baseline:
            for ours, theirs in zip(cases[1::2], cases[2::2], strict=True):
                ratios = paired(ours.milliseconds, theirs.milliseconds)
                print(f"{ours.name}: {spread(ratios, '.3f').strip()} times the CPU of the baseline, by round")


if __name__ == "__main__":
    main()
