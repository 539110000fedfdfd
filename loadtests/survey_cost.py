"""Cost of reading a scene from S3 and rendering its tiles, compared with a raw floor, and of a whole survey.

The scene is a simulated COG of 20,000 x 20,000 uint16. For the floor, rasterio reads the same windows from the same
server, NumPy stretches decibels between two percentiles to 8 bits, and Pillow resizes and encodes them. Its images
differ from those of Sarlens by at most one gray level. Then a gateway with ``stub_worker.py`` surveys the whole scene.

    .venv/bin/python loadtests/survey_cost.py
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import rasterio
from PIL import Image

from harness import cpu_ms, paired, print_machine, sarlens, spread, starter, stub_worker
from image_stage import image_service
from sarlens.runtime.child_process import ManagedProcess
from sarlens.surveys.tile_grid import TileGrid
from sarlens.types.caller import ANONYMOUS
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window
from sea_scene import SIDE, block_bytes, sea_file, start_s3, wide_file

URL = "s3://scenes/sea.tif"
MODEL_SIDE = 256
QUESTION = "How many ships are in the image?"
FLOOR_GDAL = {
    "AWS_HTTPS": "NO",
    "AWS_VIRTUAL_HOSTING": "FALSE",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_NON_CACHED": "/vsis3/",
}

Tiles = dict[Window, bytes]


@dataclass
class Row:
    """One row of the table: a function that renders tiles, and the measured figures."""

    name: str
    render: Callable[[Sequence[Window]], Tiles]
    milliseconds: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)


def floor_tiles(endpoint: str, tiles: Sequence[Window]) -> Tiles:
    """Render tiles with rasterio, NumPy and Pillow."""
    host = endpoint.removeprefix("http://")
    rendered_tiles = {}
    with rasterio.Env(AWS_S3_ENDPOINT=host, **FLOOR_GDAL), rasterio.open(URL) as scene:
        for tile in tiles:
            numbers = scene.read(1, window=rasterio.windows.Window(*tile))
            level = 20 * np.log10(np.maximum(numbers, 1, dtype=np.float32))
            low, high = np.percentile(level, (2, 98))
            grey = np.clip((level - low) * (255 / (high - low)) + 0.5, 0, 255).astype(np.uint8)
            image = Image.fromarray(grey)
            if max(image.size) > MODEL_SIDE:
                scale = MODEL_SIDE / max(image.size)
                size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
                image = image.resize(size, Image.Resampling.HAMMING)
            buffer = io.BytesIO()
            image.save(buffer, "PNG", compress_level=1)
            rendered_tiles[tile] = buffer.getvalue()
    return rendered_tiles


async def sarlens_tiles(endpoint: str, render: RenderParams, tiles: Sequence[Window]) -> Tiles:
    """Render tiles as a survey does, with empty caches."""
    rendered_tiles: Tiles = {}
    with image_service(endpoint) as images:
        first = await images.resolve(ImageRequest(URL, render.with_window(tiles[0])), MODEL_SIDE, ANONYMOUS)
        version = first.source_image.version
        async with images.open_row_reader(first) as rows:
            for row in await rows.group_windows(tiles):
                requests = [ImageRequest(URL, render.with_window(tile)) for tile in row]
                resolved = await asyncio.gather(
                    *(images.resolve(request, MODEL_SIDE, ANONYMOUS, version) for request in requests)
                )
                await images.render_row(rows, resolved)
                for tile, image in zip(row, resolved, strict=True):
                    rendered_tiles[tile] = (await images.render(image)).data
    return rendered_tiles


def max_difference(one: Tiles, other: Tiles) -> int:
    """Return the maximum difference between images of the same tiles, in gray levels."""

    def pixels(data: bytes) -> Any:
        return np.asarray(Image.open(io.BytesIO(data)), np.int16)

    assert one.keys() == other.keys()
    return max(int(np.abs(pixels(one[tile]) - pixels(other[tile])).max()) for tile in one)


def measure(rows: Sequence[Row], tiles: Sequence[Window], rounds: int) -> None:
    """Measure every row once a round; round 0 warms up."""
    for number in range(rounds + 1):
        results: list[Tiles] = []
        for row in rows:
            cpu, wall = time.process_time(), time.perf_counter()
            results.append(row.render(tiles))
            if number:
                row.milliseconds.append(1000 * (time.process_time() - cpu) / len(tiles))
                row.per_second.append(len(tiles) / (time.perf_counter() - wall))
        assert max_difference(results[0], results[1]) <= 1
        print(f"round {number} of {rounds} done", file=sys.stderr)


def tile_costs(endpoint: str, tiles: Sequence[Window], rounds: int) -> None:
    """Measure reading and rendering, and print the table."""
    plain, sarlang = RenderParams(preset="plain"), RenderParams()
    rows = [
        Row("raw floor", lambda windows: floor_tiles(endpoint, windows)),
        Row("Sarlens, no filter", lambda windows: asyncio.run(sarlens_tiles(endpoint, plain, windows))),
        Row("Sarlens, refined Lee", lambda windows: asyncio.run(sarlens_tiles(endpoint, sarlang, windows))),
    ]
    measure(rows, tiles, rounds)
    print_machine()
    print(f"{'':22}CPU ms a tile{'':18}tiles a second")
    for row in rows:
        print(f"{row.name:22}{spread(row.milliseconds, '.2f')}   {spread(row.per_second, '.0f')}")
    print(f"no filter over floor  {spread(paired(rows[1].milliseconds, rows[0].milliseconds), '.3f')}")


async def survey(base: str, tile: int, overlap: int) -> dict[str, Any]:
    """Survey the whole scene as a job; return its final status document."""
    body = {"image": {"url": URL, "sar": {"preset": "plain"}}, "questions": [QUESTION], "tile": tile}
    async with aiohttp.ClientSession() as session:
        headers = {"Prefer": "respond-async"}
        async with session.post(
            f"{base}/v1/sar/surveys", json={**body, "overlap": overlap}, headers=headers
        ) as response:
            assert response.status == 201, await response.text()
            job_id = (await response.json())["id"]
        while True:
            async with session.get(f"{base}/v1/sar/surveys/{job_id}") as response:
                job: dict[str, Any] = await response.json()
            if job["status"] not in {"accepted", "running"}:
                return job
            await asyncio.sleep(0.5)


async def fetched_bytes(base: str) -> float:
    """Return the bytes that a gateway has fetched from S3."""
    async with aiohttp.ClientSession() as session, session.get(f"{base}/metrics") as response:
        lines = (await response.text()).splitlines()
    return float(next(line for line in lines if line.startswith('sarlens_fetched_bytes_total{scheme="s3"')).split()[-1])


def peak_mb(process: ManagedProcess) -> float:
    """Return the peak resident memory of a process, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def survey_cost(file: Path, side: int, tile: int, overlap: int) -> None:
    """Survey a whole scene with a new gateway, and print the cost."""
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        endpoint = start_s3(start, state, file)
        worker, _ = stub_worker(start, "worker")
        settings = {"SARLENS_S3__ENDPOINT": endpoint, "SARLENS_SURVEY__DATABASE": f"sqlite:///{state / 'jobs.db'}"}
        base, gateway = sarlens(start, [worker], settings)
        before = cpu_ms(gateway)
        job = asyncio.run(survey(base, tile, overlap))
        assert job["status"] == "successful", job
        assert job["answered"] == job["tiles"]
        cost = (cpu_ms(gateway) - before) / job["tiles"]
        everything = TileGrid(tile, overlap).tiles(side, side, Window(0, 0, side, side))
        fetched = asyncio.run(fetched_bytes(base)) / block_bytes(file, everything)
        print(f"{side:>9} {job['tiles']:>7} {cost:>15.2f} {fetched:>25.3f} {peak_mb(gateway):>13.0f}", flush=True)


def main() -> None:
    """Write the scene, measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the first table; 0 omits it")
    parser.add_argument("--tiles", type=int, default=208, help="rendered tiles per round")
    parser.add_argument("--tile", type=int, default=448)
    parser.add_argument("--overlap", type=int, default=64)
    parser.add_argument(
        "--times", type=int, nargs="*", default=[2], help="larger scenes, as multiples of the side of the first"
    )
    args = parser.parse_args()
    file = sea_file()
    tiles = list(TileGrid(args.tile, args.overlap).tiles(SIDE, SIDE, Window(0, 0, SIDE, SIDE)))[: args.tiles]
    if args.rounds:
        with ExitStack() as stack:
            state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            tile_costs(start_s3(starter(stack, state), state, file), tiles, args.rounds)
    print_machine()
    print("\nwhole scene   tiles   CPU ms a tile   bytes moved over blocks'   peak RSS, MB")
    survey_cost(file, SIDE, args.tile, args.overlap)
    for times in args.times:
        survey_cost(wide_file(times), times * SIDE, args.tile, args.overlap)


if __name__ == "__main__":
    main()
