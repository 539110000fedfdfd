"""Accuracy of a survey by vLLM with sarlens-nano over ships at known positions.

The scene is a simulated COG of 20,000 x 20,000 uint16 with 500 ships, in a local S3 server. For each tile
of a polygon, the survey asks whether there are ships, and how many. The true count of a tile is the number of ship
centers in it.

    .venv/bin/python loadtests/scene_survey.py
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
from pyproj import Transformer

from harness import print_machine, sarlens, starter, vllm_worker
from sarbench.nano.checkpoint import write_trained
from sarbench.score.survey_tiles import Coordinates, TileResult, evaluate_tiles, precision, recall
from sarbench.simulate.geotiff import Georeference
from sea_scene import SIDE, SPACING, sea, sea_file, start_s3

ANY, HOW_MANY = "Are there any ships in the image?", "How many ships are in the image?"
PLACE = Georeference()
DEGREES = Transformer.from_crs(f"EPSG:{PLACE.epsg}", "OGC:CRS84", always_xy=True)
AROUND = [(0.11, 0.17), (0.15, 0.52), (0.34, 0.66), (0.58, 0.55), (0.55, 0.21), (0.33, 0.08)]
"""Corners of the polygon, as fractions of the scene's width and height."""


def polygon() -> dict[str, Any]:
    """Return the surveyed polygon as GeoJSON."""
    points = [(PLACE.easting + x * SIDE * SPACING, PLACE.northing - y * SIDE * SPACING) for x, y in AROUND]
    ring = [list(DEGREES.transform(*point)) for point in points]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def to_pixels(lon: Coordinates, lat: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Convert degrees to columns and rows of the scene, with pyproj."""
    east, north = DEGREES.transform(lon, lat, direction="INVERSE")
    return (np.asarray(east) - PLACE.easting) / SPACING, (PLACE.northing - np.asarray(north)) / SPACING


async def survey(base: str, tile: int) -> dict[str, Any]:
    """Survey every tile of the polygon and return the FeatureCollection."""
    image = {"url": "s3://scenes/sea.tif", "sar": {"polygon": polygon()}}
    body = {"image": image, "questions": [ANY, HOW_MANY], "tile": tile, "max_tokens": 8}
    timeout = aiohttp.ClientTimeout(3600)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(f"{base}/v1/sar/surveys", json=body) as response,
    ):
        result: dict[str, Any] = json.loads(await response.read())
        assert response.status == 200, result
        return result


def print_row(name: str, tiles: Sequence[TileResult]) -> None:
    """Print one row of the table."""
    (detected, ships), (correct, positive) = recall(tiles), precision(tiles)
    shares = (
        f"{detected:>5} of {ships:<5}{detected / max(ships, 1):>6.3f}   "
        f"{correct:>5} of {positive:<5}{correct / max(positive, 1):>6.3f}"
    )
    print(f"{name:34}{shares}")


def report(result: dict[str, Any], seconds: float) -> None:
    """Print recall, precision and counts of a survey, compared with the simulated scene."""
    scene = sea()
    by_question: dict[str, list[dict[str, Any]]] = {ANY: [], HOW_MANY: []}
    for feature in result["features"]:
        by_question[feature["properties"]["question"]].append(feature)
    some, counted = (evaluate_tiles(features, scene, to_pixels) for features in by_question.values())
    summary = result["survey"]
    print_machine()
    print(f"{summary['tiles']} tiles, {summary['answered']} answered in {seconds:.0f} s, {summary['failed']} failed")
    print(f"{'':34}recall{'':17}precision")
    print_row("any ships?", some)
    print_row("any ships?, no hull across an edge", [tile for tile in some if not tile.has_cut_ship])
    print_row("how many ships? above 0", counted)
    print_row("the same, no hull across an edge", [tile for tile in counted if not tile.has_cut_ship])
    for name, tiles in (("tiles", counted), ("tiles with ships", [tile for tile in counted if tile.ships])):
        exact = sum(tile.value == tile.ships for tile in tiles)
        print(f"{name}: the count is exact in {exact} of {len(tiles)}, {exact / len(tiles):.3f}")
    total, truth = sum(tile.value or 0 for tile in counted), sum(tile.ships for tile in counted)
    print(f"ships counted: {total}; there are {truth}")
    print(f"footprints are off by at most {max(tile.footprint_error_px for tile in some):.3f} pixels")


def main() -> None:
    """Start all processes, run the survey, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tile", type=int, default=256, help="tile size in pixels; sarlens-nano is trained on 256")
    parser.add_argument("--keep", type=Path, help="path for the answers as GeoJSON")
    args = parser.parse_args()
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        endpoint = start_s3(start, state, sea_file())
        write_trained(state / "sarlens-nano")
        worker, _ = vllm_worker(start, "worker", state / "sarlens-nano")
        settings = {"SARLENS_S3__ENDPOINT": endpoint, "SARLENS_SURVEY__DATABASE": f"sqlite:///{state / 'jobs.db'}"}
        base, _ = sarlens(start, [worker], settings)
        began = time.perf_counter()
        result = asyncio.run(survey(base, args.tile))
        report(result, time.perf_counter() - began)
        if args.keep:
            args.keep.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
