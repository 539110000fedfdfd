"""Results of surveys as STAC Items, and their styles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pystac
import stac_pydantic

from sarlens import __version__
from sarlens.api.ogc.stac_items import PROCESSING, survey_item
from sarlens.jobs.layers import Extent
from sarlens.jobs.models import Job, JobStatus
from sarlens.surveys.spec import SurveyQuestion, SurveySpec

URL = "https://gateway.example.com/v1/sar/surveys/" + "0" * 32
SPEC = SurveySpec(url="s3://scenes/port.tif?versionId=7", questions=(SurveyQuestion(question="Any ships?"),), tile=256)
JOB = Job(
    "survey",
    "",
    SPEC.model_dump_json(exclude_defaults=True),
    id="0" * 32,
    status=JobStatus.SUCCESSFUL,
    created=1000.0,
    started=1001.0,
    updated=1010.0,
    finished=1009.5,
    version="v1",
    model="sarlens-nano",
    tiles=25,
)


PLACE = Extent((4.0, 51.0, 4.5, 52.0))


def item(extent: Extent = PLACE, job: Job = JOB, **spec: Any) -> dict[str, Any]:
    """Return the Item of a job, which stac-pydantic and pystac can read."""
    request = orjson.dumps(orjson.loads(SPEC.model_dump_json(exclude_defaults=True)) | spec).decode()
    document = survey_item(replace(job, request=request), extent, URL)
    stac_pydantic.Item.model_validate(document)
    assert (
        pystac.Item.from_dict(document).to_dict(include_self_link=False)["assets"].keys() == document["assets"].keys()
    )
    return document


def test_an_item_tells_place_time_and_processing() -> None:
    """Bbox and polygon of the answers, the times of the survey, the software, and the model in the lineage."""
    found = item()
    assert (found["stac_version"], found["stac_extensions"], found["id"]) == ("1.1.0", [PROCESSING], JOB.id)
    assert found["bbox"] == [4.0, 51.0, 4.5, 52.0]
    ring = [[4.0, 51.0], [4.5, 51.0], [4.5, 52.0], [4.0, 52.0], [4.0, 51.0]]
    assert found["geometry"] == {"type": "Polygon", "coordinates": [ring]}
    properties = found["properties"]
    assert properties["processing:software"] == {"sarlens": __version__}
    assert properties["processing:lineage"] == (
        "The model sarlens-nano answered about 25 tiles of 256 pixels of the image version v1: Any ships?"
    )
    times = [properties[name] for name in ("datetime", "start_datetime", "end_datetime", "created")]
    assert times == [None, *(f"1970-01-01T00:16:{second}+00:00" for second in ("41.000", "49.500", "49.500"))]


def test_an_item_has_the_time_of_the_acquisition() -> None:
    """The time of the STAC Item that was surveyed, or its interval, precedes that of the survey."""
    acquired = {"item": "x", "asset": "vv", "datetime": "2026-05-01T17:25:03Z"}
    assert item(acquisition=acquired)["properties"]["datetime"] == "2026-05-01T17:25:03Z"
    interval = {"start_datetime": "2026-05-01T17:25:03Z", "end_datetime": "2026-05-01T17:25:28Z"}
    found = item(acquisition={"item": "x", "asset": "vv", **interval})["properties"]
    assert {name: found[name] for name in ("datetime", *interval)} == {"datetime": None, **interval}


def test_assets_are_all_formats_their_styles_and_the_image() -> None:
    """Answers and objects in each format, the file at ``output``, and the image without its query."""
    assets = item()["assets"]
    assert assets["features"] == {
        "href": f"{URL}/features?format=geojson",
        "type": "application/geo+json",
        "roles": ["data"],
    }
    assert {"features-gpkg", "features-parquet", "features-fgb", "features-csv", "features-style"} < assets.keys()
    assert assets["image"] == {"href": "s3://scenes/port.tif", "roles": ["source"]}
    assert not {"objects", "output"} & assets.keys()
    pair = item(
        job=replace(JOB, output="s3://out/x.gpkg"), format="gpkg", objects="all", url=["s3://a_VV.tif", "s3://a_VH.tif"]
    )["assets"]
    assert {"objects", "objects-style", "image-1", "image-2"} < pair.keys()
    assert (pair["output"]["href"], pair["output"]["type"]) == ("s3://out/x.gpkg", "application/geopackage+sqlite3")


def test_an_item_can_cross_the_antimeridian_or_have_no_place() -> None:
    """Two polygons and a bbox whose west is more than its east (RFC 7946, 5.2); without a place, no bbox."""
    found = item(Extent((179.0, -10.0, 181.0, -9.0)))
    assert found["bbox"] == [179.0, -10.0, -179.0, -9.0]
    assert [ring[0][0][0] for ring in found["geometry"]["coordinates"]] == [179.0, -180.0]
    placeless = survey_item(JOB, Extent(), URL)
    assert (placeless["geometry"], "bbox" in placeless) == (None, False)
