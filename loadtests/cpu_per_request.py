"""What a request costs: CPU milliseconds of the worker alone and of Sarlens before it, in one interleaved run.

The worker is a static one (``static_worker.py``), so that its own work does not hide the gateway's. A real worker can
be named with --worker; its CPU is then not counted.

    .venv/bin/python loadtests/cpu_per_request.py
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import orjson
import rasterio

from sarlens.child import Child, child
from sarlens.seaweed import KEYS, fill_bucket, free_port, s3_command

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


def cpu_ms(process: Child) -> float:
    """CPU time that a process has used, in milliseconds."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1000


async def send(session: aiohttp.ClientSession, case: Case, requests: int, callers: int) -> None:
    """Send ``requests`` requests, ``callers`` at a time."""

    async def caller() -> None:
        for _ in range(requests // callers):
            async with session.post(f"{case.url}/v1/chat/completions", data=case.body, headers=JSON) as response:
                answer = await response.read()
                assert response.status == 200, answer

    await asyncio.gather(*(caller() for _ in range(callers)))


JSON = {"content-type": "application/json"}


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


def _spread(values: list[float], form: Callable[[float], str]) -> str:
    return f"{form(statistics.median(values)):>8}  ({form(min(values))} to {form(max(values))})"


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
        ports = free_port(), free_port(), free_port()
        worker_url, s3_url, url = (f"http://127.0.0.1:{port}" for port in ports)
        os.environ.update(KEYS)

        def start(name: str, command: list[str]) -> Child:
            environment = {"SARLENS_S3__ENDPOINT": s3_url, "SARLENS_LOG_LEVEL": "error"}
            return stack.enter_context(child(name, command, environment, state / f"{name}.log"))

        script = str(Path(__file__).with_name("static_worker.py"))
        worker = start("worker", [sys.executable, script, str(ports[0])])
        s3 = start("s3", s3_command(state / "s3", ports[1]))
        fill_bucket(s3, s3_url, state / "scenes")
        command = [sys.executable, "-m", "sarlens", "serve", "--worker", worker_url, "--port", str(ports[2])]
        gateway = start("gateway", command)
        cases = [
            Case("the bare worker, 1 kB text", worker_url, worker, orjson.dumps(TEXT)),
            Case("Sarlens, 1 kB text passed through", url, gateway, orjson.dumps(TEXT)),
            Case("Sarlens, cached s3:// image", url, gateway, orjson.dumps(IMAGE)),
        ]
        asyncio.run(_wait(f"{url}/readyz", gateway))
        asyncio.run(measure(cases, rounds=given.rounds, requests=given.requests, callers=given.callers))
        print(f"{'':36}CPU ms a request             requests a second")
        for case in cases:
            cpu = _spread(case.milliseconds, "{:.3f}".format)
            print(f"{case.name:36}{cpu}   {_spread(case.per_second, '{:.0f}'.format)}")


async def _wait(url: str, process: Child) -> None:
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while not process.ended:
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.1)
    raise SystemExit(f"the {process.name} ended:\n{process.last_words()}")


if __name__ == "__main__":
    main()
