"""Scene of the survey measurements: a simulated sea with ships at known positions, as a COG in a local S3 server."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from harness import HERE, Start
from sarbench.simulate.geotiff import Encoding, write_geotiff
from sarbench.simulate.layouts.open_sea import open_sea_scene
from sarbench.simulate.scene import Scene
from sarlens.devstack.ports import free_port
from sarlens.devstack.seaweedfs import S3_CREDENTIALS, seaweedfs_command, upload_samples
from sarlens.types.window import Window

SIDE, SHIPS, SPACING, SEED = 20_000, 500, 10.0, 5
SCENES_DIR = Path(os.environ.get("SARLENS_OCEAN", HERE.parent / ".local" / "ocean"))
"""Cache of simulated scenes; each scene has a folder, whose content is uploaded to a bucket."""


def sea() -> Scene:
    """Return the sea of 20,000 x 20,000 pixels of 10 m with 500 ships, from a fixed seed."""
    return open_sea_scene(SEED, SIDE, SIDE, SPACING, SHIPS)


def sea_file() -> Path:
    """Return the path of the sea as a COG of uint16, and write the file if it is missing."""
    path = SCENES_DIR / "sea" / "sea.tif"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_geotiff(sea(), path, Encoding.DN)
    return path


def wide_file(times: int) -> Path:
    """Return the path of the sea, repeated ``times`` in both directions, as a tiled GeoTIFF without overviews."""
    path = SCENES_DIR / f"sea{times}" / "sea.tif"
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
    """Return rows of the sea, wrapped around at its end."""
    first = small.read(1, window=rasterio.windows.Window(0, row, SIDE, min(height, SIDE - row)))
    rest = small.read(1, window=rasterio.windows.Window(0, 0, SIDE, height - len(first)))
    return np.concatenate([first, rest])


def start_s3(start: Start, state: Path, file: Path) -> str:
    """Start an S3 server with the folder of a scene in its bucket; return its endpoint."""
    os.environ.update(S3_CREDENTIALS)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    upload_samples(start("s3", seaweedfs_command(state / "s3", port), {}), url, file.parent)
    return url


def block_bytes(file: Path, windows: Iterable[Window]) -> int:
    """Return the bytes of all blocks that windows overlap, from TileByteCounts; each block counts once."""
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
