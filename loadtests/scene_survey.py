"""A survey of a part of the sea by real vLLM with sarlens-nano: what it finds of ships whose places are known.

The scene is a simulated COG of 20,000 x 20,000 uint16 with 500 ships, in a local S3 server. A polygon of it is asked
tile by tile whether there are ships and how many. A tile's truth is the number of ships whose middle lies in it.

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

from ocean import SIDE, SPACING, sea, sea_file, served
from sarbench.nano.checkpoint import write_trained
from sarbench.score.tiles import Tile, Values, judged, precision, recall
from sarbench.simulate.geotiff import Georeference
from stand import sarlens, starter, vllm_worker

ANY, HOW_MANY = "Are there any ships in the image?", "How many ships are in the image?"
PLACE = Georeference()
DEGREES = Transformer.from_crs(f"EPSG:{PLACE.epsg}", "OGC:CRS84", always_xy=True)
AROUND = [(0.11, 0.17), (0.15, 0.52), (0.34, 0.66), (0.58, 0.55), (0.55, 0.21), (0.33, 0.08)]
"""The polygon, in shares of the scene's width and height."""


def polygon() -> dict[str, Any]:
    """The part that is surveyed, as GeoJSON."""
    places = [(PLACE.east + x * SIDE * SPACING, PLACE.north - y * SIDE * SPACING) for x, y in AROUND]
    ring = [list(DEGREES.transform(*place)) for place in places]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def to_pixels(lon: Values, lat: Values) -> tuple[Values, Values]:
    """Columns and rows of the scene, by pyproj."""
    east, north = DEGREES.transform(lon, lat, direction="INVERSE")
    return (np.asarray(east) - PLACE.east) / SPACING, (PLACE.north - np.asarray(north)) / SPACING


async def survey(base: str, tile: int) -> dict[str, Any]:
    """Ask about every tile of the polygon."""
    image = {"url": "s3://scenes/sea.tif", "sar": {"polygon": polygon()}}
    body = {"image": image, "questions": [ANY, HOW_MANY], "tile": tile, "max_tokens": 8}
    patient = aiohttp.ClientTimeout(3600)
    async with (
        aiohttp.ClientSession(timeout=patient) as session,
        session.post(f"{base}/v1/sar/surveys", json=body) as got,
    ):
        told: dict[str, Any] = json.loads(await got.read())
        assert got.status == 200, told
        return told


def tell(name: str, tiles: Sequence[Tile]) -> None:
    """Print a line of the table."""
    (found, there), (right, said) = recall(tiles), precision(tiles)
    shares = (
        f"{found:>5} of {there:<5}{found / max(there, 1):>6.3f}   {right:>5} of {said:<5}{right / max(said, 1):>6.3f}"
    )
    print(f"{name:34}{shares}")


def report(told: dict[str, Any], seconds: float) -> None:
    """Print what came of a survey, beside the truth."""
    scene = sea()
    asked: dict[str, list[dict[str, Any]]] = {ANY: [], HOW_MANY: []}
    for feature in told["features"]:
        asked[feature["properties"]["question"]].append(feature)
    some, counted = (judged(features, scene, to_pixels) for features in asked.values())
    summary = told["survey"]
    print(f"{summary['tiles']} tiles, {summary['answered']} answered in {seconds:.0f} s, {summary['failed']} failed")
    print(f"{'':34}recall{'':17}precision")
    tell("any ships?", some)
    tell("any ships?, no hull across an edge", [tile for tile in some if not tile.cut])
    tell("how many ships? above 0", counted)
    tell("the same, no hull across an edge", [tile for tile in counted if not tile.cut])
    for name, tiles in (("tiles", counted), ("tiles with ships", [tile for tile in counted if tile.ships])):
        exact = sum(tile.value == tile.ships for tile in tiles)
        print(f"{name}: the count is exact in {exact} of {len(tiles)}, {exact / len(tiles):.3f}")
    total, truth = sum(tile.value or 0 for tile in counted), sum(tile.ships for tile in counted)
    print(f"ships counted: {total}; there are {truth}")
    print(f"footprints are off by at most {max(tile.off for tile in some):.3f} pixels")


def main() -> None:
    """Start everything, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tile", type=int, default=256, help="256 is what sarlens-nano was trained on")
    parser.add_argument("--keep", type=Path, help="where to write the answers as GeoJSON")
    given = parser.parse_args()
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        endpoint = served(start, state, sea_file())
        write_trained(state / "sarlens-nano")
        worker, _ = vllm_worker(start, "worker", state / "sarlens-nano")
        settings = {"SARLENS_S3__ENDPOINT": endpoint, "SARLENS_SURVEY__DATABASE": f"sqlite:///{state / 'jobs.db'}"}
        base, _ = sarlens(start, [worker], settings)
        began = time.perf_counter()
        told = asyncio.run(survey(base, given.tile))
        report(told, time.perf_counter() - began)
        if given.keep:
            given.keep.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
