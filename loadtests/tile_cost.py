"""CPU and latency of map tiles next to rio-tiler's reader on the same files, and position errors of both.

    python loadtests/tile_cost.py --rio-tiler ~/rio/bin/python     # an environment with rio-tiler installed

The contenders take turns tile by tile. Scenes are simulated: one with an affine transform (a COG in UTM), and one with
ground control points on a bent swath, in which bright targets are at known positions.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import Resampling
from rasterio.transform import Affine

from harness import print_machine
from sarlens.imagery.core.object_reader import DecodeLimits
from sarlens.imagery.core.source_image import Measurement, SourceImage
from sarlens.imagery.formats.image_header import Level
from sarlens.imagery.render.speckle import Speckle
from sarlens.imagery.scenes.appearance import measure_appearance, measure_speckle
from sarlens.imagery.scenes.scene import Scene, read_scene
from sarlens.imagery.scenes.tile_matrix_set import TILE_SIDE, WEB_MERCATOR, TileIndex
from sarlens.imagery.scenes.tile_renderer import TileSource, render_tile
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Looks

LIMITS = DecodeLimits()
SIDE = 8192
SWATH = 1024
PEERS = {
    "rio-tiler, nearest": ("nearest", False),
    "rio-tiler, bilinear": ("bilinear", False),
    "rio-tiler, bilinear, kept open": ("bilinear", True),
}
"""Resampling of each peer, and whether it keeps the file open."""
EQUATOR_M = 2 * np.pi * 6_378_137


class FileObject:
    """A file on disk; implements ``ObjectReader``."""

    bytes_fetched = 0
    fetch_seconds = 0.0

    def __init__(self, path: Path) -> None:
        self.name = self.version = str(path)
        self.size = path.stat().st_size
        self._file = path.open("rb")

    def read(self, start: int, length: int) -> bytes:
        """The bytes from ``start`` on."""
        self._file.seek(start)
        return self._file.read(length)


class Gateway:
    """The gateway's tiles of one file, with the stretch known."""

    def __init__(self, path: Path, params: RenderParams) -> None:
        reader = FileObject(path)
        image = SourceImage(reader.name, (Measurement(reader),), reader.name)
        self.scene: Scene = read_scene(image, LIMITS)
        appearance = measure_appearance(image, self.scene, params, None, LIMITS)

        @cache
        def speckle(level: Level, looks: Looks) -> tuple[Speckle, ...]:
            return measure_speckle(image, appearance.params, level, looks, None, LIMITS)

        self._source = TileSource(image, self.scene.header, appearance, None, speckle, LIMITS)

    def tile(self, tile: TileIndex) -> bytes:
        """Render a tile of Web Mercator."""
        return render_tile(self._source, self.scene.placement(WEB_MERCATOR), tile).data


class Cost(NamedTuple):
    """Times of one tile in seconds."""

    cpu_s: float
    wall_s: float


class Peer:
    """rio-tiler in a separate process."""

    def __init__(self, python: Path) -> None:
        quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
        command = [python, Path(__file__).with_name("tile_peer.py")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=quiet)

    def tile(self, path: Path, tile: TileIndex, resampling: str, *, keep_open: bool) -> tuple[Cost, bytes]:
        """Render a tile."""
        assert self._process.stdin
        assert self._process.stdout
        place = {"path": str(path), "z": tile.zoom, "x": tile.col, "y": tile.row}
        look = {"resampling": resampling, "keep_open": keep_open, "range": [0, 600]}
        self._process.stdin.write(json.dumps({**place, **look}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Cost(answer["cpu_s"], answer["wall_s"]), base64.b64decode(answer["png"])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


def write_cog(path: Path) -> None:
    """Write a tiled scene of speckle in UTM with overviews."""
    rng = np.random.default_rng(1)
    block = (120 * np.sqrt(rng.exponential(1.0, (SIDE // 8, SIDE)))).astype(np.uint16) + 1
    profile: dict[str, Any] = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "uint16"}
    profile |= {"crs": "EPSG:32631", "transform": Affine(10, 0, 500_000, 0, -10, 5_600_000), "tiled": True}
    with rasterio.open(path, "w", blockxsize=512, blockysize=512, compress="deflate", **profile) as file:
        for row in range(0, SIDE, len(block)):
            file.write(np.roll(block, row, axis=1), 1, window=((row, row + len(block)), (0, SIDE)))
        file.build_overviews([2, 4, 8, 16], Resampling.average)


def ground(cols: Any, rows: Any) -> tuple[Any, Any]:
    """Longitude and latitude of pixels of the bent swath, some 80 km across."""
    u, v = np.asarray(cols) / SWATH, np.asarray(rows) / SWATH
    lon = 10 + 0.9 * u + 0.2 * v + 0.01 * u * v + 0.03 * u**2
    return lon, 50 - 0.6 * v + 0.15 * u + 0.008 * np.sin(3 * u)


def write_swath(path: Path) -> list[tuple[int, int]]:
    """Write a scene with control points, and return the columns and rows of its targets."""
    targets = [(col, row) for col in range(60, SWATH - 59, 226) for row in range(60, SWATH - 59, 226)]
    pixels = np.full((SWATH, SWATH), 20, np.uint16)
    for col, row in targets:
        pixels[row - 2 : row + 3, col - 2 : col + 3] = 600
    steps = np.linspace(0, SWATH, 11)
    points = [GroundControlPoint(row, col, *map(float, ground(col, row))) for row in steps for col in steps]
    profile: dict[str, Any] = {"driver": "GTiff", "width": SWATH, "height": SWATH, "count": 1, "dtype": "uint16"}
    with rasterio.open(path, "w", crs="EPSG:4326", gcps=points, tiled=True, **profile) as file:
        file.write(pixels, 1)
    return targets


def tiles_of(scene: Scene, count: int) -> Iterator[TileIndex]:
    """Yield tiles inside a scene, of its three highest zoom levels in turn."""
    placement = scene.placement(WEB_MERCATOR)
    last = scene.zooms(placement)[1]
    box, rng = placement.boxes[0], np.random.default_rng(2)
    for number in range(count):
        zoom = last - number % 3
        side = placement.tms.resolution(zoom) * TILE_SIDE
        x, y = rng.uniform(0.1, 0.9, 2)
        col = int((box.left + x * (box.right - box.left) - placement.tms.left) / side)
        row = int((placement.tms.top - box.bottom - y * (box.top - box.bottom)) / side)
        yield TileIndex(zoom, col, row)


def timed(work: Callable[[], bytes]) -> Cost:
    """Return the times of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


def brightness(png: bytes) -> Any:
    """Return the gray levels of a tile; an empty file is black."""
    if not png:
        return np.zeros((TILE_SIDE, TILE_SIDE), np.uint8)
    return np.asarray(Image.open(io.BytesIO(png)).convert("LA"))[..., 0]


def position_error_px(get_tile: Callable[[TileIndex], bytes], zoom: int, targets: list[tuple[int, int]]) -> list[float]:
    """Return the distance of each target from its true position, in pixels of the tile; infinite if it isn't found."""
    errors = []
    for col, row in targets:
        lon, lat = ground(col + 0.5, row + 0.5)
        x = (lon / 360 + 0.5) * TILE_SIDE * 2**zoom
        y = (0.5 - np.arcsinh(np.tan(np.radians(lat))) / (2 * np.pi)) * TILE_SIDE * 2**zoom
        first = int((x - 64) // TILE_SIDE), int((y - 64) // TILE_SIDE)
        parts = [
            [get_tile(TileIndex(zoom, first[0] + across, first[1] + down)) for across in (0, 1)] for down in (0, 1)
        ]
        mosaic = np.block([[brightness(part) for part in line] for line in parts])
        left, top = int(x) - 64 - TILE_SIDE * first[0], int(y) - 64 - TILE_SIDE * first[1]
        near = np.where(mosaic[top : top + 129, left : left + 129] > 128, 1.0, 0.0)
        if not near.any():
            errors.append(float("inf"))
            continue
        rows, cols = np.mgrid[: near.shape[0], : near.shape[1]]
        found = [(values * near).sum() / near.sum() + 0.5 for values in (cols, rows)]
        at = found[0] + left + TILE_SIDE * first[0], found[1] + top + TILE_SIDE * first[1]
        errors.append(float(np.hypot(at[0] - x, at[1] - y)))
    return errors


@contextmanager
def peer(python: Path | None) -> Iterator[Peer | None]:
    """Run rio-tiler, if there is an environment with it."""
    running = Peer(python) if python else None
    try:
        yield running
    finally:
        if running:
            running.close()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rio-tiler", type=Path, help="Python of an environment with rio-tiler")
    parser.add_argument("--tiles", type=int, default=90, help="tiles of each contender")
    options = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory() as folder, peer(options.rio_tiler) as running:
        cog, swath = Path(folder, "cog.tif"), Path(folder, "swath.tif")
        write_cog(cog)
        compare_cost(cog, options.tiles, running)
        compare_positions(swath, write_swath(swath), running)


def compare_cost(path: Path, count: int, running: Peer | None) -> None:
    """Print CPU and latency of tiles of a scene with an affine transform."""
    contenders = {name: Gateway(path, RenderParams(preset=name)) for name in ("plain", "sarlang")}
    costs: defaultdict[str, list[Cost]] = defaultdict(list)
    for number, tile in enumerate(tiles_of(contenders["plain"].scene, count + 3)):
        for name, contender in contenders.items():
            costs[f"sarlens, {name}"].append(timed(partial(contender.tile, tile)))
        for name, (resampling, keep_open) in PEERS.items() if running else ():
            assert running
            costs[name].append(running.tile(path, tile, resampling, keep_open=keep_open)[0])
        if number < 3:  # the first tile of each zoom level warms up
            costs.clear()
    print(f"\n{count} tiles of a COG of {SIDE} x {SIDE} pixels in UTM, three zoom levels:\n")
    print(f"{'':32}{'CPU, mean':>12}{'CPU, p50':>12}{'wall, p50':>12}")
    for name, found in costs.items():
        numbers = (
            statistics.mean(cost.cpu_s for cost in found),
            *(statistics.median(values) for values in zip(*found, strict=True)),
        )
        print(f"{name:32}" + "".join(f"{1000 * number:9.1f} ms" for number in numbers))
    if running:
        ours = statistics.mean(cost.cpu_s for cost in costs["sarlens, plain"])
        for name in PEERS:
            theirs = statistics.mean(cost.cpu_s for cost in costs[name])
            print(f"CPU of a plain tile: {ours / theirs:.2f} x that of {name}")


def _peer_tile(running: Peer, path: Path, tile: TileIndex) -> bytes:
    return running.tile(path, tile, "bilinear", keep_open=False)[1]


def compare_positions(path: Path, targets: list[tuple[int, int]], running: Peer | None) -> None:
    """Print position errors of targets in a scene with control points."""
    gateway = Gateway(path, RenderParams(preset="plain", stretch=(0.0, 100.0)))
    zoom = gateway.scene.zooms(gateway.scene.placement(WEB_MERCATOR))[1]
    readers: dict[str, Callable[[TileIndex], bytes]] = {"sarlens": gateway.tile}
    if running:
        readers["rio-tiler"] = partial(_peer_tile, running, path)
    print(f"\n{len(targets)} targets in a scene with 121 control points, error in pixels of zoom level {zoom}:\n")
    for name, get_tile in readers.items():
        errors = position_error_px(get_tile, zoom, targets)
        lost = sum(not np.isfinite(error) for error in errors)
        found = [error for error in errors if np.isfinite(error)] or [float("nan")]
        print(f"{name:12}median {statistics.median(found):6.2f}  maximum {max(found):6.2f}  not found {lost}")


if __name__ == "__main__":
    main()
