"""What a survey by real vLLM finds on a simulated sea, judged by the truth of the simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyproj import Transformer

from sarbench.score.tiles import Values, judged, precision, recall
from sarbench.simulate.geotiff import Encoding, Georeference, write_geotiff
from sarbench.simulate.layouts.fleet import fleet
from sarlens.settings import S3Settings, Settings, WorkerSettings
from stack.gateway import gateway
from stack.s3 import S3Server
from survey.test_surveys import HOW_MANY, SURVEYS, call

SIDE, SPACING = 2560, 10.0
DEGREES = Transformer.from_crs("EPSG:32631", "OGC:CRS84", always_xy=True)
PLACE = Georeference(32631, 420_000, 6_100_000)


def to_pixels(lon: Values, lat: Values) -> tuple[Values, Values]:
    """Columns and rows, by pyproj."""
    east, north = DEGREES.transform(lon, lat, direction="INVERSE")
    return (np.asarray(east) - PLACE.east) / SPACING, (PLACE.north - np.asarray(north)) / SPACING


@pytest.mark.slow
async def test_ships_are_found_in_their_tiles(
    vllm_url: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the tiles of a polygon, sarlens-nano tells those with ships from those without, and their footprints lie
    within half a pixel of where the scene has them."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    scene = fleet(3, SIDE, SIDE, SPACING, 60)
    write_geotiff(scene, tmp_path / "sea.tif", Encoding.DN, place=PLACE)
    s3.client().upload_file(str(tmp_path / "sea.tif"), "scenes", "sea.tif")
    corners = [(100, 300), (600, 2400), (2300, 2200), (2400, 200)]
    ring = [list(DEGREES.transform(PLACE.east + SPACING * col, PLACE.north - SPACING * row)) for col, row in corners]
    polygon = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    settings = Settings(worker=WorkerSettings(urls=(vllm_url,)), s3=S3Settings(endpoint=s3.endpoint))
    asked = {"image": {"url": "s3://scenes/sea.tif", "sar": {"polygon": polygon}}, "questions": [HOW_MANY]}
    async with gateway(settings) as base:
        status, found, _ = await call("POST", base + SURVEYS, {**asked, "tile": 256})
    assert status == 200, found
    tiles = judged(found["features"], scene, to_pixels)
    assert 60 < len(tiles) < 100
    assert max(tile.off for tile in tiles) <= 0.5
    (seen, there), (right, said) = recall(tiles), precision(tiles)
    assert there >= 20
    assert seen >= 0.9 * there
    assert right >= 0.9 * said
    confidences = [each["properties"]["confidence"] for each in found["features"]]
    assert all(0 < confidence <= 1 for confidence in confidences)
