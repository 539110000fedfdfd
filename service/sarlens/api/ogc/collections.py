"""OGC API - Features 1.0: the collections of answers of an API key, and their schemas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator

from sarlens.api.jobs.responses import owner_filter
from sarlens.api.ogc.collection_documents import (
    Collection,
    CollectionId,
    all_answers,
    no_such_collection,
    survey_collection,
    survey_collections,
)
from sarlens.api.ogc.negotiation import SCHEMA, Document, base_url, link, negotiate_response, reject_unknown_params
from sarlens.api.ogc.schemas import feature_schema, property_schema
from sarlens.jobs.filters import JobFilter
from sarlens.jobs.layers import AnswerLayers, Extent

_MAX_SURVEYS = 100
_SURVEY = ("survey",)

CollectionPath = Annotated[
    str, Path(description="`answers`, the id of a survey, `SURVEY-INDEX` for a question, or `SURVEY-objects`")
]


class Collections:
    """Routes of the collections of answers."""

    def __init__(self, layers: AnswerLayers, *, public_url: str | None) -> None:
        self._layers = layers
        self._public_url = public_url

    def router(self) -> APIRouter:
        """Return the routes for FastAPI."""
        router = APIRouter(tags=["OGC API Features"], default_response_class=Response)
        collection = "/collections/{collection_id}"
        router.add_api_route("/collections", self.collections, methods=["GET"])
        router.add_api_route(collection, self.collection, methods=["GET"])
        router.add_api_route(f"{collection}/schema", self.schema, methods=["GET"])
        router.add_api_route(f"{collection}/schemas/feature", self.feature_schema, methods=["GET"])
        return router

    async def collections(
        self,
        request: Request,
        limit: Annotated[
            int,
            Query(ge=1, description="Number of surveys on a page; at most 100"),
            AfterValidator(lambda limit: min(limit, _MAX_SURVEYS)),
        ] = _MAX_SURVEYS,
        offset: Annotated[int, Query(ge=0, le=1_000_000_000, description="Number of surveys to skip")] = 0,
    ) -> Response:
        """List the collections: `answers`, then each survey of this API key, newest first.

        A survey with 2 to 16 questions has a collection for each of them, too, and a survey with objects has one of
        these.
        """
        reject_unknown_params(request, "limit", "offset")
        owner, base = owner_filter(request), base_url(request, self._public_url)
        surveys = await self._layers.surveys(JobFilter(owner, _SURVEY), limit=limit + 1, offset=offset)
        extent = Extent() if offset else await self._layers.extent(owner)
        links = [link(f"{base}/collections", "self", "Collections")]
        if len(surveys) > limit:
            query = urlencode({"limit": limit, "offset": offset + limit})
            links.append(link(f"{base}/collections?{query}", "next", "Next page"))

        def respond() -> Response:
            listed = [] if offset else [all_answers(extent)]
            listed += [collection for survey in surveys[:limit] for collection in survey_collections(survey)]
            documents = [collection.document(base) for collection in listed]
            return negotiate_response(request, {"collections": documents, "links": links}, "Collections")

        return await asyncio.to_thread(respond)

    async def collection(self, request: Request, collection_id: CollectionPath) -> Response:
        """Describe a collection, with its extent in space and time."""
        reject_unknown_params(request)
        collection = await self.find(request, collection_id)
        return negotiate_response(request, collection.document(base_url(request, self._public_url)), collection.title)

    async def schema(self, request: Request, collection_id: CollectionPath) -> Response:
        """Get the JSON Schema of the properties of a collection's features (OGC API - Features - Part 5)."""
        return await self._schema_response(request, collection_id, "schema", property_schema)

    async def feature_schema(self, request: Request, collection_id: CollectionPath) -> Response:
        """Get the JSON Schema of a collection's GeoJSON features."""
        return await self._schema_response(request, collection_id, "schemas/feature", feature_schema)

    async def find(self, request: Request, text: str) -> Collection:
        """Return a collection of the caller.

        Raises:
            NotFound: the caller has no such collection.
        """
        owner, collection_id = owner_filter(request), CollectionId.parse(text)
        if collection_id.job is None:
            return all_answers(await self._layers.extent(owner))
        surveys = await self._layers.surveys(JobFilter(owner, _SURVEY, ids=(collection_id.job,)), limit=1)
        if not surveys:
            raise no_such_collection(text)
        return survey_collection(surveys[0], collection_id)

    async def _schema_response(
        self, request: Request, text: str, name: str, make_schema: Callable[..., Document]
    ) -> Response:
        reject_unknown_params(request)
        collection = await self.find(request, text)
        url = f"{base_url(request, self._public_url)}/collections/{collection.id}/{name}"
        schema = make_schema(url, collection.title, collection.layer, acquisition=collection.acquisition)
        return negotiate_response(request, schema, "Schema", media_type=SCHEMA)
