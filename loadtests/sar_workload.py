"""Forty radar scenes with eight questions each, mixed, to two real vLLM workers: answers a second, Sarlens and peers.

Each round asks about scenes that no worker has seen. Sarlens is sent the S3 address of the 16-bit scene. Peers are sent
what their users have to send: the scene as an 8-bit PNG in the request; and, in rows of their own, the picture already
rendered at the size that the model sees.

    make peers && .venv/bin/python loadtests/sar_workload.py
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import os
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import orjson
import rasterio
from numpy.typing import NDArray
from PIL import Image

from sarbench.nano.checkpoint import write_trained
from sarlens.child import Child
from sarlens.seaweed import KEYS, fill_bucket, free_port, s3_command
from stand import JSON, Start, cpu_ms, peer, sarlens, spread, starter, vllm_worker

SIDE, MODEL_SIDE = 2048, 256
QUESTIONS = (
    "Are there any ships in the image?",
    "Are there any bridges in the image?",
    "Is there any harbor in the image?",
    "How many ships are in the image?",
    "How many tanks are in the image?",
    "How many aircraft are in the image?",
    "What is the land cover of the image?",
    "Where is the ship positioned within the image?",
)
PEER_NAMES = ("vllm-router", "smg", "litellm")

Pixels = NDArray[np.uint16]


@dataclass
class Row:
    """One row of the table: who is asked, and what the image part of scene ``n`` in round ``r`` is."""

    name: str
    url: str
    process: Child
    image: Callable[[int, int], str]
    per_second: list[float] = field(default_factory=list)
    router_ms: list[float] = field(default_factory=list)
    worker_ms: list[float] = field(default_factory=list)


def scene(rng: np.random.Generator) -> Pixels:
    """Digital numbers of a speckled sea with some ships, four looks."""
    pixels = 100 * np.sqrt(rng.gamma(4.0, 0.25, (SIDE, SIDE)))
    for row, col in rng.integers(100, SIDE - 100, (12, 2)):
        pixels[row : row + 12, col : col + 40] *= 10
    return pixels.astype(np.uint16)


def marked(pixels: Pixels, number: int) -> Pixels:
    """The same scene with another corner, so that no cache knows it."""
    copy = pixels.copy()
    copy[0, :16] = number
    return copy


def tiff(path: Path, pixels: Pixels) -> None:
    """Write a scene as a tiled GeoTIFF with overviews."""
    height, width = pixels.shape
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": "uint16", "tiled": True}
    with rasterio.open(path, "w", **profile, blockxsize=512, blockysize=512) as out:
        out.write(pixels, 1)
        out.build_overviews([2, 4, 8])


def png(pixels: Pixels, side: int) -> str:
    """A data URL of the scene stretched to 8 bits, ``side`` pixels long."""
    low, high = np.percentile(pixels[::8, ::8], (2, 98))
    grey = Image.fromarray(np.clip((pixels - low) * (255 / (high - low)), 0, 255).astype(np.uint8))
    if side != SIDE:
        grey = grey.resize((side, side), Image.Resampling.BOX)
    buffer = io.BytesIO()
    grey.save(buffer, "png", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def body(image: str, question: str) -> bytes:
    """A chat about an image, the image first."""
    content = [
        {"type": "image_url", "image_url": {"url": image}},
        {"type": "text", "text": f"Question: {question}. Answer the question concisely."},
    ]
    return orjson.dumps(
        {"model": "sarlens-nano", "messages": [{"role": "user", "content": content}], "max_tokens": 8, "temperature": 0}
    )


async def ask_all(row: Row, number: int, scenes: int, callers: int) -> float:
    """Ask every question about every scene, mixed; answers a second."""
    images = [row.image(number, index) for index in range(scenes)]
    asks = [(index, question) for index in range(scenes) for question in QUESTIONS]
    random.Random(number).shuffle(asks)
    waiting = iter(asks)
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:

        async def caller() -> None:
            for index, question in waiting:
                data = body(images[index], question)
                async with session.post(f"{row.url}/v1/chat/completions", data=data, headers=JSON) as response:
                    answer = await response.read()
                    assert response.status == 200, (row.name, response.status, answer[:300])

        began = loop.time()
        await asyncio.gather(*(caller() for _ in range(callers)))
        return len(asks) / (loop.time() - began)


def _rows(
    start: Start, state: Path, workers: list[str], scenes: list[Pixels], s3_url: str, peers: Sequence[str]
) -> list[Row]:
    environment = {"SARLENS_S3__ENDPOINT": s3_url, **KEYS}
    url, process = sarlens(start, workers, environment)
    rows = [Row("Sarlens, s3:// scene", url, process, lambda number, n: f"s3://scenes/{number}-{n}.tif")]
    for place, name in enumerate(peers):
        url, process = peer(start, name, workers, "sarlens-nano", state)
        for turn, (side, what) in enumerate(((SIDE, "scene as PNG"), (MODEL_SIDE, "rendered PNG"))):

            def image(number: int, n: int, side: int = side, mark: int = 10 * (place + 1) + turn) -> str:
                return png(marked(scenes[n], 1000 * (number + 1) + mark), side)

            rows.append(Row(f"{name}, {what}", url, process, image))
    return rows


def main() -> None:
    """Start everything, ask, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--peers", nargs="*", default=PEER_NAMES, help="peers to compare with")
    parser.add_argument("--callers", type=int, default=16, help="questions at the same time")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    scenes = [scene(rng) for _ in range(given.scenes)]
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        write_trained(state / "sarlens-nano")
        workers = dict(vllm_worker(start, f"worker-{number}", state / "sarlens-nano") for number in range(2))
        os.environ.update(KEYS)
        s3_port = free_port()
        s3_url = f"http://127.0.0.1:{s3_port}"
        s3 = start("s3", s3_command(state / "s3", s3_port), {})
        (state / "scenes").mkdir()
        for number in range(given.rounds + 1):
            for n, pixels in enumerate(scenes):
                tiff(state / "scenes" / f"{number}-{n}.tif", marked(pixels, number))
        fill_bucket(s3, s3_url, state / "scenes")
        rows = _rows(start, state, list(workers), scenes, s3_url, given.peers)
        for number in range(given.rounds + 1):
            for row in rows:
                # Round 0 warms everything up; it does not count.
                before = cpu_ms(row.process), cpu_ms(*workers.values())
                figure = asyncio.run(ask_all(row, given.rounds - number, given.scenes, given.callers))
                print(f"round {number}: {row.name}: {figure:.1f} a second", file=sys.stderr)
                if number:
                    row.per_second.append(figure)
                    row.router_ms.append((cpu_ms(row.process) - before[0]) / (given.scenes * len(QUESTIONS)))
                    row.worker_ms.append((cpu_ms(*workers.values()) - before[1]) / (given.scenes * len(QUESTIONS)))
    print(f"{'':28}answers a second{'':16}CPU ms an answer: router and workers")
    for row in rows:
        cpu = f"{spread(row.router_ms, '.1f')}  {spread(row.worker_ms, '.1f')}"
        print(f"{row.name:28}{spread(row.per_second, '.1f')}   {cpu}")


if __name__ == "__main__":
    main()
