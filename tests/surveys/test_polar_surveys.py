"""Surveys of an image that contains the North Pole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from rasterio.transform import from_origin

from support.georeferenced_scenes import geotiff, sea
from support.s3 import S3Server
from surveys.client import SURVEYS, call, survey_body

SCENE = "s3://scenes/pole.tif"
RESOLUTION_M, LEFT_M, TOP_M = 40, -7_680, 5_120


@pytest.fixture(scope="module")
def pole(s3: S3Server) -> str:
    """URL of a scene of 512 x 512 pixels in EPSG:3413, with the pole in the tile (0, 0) of 256 pixels."""
    transform = from_origin(LEFT_M, TOP_M, RESOLUTION_M, RESOLUTION_M)
    pixels = sea(512, 512, np.array([(300, 300)]))
    s3.client().put_object(Bucket="scenes", Key="pole.tif", Body=geotiff(pixels, crs="EPSG:3413", transform=transform))
    return SCENE


def shape_of(feature: dict[str, Any]) -> Any:
    """Return the geometry of a feature."""
    return shapely.geometry.shape(feature["geometry"])


async def test_an_image_with_a_pole_is_surveyed(base: str, pole: str) -> None:
    """Each tile has a valid footprint; that of the tile with the pole covers all longitudes up to it."""
    status, document, _ = await call("POST", base + SURVEYS, survey_body(pole, tile=256))
    assert status == 200, document
    shapes = {(f["properties"]["col"], f["properties"]["row"]): shape_of(f) for f in document["features"]}
    assert set(shapes) == {(0, 0), (256, 0), (0, 256), (256, 256)}
    assert all(shape.is_valid for shape in shapes.values())
    west, _, east, north = shapes[0, 0].bounds
    assert (west, east, north) == (-180, 180, 90)
    assert all(shape.bounds[3] < 90 for tile, shape in shapes.items() if tile != (0, 0))
    assert shapely.union_all(list(shapes.values())).area == pytest.approx(
        sum(s.area for s in shapes.values()), rel=1e-3
    )


async def test_a_process_answers_about_the_whole_image(base: str, pole: str) -> None:
    """A question about the whole image has a footprint around the pole, and isn't a failed job."""
    body = {"inputs": {"image": pole, "question": "How many ships are in the image?"}}
    status, document, _ = await call("POST", f"{base}/processes/vqa/execution", body)
    assert status == 200, document
    assert shape_of(document["features"][0]).bounds[3] == 90


async def test_a_bbox_in_the_crs_of_the_image_is_exact(base: str, pole: str) -> None:
    """A bbox in EPSG:3413 around the pole selects exactly the tiles that it covers."""
    left, top = LEFT_M + 256 * RESOLUTION_M, TOP_M - 256 * RESOLUTION_M
    bbox = [LEFT_M, top, left, TOP_M]
    fields = {"tile": 256, "sar": {"bbox": bbox, "bbox_crs": "EPSG:3413"}}
    status, document, _ = await call("POST", base + SURVEYS, survey_body(pole, **fields))
    assert status == 200, document
    assert [(f["properties"]["col"], f["properties"]["row"]) for f in document["features"]] == [(0, 0)]
