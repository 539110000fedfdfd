"""Accuracy of a survey with real vLLM on a simulated sea, compared with the truth of the simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyproj import Transformer

from sarbench.score.survey_tiles import Coordinates, evaluate_tiles, precision, recall
from sarbench.simulate.geotiff import Encoding, Georeference, write_geotiff
from sarbench.simulate.layouts.open_sea import open_sea_scene
from sarlens.settings import S3Settings, Settings, WorkerSettings
from support.gateway import gateway
from support.s3 import S3Server
from surveys.client import HOW_MANY, SURVEYS, call

SIDE, SPACING = 2560, 10.0
DEGREES = Transformer.from_crs("EPSG:32631", "OGC:CRS84", always_xy=True)
GEOREFERENCE = Georeference(32631, 420_000, 6_100_000)


def to_pixels(lon: Coordinates, lat: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Convert degrees to columns and rows with pyproj."""
    east, north = DEGREES.transform(lon, lat, direction="INVERSE")
    return (np.asarray(east) - GEOREFERENCE.easting) / SPACING, (GEOREFERENCE.northing - np.asarray(north)) / SPACING


@pytest.mark.slow
async def test_ships_are_found_in_their_tiles(
    vllm_url: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the tiles of a polygon, sarlens-nano has recall and precision of 0.9 or more, and footprints within 0.5 px."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    scene = open_sea_scene(3, SIDE, SIDE, SPACING, 60)
    write_geotiff(scene, tmp_path / "sea.tif", Encoding.DN, georeference=GEOREFERENCE)
    s3.client().upload_file(str(tmp_path / "sea.tif"), "scenes", "sea.tif")
    corners = [(100, 300), (600, 2400), (2300, 2200), (2400, 200)]
    ring = [
        list(DEGREES.transform(GEOREFERENCE.easting + SPACING * col, GEOREFERENCE.northing - SPACING * row))
        for col, row in corners
    ]
    polygon = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    settings = Settings(worker=WorkerSettings(urls=(vllm_url,)), s3=S3Settings(endpoint=s3.endpoint))
    image = {"url": "s3://scenes/sea.tif", "sar": {"polygon": polygon}}
    async with gateway(settings) as base:
        status, document, _ = await call("POST", base + SURVEYS, {"image": image, "questions": [HOW_MANY], "tile": 256})
    assert status == 200, document
    tiles = evaluate_tiles(document["features"], scene, to_pixels)
    assert 60 < len(tiles) < 100
    assert max(tile.footprint_error_px for tile in tiles) <= 0.5
    (recalled, with_ships), (correct, claimed) = recall(tiles), precision(tiles)
    assert with_ships >= 20
    assert recalled >= 0.9 * with_ships
    assert correct >= 0.9 * claimed
    confidences = [feature["properties"]["confidence"] for feature in document["features"]]
    assert all(0 < confidence <= 1 for confidence in confidences)
