"""What surveys are measured on: a simulated sea with ships at known places, as a COG in a local S3 server."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from sarbench.simulate.geotiff import Encoding, write_geotiff
from sarbench.simulate.layouts.fleet import fleet
from sarbench.simulate.scene import Scene
from sarlens.request import Window
from sarlens.seaweed import KEYS, fill_bucket, free_port, s3_command
from stand import HERE, Start

SIDE, SHIPS, SPACING, SEED = 20_000, 500, 10.0, 5
KEPT = Path(os.environ.get("SARLENS_OCEAN", HERE.parent / ".local" / "ocean"))
"""Where scenes are kept from one run to the next; each is a folder that becomes a bucket."""


def sea() -> Scene:
    """20,000 x 20,000 pixels of 10 m with 500 ships; the same every time."""
    return fleet(SEED, SIDE, SIDE, SPACING, SHIPS)


def sea_file() -> Path:
    """The sea as a COG of uint16, which is made if it is not there."""
    path = KEPT / "sea" / "sea.tif"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_geotiff(sea(), path, Encoding.DN)
    return path


def wide_file(times: int) -> Path:
    """The sea ``times`` over either way, as a tiled GeoTIFF without overviews."""
    path = KEPT / f"sea{times}" / "sea.tif"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(sea_file()) as small:
        profile = {**small.profile, "driver": "GTiff", "width": times * SIDE, "height": times * SIDE}
        with rasterio.open(path, "w", **profile, bigtiff="YES", zlevel=1, num_threads="ALL_CPUS") as wide:
            for row in range(0, times * SIDE, 512):
                line = _line(small, row % SIDE, min(512, times * SIDE - row))
                box = rasterio.windows.Window(0, row, times * SIDE, len(line))
                wide.write(np.tile(line, times), 1, window=box)
    return path


def _line(small: Any, row: int, height: int) -> NDArray[np.uint16]:
    """Rows of the sea, which begins anew at its end."""
    first = small.read(1, window=rasterio.windows.Window(0, row, SIDE, min(height, SIDE - row)))
    rest = small.read(1, window=rasterio.windows.Window(0, 0, SIDE, height - len(first)))
    return np.concatenate([first, rest])


def served(start: Start, state: Path, file: Path) -> str:
    """Put the folder of a scene into the bucket of an S3 server; its URL."""
    os.environ.update(KEYS)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    fill_bucket(start("s3", s3_command(state / "s3", port), {}), url, file.parent)
    return url


def block_bytes(file: Path, windows: Iterable[Window]) -> int:
    """What the blocks that windows touch weigh in the file, by its TileByteCounts; each block counts once."""
    with rasterio.open(file) as scene:
        rows, cols = scene.block_shapes[0]
        touched = {
            block
            for window in windows
            for block in product(
                range(window.row // rows, (window.row + window.height - 1) // rows + 1),
                range(window.col // cols, (window.col + window.width - 1) // cols + 1),
            )
        }
        return sum(int(scene.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=1)) for row, col in touched)
