"""Surveys that the gateway rejects at submission."""

from __future__ import annotations

from typing import Any

import pytest

from sarlens.settings import LimitSettings, Settings
from support.gateway import gateway
from support.georeferenced_scenes import geotiff, sea
from support.s3 import S3Server
from surveys.client import HOW_MANY, SURVEYS, call, survey_body
from surveys.conftest import SHIPS


def _polygon(*corners: tuple[float, float]) -> dict[str, Any]:
    """Return a GeoJSON polygon."""
    return {"type": "Polygon", "coordinates": [[*map(list, corners), list(corners[0])]]}


REJECTED: dict[str, tuple[dict[str, Any], int, str]] = {
    "not a TIFF": ({"scene": "s3://scenes/ready"}, 400, "not_georeferenced"),
    "no georeference": ({"scene": "s3://scenes/nowhere.tif"}, 400, "not_georeferenced"),
    "missing": ({"scene": "s3://scenes/missing.tif"}, 404, "image_not_found"),
    "bbox outside": ({"sar": {"bbox": [100, 0, 101, 1]}}, 400, "window_outside"),
    "unknown CRS": ({"sar": {"bbox": [1, 2, 3, 4], "bbox_crs": "EPSG:999999"}}, 400, "bad_request"),
    "self-intersecting": (
        {"sar": {"polygon": _polygon((3.0, 45.0), (3.1, 45.1), (3.1, 45.0), (3.0, 45.1))}},
        400,
        "bad_request",
    ),
    "around the world": ({"sar": {"polygon": _polygon((179, 45), (-179, 45), (-179, 46))}}, 400, "bad_request"),
    "too many tiles": ({"tile": 64, "overlap": 32}, 413, "too_large"),
    "overlap": ({"tile": 64, "overlap": 33}, 400, "bad_request"),
    "data URL": ({"scene": "data:image/png;base64,AAAA"}, 400, "bad_request"),
    "output elsewhere": ({"output": "s3://scenes/other/x.geojson"}, 400, "source_refused"),
    "output above": ({"output": "s3://scenes/results/../x.geojson"}, 400, "bad_request"),
    "output in no bucket": ({"output": "s3://no-such-bucket/x.geojson"}, 400, "bad_request"),
    "output exists": ({"output": "s3://scenes/results/taken.geojson"}, 409, "output_exists"),
    "model": ({"model": "unknown"}, 404, "model_not_found"),
    "region in no tile": ({"questions": ["What is the object in the region [250, 250, 20, 20]?"]}, 400, "bad_request"),
}


@pytest.mark.parametrize("name", REJECTED)
async def test_an_impossible_survey_is_rejected(name: str, settings: Settings, scene: str, s3: S3Server) -> None:
    """Each impossible survey has its status and code, and stores no job."""
    fields, status, code = REJECTED[name]
    nowhere = geotiff(sea(64, 64, SHIPS[:0]), crs=None, transform=None)
    s3.client().put_object(Bucket="scenes", Key="nowhere.tif", Body=nowhere)
    s3.client().put_object(Bucket="scenes", Key="results/taken.geojson", Body=b"taken")
    prefixes = ("s3://scenes/results", "s3://no-such-bucket")
    limits = {"max_tiles": 500, "output_prefixes": prefixes}
    limited = settings.model_copy(update={"survey": settings.survey.model_copy(update=limits)})
    async with gateway(limited) as base:
        fields = dict(fields)
        body = survey_body(fields.pop("scene", scene), **fields)
        actual, document, _ = await call("POST", base + SURVEYS, body)
        assert (actual, document["error"]["code"]) == (status, code), document
        _, surveys, _ = await call("GET", base + SURVEYS)
        assert surveys["data"] == []
        if name == "too many tiles":
            message = document["error"]["message"]
            assert all(text in message for text in ("1564", "500", '"bbox"', '"polygon"', 'larger "tile"', '"overlap"'))


async def test_the_number_of_questions_is_limited(settings: Settings, scene: str) -> None:
    """Two questions with a limit of one are a 400."""
    async with gateway(settings.model_copy(update={"limit": LimitSettings(max_questions=1)})) as base:
        body = survey_body(scene, questions=[HOW_MANY, HOW_MANY])
        status, document, _ = await call("POST", base + SURVEYS, body)
        assert (status, document["error"]["param"]) == (400, "questions")
