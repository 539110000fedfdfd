"""What it costs to read a scene in S3 and to render its tiles, beside the raw floor, and what a whole survey needs.

The scene is a simulated COG of 20,000 x 20,000 uint16. The floor is rasterio reading the same windows from the same
server, numpy turning them into 8 bits of decibels between two percentiles, and Pillow reducing and packing them: the
same pictures, to one level of brightness. Then the whole scene is surveyed by a gateway before a worker that answers
from memory.

    .venv/bin/python loadtests/survey_cost.py
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import rasterio
from PIL import Image

from ocean import SIDE, block_bytes, sea_file, served, wide_file
from sarlens.child import Child
from sarlens.imagery.blob import Limits
from sarlens.imagery.cache import Blocks, ByteLRU
from sarlens.imagery.data import Data
from sarlens.imagery.pictures import Pictures
from sarlens.imagery.raster import Picture
from sarlens.imagery.s3 import S3
from sarlens.imagery.s3_account import Account
from sarlens.imagery.source import Sources
from sarlens.metrics import Metrics
from sarlens.request import ANYBODY, Render, Window
from sarlens.survey.grid import Grid
from stand import cpu_ms, sarlens, spread, starter, static_worker

URL = "s3://scenes/sea.tif"
MODEL_SIDE = 256
QUESTION = "How many ships are in the image?"
FLOOR_GDAL = {
    "AWS_HTTPS": "NO",
    "AWS_VIRTUAL_HOSTING": "FALSE",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_NON_CACHED": "/vsis3/",
}

Drawn = dict[Window, bytes]


@dataclass
class Row:
    """One row of the table: a name, and what draws tiles of the scene."""

    name: str
    draw: Callable[[Sequence[Window]], Drawn]
    milliseconds: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)


def floor(endpoint: str, tiles: Sequence[Window]) -> Drawn:
    """Tiles as anybody would draw them with rasterio, numpy and Pillow."""
    host = endpoint.removeprefix("http://")
    drawn = {}
    with rasterio.Env(AWS_S3_ENDPOINT=host, **FLOOR_GDAL), rasterio.open(URL) as scene:
        for tile in tiles:
            numbers = scene.read(1, window=rasterio.windows.Window(*tile))
            level = 20 * np.log10(np.maximum(numbers, 1, dtype=np.float32))
            low, high = np.percentile(level, (2, 98))
            grey = np.clip((level - low) * (255 / (high - low)) + 0.5, 0, 255).astype(np.uint8)
            image = Image.fromarray(grey)
            if max(image.size) > MODEL_SIDE:
                share = MODEL_SIDE / max(image.size)
                size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
                image = image.resize(size, Image.Resampling.HAMMING)
            held = io.BytesIO()
            image.save(held, "PNG", compress_level=1)
            drawn[tile] = held.getvalue()
    return drawn


async def ours(endpoint: str, render: Render, tiles: Sequence[Window]) -> Drawn:
    """Tiles as a survey draws them, with empty caches."""
    blocks: Blocks = ByteLRU(256 * 2**20, weigh=len)
    kept: ByteLRU[str, Picture] = ByteLRU(256 * 2**20, weigh=lambda picture: len(picture.data))
    data = Data(2**20)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        sources = Sources({"s3": S3(Account(endpoint=endpoint), blocks)}, data)
        pictures = Pictures(sources, kept, threads, Limits(), Metrics())
        first = await pictures.find(URL, render.at(tiles[0]), MODEL_SIDE, ANYBODY)
        drawn: Drawn = {}
        version = first.original.version
        async with pictures.reel(first) as reel:
            for strip in await reel.strips(tiles):
                found = await asyncio.gather(
                    *(pictures.find(URL, render.at(tile), MODEL_SIDE, ANYBODY, version) for tile in strip)
                )
                await pictures.draw_together(reel, found)
                for tile, negative in zip(strip, found, strict=True):
                    drawn[tile] = (await pictures.draw(negative)).data
    return drawn


def alike(one: Drawn, other: Drawn) -> int:
    """By how many levels of brightness pictures of the same tiles differ at most."""

    def pixels(data: bytes) -> Any:
        return np.asarray(Image.open(io.BytesIO(data)), np.int16)

    assert one.keys() == other.keys()
    return max(int(np.abs(pixels(one[tile]) - pixels(other[tile])).max()) for tile in one)


def measure(rows: Sequence[Row], tiles: Sequence[Window], rounds: int) -> None:
    """Fill the rows' figures, each row once a round; a round before them warms up and does not count."""
    for number in range(rounds + 1):
        shown: list[Drawn] = []
        for row in rows:
            cpu, wall = time.process_time(), time.perf_counter()
            shown.append(row.draw(tiles))
            if number:
                row.milliseconds.append(1000 * (time.process_time() - cpu) / len(tiles))
                row.per_second.append(len(tiles) / (time.perf_counter() - wall))
        assert alike(shown[0], shown[1]) <= 1
        print(f"round {number} of {rounds} done", file=sys.stderr)


def tile_costs(endpoint: str, tiles: Sequence[Window], rounds: int) -> None:
    """Print the table of reading and rendering."""
    plain, sarlang = Render(preset="plain"), Render()
    rows = [
        Row("raw floor", lambda some: floor(endpoint, some)),
        Row("Sarlens, no filter", lambda some: asyncio.run(ours(endpoint, plain, some))),
        Row("Sarlens, refined Lee", lambda some: asyncio.run(ours(endpoint, sarlang, some))),
    ]
    measure(rows, tiles, rounds)
    print(f"{'':22}CPU ms a tile{'':18}tiles a second")
    for row in rows:
        print(f"{row.name:22}{spread(row.milliseconds, '.2f')}   {spread(row.per_second, '.0f')}")
    ratios = [mine / least for mine, least in zip(rows[1].milliseconds, rows[0].milliseconds, strict=True)]
    print(f"no filter over floor  {spread(ratios, '.3f')}")


async def survey(base: str, tile: int, overlap: int) -> dict[str, Any]:
    """Survey the whole scene as a job; how it ended."""
    body = {"image": {"url": URL, "sar": {"preset": "plain"}}, "questions": [QUESTION], "tile": tile}
    async with aiohttp.ClientSession() as session:
        headers = {"Prefer": "respond-async"}
        async with session.post(f"{base}/v1/sar/surveys", json={**body, "overlap": overlap}, headers=headers) as got:
            assert got.status == 201, await got.text()
            name = (await got.json())["id"]
        while True:
            async with session.get(f"{base}/v1/sar/surveys/{name}") as got:
                told: dict[str, Any] = await got.json()
            if told["status"] not in {"accepted", "running"}:
                return told
            await asyncio.sleep(0.5)


async def fetched(base: str) -> float:
    """Bytes that a gateway has fetched from S3."""
    async with aiohttp.ClientSession() as session, session.get(f"{base}/metrics") as got:
        lines = (await got.text()).splitlines()
    return float(next(line for line in lines if line.startswith('sarlens_fetched_bytes_total{scheme="s3"')).split()[-1])


def peak_mb(process: Child) -> float:
    """The most memory that a process has had resident."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def whole(file: Path, side: int, tile: int, overlap: int) -> None:
    """Survey all of a scene with a gateway of its own and print what that took."""
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        endpoint = served(start, state, file)
        worker, _ = static_worker(start, "worker")
        settings = {"SARLENS_S3__ENDPOINT": endpoint, "SARLENS_SURVEY__DATABASE": f"sqlite:///{state / 'jobs.db'}"}
        base, gateway = sarlens(start, [worker], settings)
        before = cpu_ms(gateway)
        told = asyncio.run(survey(base, tile, overlap))
        assert told["status"] == "successful", told
        assert told["answered"] == told["tiles"]
        cost = (cpu_ms(gateway) - before) / told["tiles"]
        everything = Grid(tile, overlap).within(side, side, Window(0, 0, side, side))
        moved = asyncio.run(fetched(base)) / block_bytes(file, everything)
        print(f"{side:>9} {told['tiles']:>7} {cost:>15.2f} {moved:>25.3f} {peak_mb(gateway):>13.0f}", flush=True)


def main() -> None:
    """Make the scene, measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="0 leaves the first table out")
    parser.add_argument("--tiles", type=int, default=208, help="tiles that are drawn in a round")
    parser.add_argument("--tile", type=int, default=448)
    parser.add_argument("--overlap", type=int, default=64)
    parser.add_argument("--times", type=int, nargs="*", default=[2], help="larger scenes, in sides of the first")
    given = parser.parse_args()
    file = sea_file()
    tiles = list(Grid(given.tile, given.overlap).within(SIDE, SIDE, Window(0, 0, SIDE, SIDE)))[: given.tiles]
    if given.rounds:
        with ExitStack() as stack:
            state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            tile_costs(served(starter(stack, state), state, file), tiles, given.rounds)
    print("\nwhole scene   tiles   CPU ms a tile   bytes moved over blocks'   peak RSS, MB")
    whole(file, SIDE, given.tile, given.overlap)
    for times in given.times:
        whole(wide_file(times), times * SIDE, given.tile, given.overlap)


if __name__ == "__main__":
    main()
