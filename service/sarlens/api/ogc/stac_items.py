"""``GET /v1/sar/surveys/{id}/stac``: the result of a survey as a STAC Item with the processing extension."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from sarlens import __version__
from sarlens.api.jobs.responses import GEOJSON, SURVEYS_PATH, json_response, owner_filter, require_success, rfc3339
from sarlens.api.ogc.collection_documents import image_name
from sarlens.api.ogc.negotiation import Document, base_url, link
from sarlens.jobs.filters import JobFilter
from sarlens.jobs.layers import Extent
from sarlens.jobs.models import Job
from sarlens.surveys.exporter import MEDIA_TYPES, has_objects
from sarlens.surveys.job_service import JobService

STAC_VERSION = "1.1.0"
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
"""Source: Processing Extension Specification 1.2.0, https://github.com/stac-extensions/processing."""
_QML = "application/xml"


class StacItems:
    """The route of Items."""

    def __init__(self, job_service: JobService, *, public_url: str | None) -> None:
        self._job_service = job_service
        self._public_url = public_url

    def router(self) -> APIRouter:
        """Return the route for FastAPI."""
        router = APIRouter(tags=["surveys"], default_response_class=Response)
        router.add_api_route(SURVEYS_PATH + "/{job_id}/stac", self.item, methods=["GET"])
        return router

    async def item(self, request: Request, job_id: str) -> Response:
        """Describe the result of a complete survey as a STAC Item with the processing extension.

        Its assets are the answers and the objects in all formats, their styles for QGIS, the file at `output`, and the
        image. The time is that of the acquisition if the image is a STAC Item, else that of the survey.
        """
        owner = owner_filter(request)
        job = require_success(await self._job_service.find(job_id, owner))
        (survey,) = await self._job_service.store.layers.surveys(JobFilter(owner, ids=(job.id,)), limit=1)
        url = f"{base_url(request, self._public_url)}{SURVEYS_PATH}/{job.id}"
        response = json_response(survey_item(job, Extent.around(survey.extents.values()), url))
        response.headers["content-type"] = GEOJSON
        return response


def survey_item(job: Job, extent: Extent, url: str) -> Document:
    """Return the Item of a successful survey, whose routes begin with ``url``."""
    spec = orjson.loads(job.request)
    image = image_name(spec["url"]).partition("?")[0]
    item: Document = {"type": "Feature", "stac_version": STAC_VERSION, "stac_extensions": [PROCESSING], "id": job.id}
    item |= _place(extent)
    properties: Document = {
        "title": f"Survey of {image}"[:200],
        "description": "Answers of a vision-language model about the tiles of a radar image.",
        **_times(job, spec.get("acquisition") or {}),
        "created": rfc3339(job.finished or job.updated),
        "updated": rfc3339(job.updated),
        "processing:lineage": _lineage(job, spec),
        "processing:software": {"sarlens": __version__},
    }
    links = [link(f"{url}/stac", "self", "Item", GEOJSON), link(url, "via", "Status of the survey")]
    return item | {"properties": properties, "links": links, "assets": _assets(job, spec, url)}


def _place(extent: Extent) -> Document:
    """Return the geometry and the bbox; across the antimeridian, the west of the bbox is more than its east."""
    if extent.bounds is None:
        return {"geometry": None}
    west, south, east, north = extent.bounds
    parts = [(west, min(east, 180.0)), *([(-180.0, east - 360)] if east > 180 else [])]
    rings = [[[[left, south], [right, south], [right, north], [left, north], [left, south]]] for left, right in parts]
    geometry = {"type": "Polygon", "coordinates": rings[0]}
    if len(rings) > 1:
        geometry = {"type": "MultiPolygon", "coordinates": rings}
    return {"geometry": geometry, "bbox": [west, south, parts[-1][1], north]}


def _times(job: Job, acquisition: dict[str, Any]) -> Document:
    """Return the times of the acquisition, or those of the survey if they aren't known."""
    interval = {name: acquisition.get(name) for name in ("start_datetime", "end_datetime")}
    known = interval if all(interval.values()) else {}
    if acquisition.get("datetime") or known:
        return {"datetime": acquisition.get("datetime"), **known}
    first, last = job.started or job.created, job.finished or job.updated
    return {"datetime": None, "start_datetime": rfc3339(first), "end_datetime": rfc3339(last)}


def _lineage(job: Job, spec: dict[str, Any]) -> str:
    questions = [question["question"] for question in spec.get("questions", ())]
    asked = " ".join(questions) if questions else "Captions."
    tile = f"{job.tiles} tiles of {spec['tile']} pixels" if isinstance(spec.get("tile"), int) else "one window"
    text = f"The model {job.model} answered about {tile} of the image version {job.version}: {asked}"
    return text if len(text) <= 2000 else text[:1999] + "…"


def _assets(job: Job, spec: dict[str, Any], url: str) -> Document:
    layers = ("features", "objects") if has_objects(job) else ("features",)
    assets: Document = {}
    for layer in layers:
        for name, media_type in MEDIA_TYPES.items():
            key = layer if name == "geojson" else f"{layer}-{name}"
            assets[key] = {"href": f"{url}/{layer}?format={name}", "type": media_type, "roles": ["data"]}
        assets[f"{layer}-style"] = {"href": f"{url}/{layer}/style", "type": _QML, "roles": ["style"]}
    if job.output is not None:
        assets["output"] = {"href": job.output, "type": MEDIA_TYPES[spec.get("format", "geojson")], "roles": ["data"]}
    location = spec["url"]
    sources = location if isinstance(location, list) else [location] if isinstance(location, str) else []
    for number, source in enumerate(sources, 1):
        assets["image" if len(sources) == 1 else f"image-{number}"] = {
            "href": source.partition("?")[0],
            "roles": ["source"],
        }
    return assets
