"""CPU milliseconds of a gateway per question about a new image in S3, and the requests to the store for each image.

The images are GeoTIFFs of 16-bit numbers without compression, as COG and with overviews after the image. The worker
answers from memory (``stub_worker.py``), so that its own work doesn't count. With ``--baseline``, the gateway of
another checkout is measured in turns; its native kernels must be built.

    .venv/bin/python loadtests/new_image.py --baseline ../sarlens-before
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio.shutil
from rasterio.io import MemoryFile

from cpu_per_request import start_gateway
from harness import HERE, spread, starter, stub_worker
from sar_scenes import Pixels, tiff
from sarlens.devstack.ports import free_port
from sarlens.devstack.seaweedfs import S3_CREDENTIALS, seaweedfs_command, upload_samples
from sarlens.runtime.child_process import ManagedProcess
from service_times import about, cost_ms, s3_totals

CALLERS = 16
IMAGES = {512: 40, 2048: 12}
"""Images of a round by the pixels of a side."""
KINDS = ("COG", "overviews appended")


class Row(NamedTuple):
    """One row of the table."""

    kind: str
    side: int
    label: str
    milliseconds: list[float]
    reads: list[float]


def cog(path: Path, pixels: Pixels) -> None:
    """Write a Cloud Optimized GeoTIFF, whose overviews come before the image."""
    height, width = pixels.shape
    with MemoryFile() as file:
        with file.open(driver="GTiff", width=width, height=height, count=1, dtype="uint16") as dataset:
            dataset.write(pixels, 1)
        rasterio.shutil.copy(file.name, str(path), driver="COG", compress="NONE", blocksize=512)


def write_images(folder: Path, number: int) -> None:
    """Write ``number`` rounds of images of each kind and size."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for side, images in IMAGES.items():
        pixels = (100 * np.sqrt(rng.gamma(4.0, 0.25, (side, side)))).astype(np.uint16)
        for index in range(images * number):
            pixels[0, :16] = index
            cog(folder / f"COG-{side}-{index}.tif", pixels)
            tiff(folder / f"overviews appended-{side}-{index}.tif", pixels)


async def measure(row: Row, url: str, process: ManagedProcess, numbers: range, metrics_port: int) -> None:
    """Ask about images that the gateway doesn't know."""

    def body(number: int) -> bytes:
        return about(f"s3://scenes/{row.kind.replace(' ', '%20')}-{row.side}-{number}.tif", "Any?")

    before = await s3_totals(metrics_port)
    row.milliseconds.append(await cost_ms(url, process, body, numbers, CALLERS))
    after = await s3_totals(metrics_port)
    row.reads.append((after["reads"] - before["reads"]) / len(numbers))


def main() -> None:
    """Start everything, measure, and print the table. The first round warms up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--baseline", type=Path, help="another checkout, whose gateway is measured as well")
    options = parser.parse_args()
    checkouts = {"now": HERE.parent, **({"before": options.baseline} if options.baseline else {})}
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_images(state / "scenes", (options.rounds + 1) * len(checkouts))
        start = starter(stack, state)
        os.environ.update(S3_CREDENTIALS)
        port, metrics_port = free_port(), free_port()
        s3_url = f"http://127.0.0.1:{port}"
        store = start("s3", [*seaweedfs_command(state / "s3", port), f"-metricsPort={metrics_port}"], {})
        upload_samples(store, s3_url, state / "scenes")
        worker_url, _ = stub_worker(start, "worker")
        gateways = {label: start_gateway(start, worker_url, s3_url, path) for label, path in checkouts.items()}
        rows = [Row(kind, side, label, [], []) for kind in KINDS for side in IMAGES for label in gateways]
        used = {(kind, side): count(0, IMAGES[side]) for kind in KINDS for side in IMAGES}
        for number in range(options.rounds + 1):
            for row in rows if number % 2 else reversed(rows):
                first = next(used[row.kind, row.side])
                numbers = range(first, first + IMAGES[row.side])
                asyncio.run(measure(row, *gateways[row.label], numbers, metrics_port))
    print(f"{'':36}CPU ms a new image               reads")
    for row in rows:
        name = f"{row.kind}, {row.side}², {row.label}"
        print(f"{name:36}{spread(row.milliseconds[1:], '.1f')}{spread(row.reads[1:], '.1f')}")


if __name__ == "__main__":
    main()
