"""Objects of surveys by vLLM with sarlens-nano over ships at known positions, and the recall of the CFAR gate.

Three simulated scenes of 4096 x 4096 pixels with 60 ships are in a local S3 server: a calm sea as a COG, the same in
strips of one row with ground control points as Sentinel-1 GRD has them, and a rough sea. Each is surveyed with the
default parameters, without and with the gate, and with the gate and all targets of the detector.

    .venv/bin/python loadtests/object_survey.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import rasterio
from pyproj import Transformer
from rasterio.control import GroundControlPoint

from harness import print_machine, sarlens, starter, vllm_worker
from sarbench.nano.checkpoint import write_trained
from sarbench.score.survey_objects import ObjectScore, score_objects, ship_centers
from sarbench.score.survey_tiles import Coordinates
from sarbench.simulate.geotiff import Encoding, Georeference, write_geotiff
from sarbench.simulate.layouts.open_sea import open_sea_scene
from sarbench.simulate.scene import Scene
from sarlens.imagery.core.raster import Quantity, Raster
from sarlens.imagery.detection.cfar import detect_targets
from sarlens.types.cfar_params import CfarParams
from sarlens.types.window import Window
from sea_scene import start_s3

SIDE, SHIPS, SPACING = 4096, 60, 10.0
QUESTION = "How many ships are in the image?"
PLACE = Georeference()
DEGREES = Transformer.from_crs(f"EPSG:{PLACE.epsg}", "OGC:CRS84", always_xy=True)
SCENES = {"sea": (7, False), "striped": (8, False), "rough": (9, True)}
"""Seed of each scene, and whether its sea is rough."""

VARIANTS: dict[str, dict[str, Any]] = {
    "confirmed": {},
    "gate": {"gate": "cfar"},
    "all": {"gate": "cfar", "objects": "all"},
}
"""Options of the surveys of each scene."""


def scene(name: str) -> Scene:
    """Return a scene."""
    seed, is_rough = SCENES[name]
    return open_sea_scene(seed, SIDE, SIDE, SPACING, SHIPS, is_rough=is_rough)


def write_scene(name: str, folder: Path) -> None:
    """Write a scene as a COG, or in strips of one row with 11 x 11 ground control points and without overviews."""
    path = folder / f"{name}.tif"
    write_geotiff(scene(name), path, Encoding.DN)
    if name != "striped":
        return
    with rasterio.open(path) as dataset:
        pixels = dataset.read(1)
    places = [(row, col) for row in np.linspace(0, SIDE, 11) for col in np.linspace(0, SIDE, 11)]
    points = [
        GroundControlPoint(row, col, *DEGREES.transform(PLACE.easting + SPACING * col, PLACE.northing - SPACING * row))
        for row, col in places
    ]
    path.unlink()
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "width": SIDE, "height": SIDE, "blockysize": 1}
    with rasterio.open(path, "w", **profile, nodata=0, gcps=points, crs="OGC:CRS84") as dataset:
        dataset.write(pixels, 1)


def to_pixels(lon: Coordinates, lat: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Convert degrees to columns and rows of a scene, with pyproj."""
    east, north = DEGREES.transform(lon, lat, direction="INVERSE")
    return (np.asarray(east) - PLACE.easting) / SPACING, (PLACE.northing - np.asarray(north)) / SPACING


async def survey(base: str, name: str, **options: Any) -> tuple[dict[str, Any], float]:
    """Survey a scene, and return the FeatureCollection and the duration in seconds."""
    body = {"image": f"s3://scenes/{name}.tif", "questions": [QUESTION], "objects": "confirmed"} | options
    began = time.perf_counter()
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(3600)) as session,
        session.post(f"{base}/v1/sar/surveys", json=body) as response,
    ):
        result: dict[str, Any] = json.loads(await response.read())
        assert response.status == 200, result
        return result, time.perf_counter() - began


def print_objects(name: str, result: dict[str, Any], score: ObjectScore, seconds: float) -> None:
    """Print the row of a survey."""
    (total,) = result["survey"]["totals"]
    low, high = total["interval"]
    errors = score.errors_px if score.errors_px.size else np.array([np.nan])
    print(
        f"{name:20}{score.recall:>7.3f}{score.precision:>11.3f}{score.objects:>7} of {score.ships:<4}"
        f"{low:>5} to {high:<5}{total['sum']:>6}{np.median(errors):>9.2f}{errors.max():>8.2f}{seconds:>8.0f}"
    )


def gate_recall(result: dict[str, Any], name: str) -> str:
    """Return which share of the tiles the gate skipped, and which share of those with a ship's center it kept."""
    asked = {(feature["properties"]["col"], feature["properties"]["row"]) for feature in result["features"]}
    tile = result["survey"]["tile"]
    occupied = {(int(col // tile * tile), int(row // tile * tile)) for col, row in ship_centers(scene(name))}
    kept = len(occupied & asked)
    summary = result["survey"]
    return (
        f"{name:20}skips {summary['skipped']} of {summary['tiles']} tiles; "
        f"recall {kept / len(occupied):.3f}: {kept} of {len(occupied)} tiles with a ship"
    )


def print_cost(folder: Path) -> None:
    """Print the CPU time of the detector for tiles of two sizes with their margins."""
    params = CfarParams()
    with rasterio.open(folder / "sea.tif") as dataset:
        power = np.square(dataset.read(1).astype(np.float32))
    for tile in (256, 512):
        side = tile + 2 * params.margin
        times = []
        for row in range(0, SIDE - side, tile):
            for col in range(0, SIDE - side, tile):
                pixels = power[np.newaxis, row : row + side, col : col + side]
                window = Window(0, 0, side, side)
                raster = Raster(pixels, np.ones((side, side), bool), ("VV",), Quantity.INTENSITY, window)
                began = time.thread_time()
                detect_targets(raster, params)
                times.append(1000 * (time.thread_time() - began))
        print(f"CFAR, tile of {tile} pixels: median {np.median(times):.1f} ms of CPU, highest {np.max(times):.1f} ms")


def run(base: str, names: Sequence[str], keep: Path | None) -> None:
    """Survey the scenes, and print recall, precision, totals and positions."""
    print(f"{'':20} recall  precision        objects     interval   sum median px  max px       s")
    gates = []
    for name in names:
        for label, options in VARIANTS.items():
            result, seconds = asyncio.run(survey(base, name, **options))
            if keep:
                keep.mkdir(exist_ok=True)
                (keep / f"{name}, {label}.json").write_text(json.dumps(result))
            features = result["objects"]["features"]
            print_objects(f"{name}, {label}", result, score_objects(features, scene(name), to_pixels), seconds)
            gates += [gate_recall(result, name)] if label == "gate" else []
    print("\nThe gate")
    print("\n".join(gates))


def main() -> None:
    """Start all processes, run the surveys, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", nargs="+", choices=list(SCENES), default=list(SCENES))
    parser.add_argument("--keep", type=Path, help="folder for the results as GeoJSON")
    args = parser.parse_args()
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = state / "scenes"
        folder.mkdir()
        for name in {*args.scenes, "sea"}:
            write_scene(name, folder)
        print_machine()
        print_cost(folder)
        start = starter(stack, state)
        endpoint = start_s3(start, state, folder / "sea.tif")
        write_trained(state / "sarlens-nano")
        worker, _ = vllm_worker(start, "worker", state / "sarlens-nano")
        settings = {"SARLENS_S3__ENDPOINT": endpoint, "SARLENS_SURVEY__DATABASE": f"sqlite:///{state / 'jobs.db'}"}
        base, _ = sarlens(start, [worker], settings)
        run(base, args.scenes, args.keep)


if __name__ == "__main__":
    main()
