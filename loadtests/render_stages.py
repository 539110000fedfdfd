"""CPU milliseconds of the stages of a new image, in process: decode, detect, filter, decibels, stretch, reduce and PNG.

The images are GeoTIFFs in memory of 16-bit numbers with overviews, without compression or with DEFLATE and a predictor.
With ``--baseline``, another checkout is measured in turns; its native kernels must be built. ``--numpy`` uses none.

    .venv/bin/python loadtests/render_stages.py --baseline ../sarlens-before
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from statistics import median
from time import thread_time
from typing import Any, TypeVar

import numpy as np
from rasterio.io import MemoryFile

from harness import HERE, print_machine
from sarlens.imagery.core.object_reader import DecodeLimits, InMemoryObject
from sarlens.imagery.core.radiometry import detect, looks_for_size, multilook, to_db
from sarlens.imagery.core.raster import Raster
from sarlens.imagery.formats.reader import read_image
from sarlens.imagery.render import kernels
from sarlens.imagery.render.pipeline import resize
from sarlens.imagery.render.png import encode_png
from sarlens.imagery.render.speckle import despeckle
from sarlens.imagery.render.stretch import stretch
from sarlens.runtime.malloc import tune_malloc
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Looks

T = TypeVar("T")
CASES = [(512, 256, "none"), (512, 448, "none"), (2048, 256, "none"), (2048, 448, "none"), (2048, 448, "deflate")]
REPEATS = 15
Stages = dict[str, list[float]]


def scene(side: int, compress: str) -> InMemoryObject:
    """Return a GeoTIFF of four-look speckle."""
    pixels = (100 * np.sqrt(np.random.default_rng(0).gamma(4.0, 0.25, (side, side)))).astype(np.uint16)
    profile: dict[str, Any] = {"width": side, "height": side, "count": 1, "dtype": "uint16", "tiled": True}
    profile |= {"blockxsize": 512, "blockysize": 512, "compress": compress}
    if compress == "deflate":
        profile["predictor"] = 2
    with MemoryFile() as file:
        with file.open(driver="GTiff", **profile) as dataset:
            dataset.write(pixels, 1)
            dataset.build_overviews([2, 4, 8])
        return InMemoryObject("s3://scenes/scene.tif", "", bytes(file.getbuffer()))


def stage_times(image: InMemoryObject, size: int) -> Stages:
    """Return the CPU milliseconds of each stage, ``REPEATS`` times."""
    stages: Stages = {}

    def timed(name: str, function: Callable[[], T]) -> T:
        started = thread_time()
        result = function()
        stages.setdefault(name, []).append(1e3 * (thread_time() - started))
        return result

    for _ in range(REPEATS):
        raster = timed("decode", lambda: read_image(image, RenderParams(), size, DecodeLimits()))
        assert isinstance(raster, Raster)
        looks = looks_for_size(raster.shape, size)
        power = timed("detect", lambda: multilook(detect(raster), Looks(looks, looks)))  # noqa: B023 - called at once
        filtered = timed("filter", lambda: despeckle(power, "refined_lee"))  # noqa: B023
        decibels = timed("decibels", lambda: to_db(filtered))  # noqa: B023
        levels = timed("stretch", lambda: stretch(decibels, (2, 98)))  # noqa: B023
        reduced = timed("reduce", lambda: resize(levels, size))  # noqa: B023
        timed("PNG", lambda: encode_png(reduced))  # noqa: B023
    stages["all"] = [sum(times) for times in zip(*stages.values(), strict=True)]
    return stages


def measured(checkout: Path, *options: str) -> list[Stages]:
    """Measure a checkout in a separate process."""
    command = [sys.executable, str(HERE / "render_stages.py"), "--json", *options]
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve() / "service")}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rows: list[Stages] = json.loads(ended.stdout)
    return rows


def table(rounds: dict[str, list[list[Stages]]]) -> None:
    """Print the medians of all rounds, and the range of the sum of all stages over rounds."""
    names = list(next(iter(rounds.values()))[0][0])
    print_machine()
    print(f"| image | | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    for number, (side, size, compress) in enumerate(CASES):
        for label, runs in rounds.items():
            cells = [f"{median(chain.from_iterable(run[number][name] for run in runs)):.2f}" for name in names]
            totals = [median(run[number]["all"]) for run in runs]
            kind = " DEFLATE" if compress != "none" else ""
            cells[-1] += f" ({min(totals):.1f} to {max(totals):.1f})"
            print(f"| {side}²{kind} → {size} | {label} | {' | '.join(cells)} |")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--baseline", type=Path, help="another checkout, measured as well")
    parser.add_argument("--numpy", action="store_true", help="measure without native kernels")
    parser.add_argument("--json", action="store_true", help="measure once, in this process, and print JSON")
    options = parser.parse_args()
    if options.numpy:
        kernels.NATIVE = False
    if options.json:
        tune_malloc()
        print(json.dumps([stage_times(scene(side, compress), size) for side, size, compress in CASES]))
        return
    flags = ["--numpy"] if options.numpy else []
    checkouts = {"now": HERE.parent, **({"before": options.baseline} if options.baseline else {})}
    rounds: dict[str, list[list[Stages]]] = {label: [] for label in checkouts}
    for _ in range(options.rounds):
        for label, checkout in checkouts.items():
            rounds[label].append(measured(checkout, *flags))
    table(rounds)


if __name__ == "__main__":
    main()
