"""OGC API - Features 1.0: the answers of an API key as collections, for QGIS, GDAL and other clients."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Query, Request, Response

from sarlens.api.jobs.responses import GEOJSON, owner_filter
from sarlens.api.ogc.collection_documents import CollectionId
from sarlens.api.ogc.collections import CollectionPath, Collections
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
from sarlens.jobs.extent import Bounds
from sarlens.jobs.filters import AnswerFilter
from sarlens.jobs.store import JobStore

_FILTERS = ("limit", "offset", "bbox", "datetime", "job", "question", "image")
_ITEMS = "/collections/{collection_id}/items"


class Features:
    """Routes of the features in collections of answers."""

    def __init__(self, store: JobStore, collections: Collections, *, public_url: str | None) -> None:
        self._store = store
        self._collections = collections
        self._public_url = public_url

    def router(self) -> APIRouter:
        """Return the routes for FastAPI."""
        router = APIRouter(tags=["OGC API Features"], default_response_class=Response)
        router.add_api_route(_ITEMS, self.items, methods=["GET"])
        router.add_api_route(_ITEMS + "/{feature_id}", self.item, methods=["GET"])
        return router

    async def items(
        self,
        request: Request,
        collection_id: CollectionPath,
        limit: Limit = 10,
        offset: Annotated[int, Query(ge=0, le=1_000_000_000, description="Number of answers to skip")] = 0,
        bbox: Annotated[str | None, Query(description="`west,south,east,north` in degrees")] = None,
        datetime: Annotated[str | None, Query(description="Time of the answer, or an interval of times")] = None,
        job: Annotated[str | None, Query(max_length=128, description="Job whose answers to list")] = None,
        question: Annotated[str | None, Query(max_length=2000, description="Text of the question")] = None,
        image: Annotated[str | None, Query(max_length=8192, description="Image, as in the property `image`")] = None,
    ) -> Response:
        """List answers, in the order in which the gateway wrote them."""
        reject_unknown_params(request, *_FILTERS)
        answer_filter = await self._answer_filter(request, collection_id)
        since, until = parse_interval(datetime) if datetime else (None, None)
        answer_filter = answer_filter._replace(
            bbox=_parse_bbox(bbox), since=since, until=until, text=question, image=image, offset=offset, limit=limit
        )
        if job is not None and answer_filter.job not in {None, job}:
            answers, matched = [], 0
        else:
            answer_filter = answer_filter._replace(job=answer_filter.job or job)
            answers = await self._store.list_answers(answer_filter)
            matched = await self._store.count_answers(answer_filter)
        links = self._page_links(request, collection_id, offset, limit, matched)
        return await asyncio.to_thread(_page_response, request, [feature for _, feature in answers], matched, links)

    async def item(self, request: Request, collection_id: CollectionPath, feature_id: str) -> Response:
        """Get one answer."""
        reject_unknown_params(request)
        answer_filter = await self._answer_filter(request, collection_id)
        feature = await self._store.find_answer(feature_id, answer_filter)
        if feature is None:
            raise NotFound(f"Answer {feature_id[:100]!r} doesn't exist.")
        collection_url = f"{base_url(request, self._public_url)}/collections/{collection_id}"
        links = [
            link(f"{collection_url}/items/{feature_id}", "self", "Answer", GEOJSON),
            link(collection_url, "collection", "Answers"),
        ]
        return negotiate_response(request, orjson.loads(feature) | {"links": links}, "Answer", media_type=GEOJSON)

    async def _answer_filter(self, request: Request, text: str) -> AnswerFilter:
        """Return the filter of the answers of a collection of the caller."""
        collection_id = CollectionId.parse(text)
        if collection_id.job is not None:
            await self._collections.find(request, text)
        return AnswerFilter(
            owner_filter(request), collection_id.job, collection_id.question, objects=collection_id.objects
        )

    def _page_links(
        self, request: Request, collection_id: str, offset: int, limit: int, matched: int
    ) -> list[Document]:
        collection_url = f"{base_url(request, self._public_url)}/collections/{collection_id}"
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
