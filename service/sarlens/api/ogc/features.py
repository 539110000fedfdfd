"""OGC API - Features 1.0: all answers of an API key as one collection, for QGIS, GDAL and other clients."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Query, Request, Response

from sarlens.api.jobs.responses import GEOJSON, owner_filter
from sarlens.api.ogc.datetime_interval import parse_interval
from sarlens.api.ogc.negotiation import (
    Document,
    Limit,
    base_url,
    link,
    negotiate_response,
    reject_unknown_params,
    wants_html,
)
from sarlens.errors import BadRequest, NotFound
from sarlens.jobs.batch_writer import Bounds
from sarlens.jobs.filters import AnswerFilter
from sarlens.surveys.job_service import JobService

_ANSWERS = "answers"
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_FILTERS = ("limit", "offset", "bbox", "datetime", "job")


class Features:
    """Routes of the collection of answers."""

    def __init__(self, job_service: JobService, *, public_url: str | None) -> None:
        self._job_service = job_service
        self._public_url = public_url

    def router(self) -> APIRouter:
        """Return the routes for FastAPI."""
        router = APIRouter(tags=["OGC API Features"], default_response_class=Response)
        router.add_api_route("/collections", self.collections, methods=["GET"])
        router.add_api_route("/collections/{collection_id}", self.collection, methods=["GET"])
        router.add_api_route("/collections/{collection_id}/items", self.items, methods=["GET"])
        router.add_api_route("/collections/{collection_id}/items/{feature_id}", self.item, methods=["GET"])
        return router

    async def collections(self, request: Request) -> Response:
        """List the collections. The only one is `answers`."""
        reject_unknown_params(request)
        base = base_url(request, self._public_url)
        links = [link(f"{base}/collections", "self", "Collections")]
        return negotiate_response(request, {"collections": [_collection(base)], "links": links}, "Collections")

    async def collection(self, request: Request, collection_id: str) -> Response:
        """Describe a collection."""
        reject_unknown_params(request)
        _check_collection(collection_id)
        return negotiate_response(request, _collection(base_url(request, self._public_url)), "Answers")

    async def items(
        self,
        request: Request,
        collection_id: str,
        limit: Limit = 10,
        offset: Annotated[int, Query(ge=0, le=1_000_000_000, description="Number of answers to skip")] = 0,
        bbox: Annotated[str | None, Query(description="`west,south,east,north` in degrees")] = None,
        datetime: Annotated[str | None, Query(description="Time of the answer, or an interval of times")] = None,
        job: Annotated[str | None, Query(max_length=128, description="Job whose answers to list")] = None,
    ) -> Response:
        """List answers, in the order in which the gateway wrote them."""
        reject_unknown_params(request, *_FILTERS)
        _check_collection(collection_id)
        since, until = parse_interval(datetime) if datetime else (None, None)
        answer_filter = AnswerFilter(
            owner_filter(request), job, _parse_bbox(bbox), since, until, offset=offset, limit=limit
        )
        answers = await self._job_service.store.list_answers(answer_filter)
        matched = await self._job_service.store.count_answers(answer_filter)
        links = self._page_links(request, offset, limit, matched)
        return await asyncio.to_thread(_page_response, request, [feature for _, feature in answers], matched, links)

    async def item(self, request: Request, collection_id: str, feature_id: str) -> Response:
        """Get one answer."""
        reject_unknown_params(request)
        _check_collection(collection_id)
        answer = await self._job_service.store.find_answer(feature_id)
        if answer is None:
            raise NotFound(f"Answer {feature_id[:100]!r} doesn't exist.")
        job_id, feature = answer
        await self._job_service.find(job_id, owner_filter(request))
        collection_url = f"{base_url(request, self._public_url)}/collections/{_ANSWERS}"
        links = [
            link(f"{collection_url}/items/{feature_id}", "self", "Answer", GEOJSON),
            link(collection_url, "collection", "Answers"),
        ]
        return negotiate_response(request, orjson.loads(feature) | {"links": links}, "Answer", media_type=GEOJSON)

    def _page_links(self, request: Request, offset: int, limit: int, matched: int) -> list[Document]:
        collection_url = f"{base_url(request, self._public_url)}/collections/{_ANSWERS}"
        params = {name: value for name, value in request.query_params.items() if name != "offset"}

        def page(page_offset: int, rel: str, title: str) -> Document:
            query = urlencode({**params, "limit": limit, "offset": page_offset})
            return link(f"{collection_url}/items?{query}", rel, title, GEOJSON)

        links = [page(offset, "self", "This page"), link(collection_url, "collection", "Answers")]
        links += [page(offset + limit, "next", "Next page")] if offset + limit < matched else []
        return links + ([page(max(0, offset - limit), "prev", "Previous page")] if offset else [])


def _page_response(request: Request, features: list[str], matched: int, links: list[Document]) -> Response:
    """Return a page of answers. It can have 10,000, so call this in a thread."""
    read = orjson.loads if wants_html(request) else orjson.Fragment
    document: Document = {
        "type": "FeatureCollection",
        "features": [read(feature) for feature in features],
        "numberMatched": matched,
        "numberReturned": len(features),
        "timeStamp": _now(),
        "links": links,
    }
    return negotiate_response(request, document, "Answers", media_type=GEOJSON)


def _collection(base: str) -> Document:
    url = f"{base}/collections/{_ANSWERS}"
    return {
        "id": _ANSWERS,
        "title": "Answers",
        "description": "Answers of vision-language models about windows and tiles of radar images.",
        "itemType": "feature",
        "crs": [_CRS84],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]], "crs": _CRS84}},
        "links": [link(url, "self", "Answers"), link(f"{url}/items", "items", "Answers", GEOJSON)],
    }


def _check_collection(collection_id: str) -> None:
    if collection_id != _ANSWERS:
        raise NotFound(f"Collection {collection_id[:64]!r} doesn't exist. The only collection is {_ANSWERS!r}.")


def _parse_bbox(text: str | None) -> Bounds | None:
    """Parse four numbers, or six with heights, which are ignored."""
    if text is None:
        return None
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    if len(numbers) != 4 or not all(abs(number) <= 360 for number in numbers) or numbers[1] > numbers[3]:
        raise BadRequest("bbox must be west,south,east,north in degrees.", param="bbox")
    west, south, east, north = numbers
    return west, south, east, north


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
