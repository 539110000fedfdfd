"""OGC API Features 1.0: all answers of a caller as one collection, for QGIS, GDAL and whoever else reads layers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Query, Request, Response

from sarlens.errors import BadRequest, NotFound
from sarlens.ingress.ogc.page import Document, base_of, known_only, link, shown
from sarlens.ingress.ogc.times import interval
from sarlens.ingress.results import GEOJSON, owner_filter
from sarlens.survey.ledger import Bounds
from sarlens.survey.office import Office
from sarlens.survey.store import Answers

_ANSWERS = "answers"
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_FILTERS = ("limit", "offset", "bbox", "datetime", "job")


class Features:
    """The routes of the collection of answers."""

    def __init__(self, office: Office, *, public_url: str | None) -> None:
        self._office = office
        self._public_url = public_url

    def router(self) -> APIRouter:
        """The routes, for FastAPI."""
        router = APIRouter(tags=["OGC API Features"], default_response_class=Response)
        router.add_api_route("/collections", self.collections, methods=["GET"])
        router.add_api_route("/collections/{name}", self.collection, methods=["GET"])
        router.add_api_route("/collections/{name}/items", self.items, methods=["GET"])
        router.add_api_route("/collections/{name}/items/{feature}", self.item, methods=["GET"])
        return router

    async def collections(self, request: Request) -> Response:
        """The collections that there are: one."""
        known_only(request)
        base = base_of(request, self._public_url)
        own = [link(f"{base}/collections", "self", "This list")]
        return shown(request, {"collections": [_collection(base)], "links": own}, "Collections")

    async def collection(self, request: Request, name: str) -> Response:
        """What there is to know of the collection."""
        known_only(request)
        _check(name)
        return shown(request, _collection(base_of(request, self._public_url)), "Answers")

    async def items(
        self,
        request: Request,
        name: str,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10,
        offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
        bbox: Annotated[str | None, Query(description="west,south,east,north in degrees")] = None,
        datetime: Annotated[str | None, Query(description="When it was answered: a time or an interval")] = None,
        job: Annotated[str | None, Query(description="Answers of one job")] = None,
    ) -> Response:
        """Answers, in the order in which they came."""
        known_only(request, *_FILTERS)
        _check(name)
        since, until = interval(datetime) if datetime else (None, None)
        wanted = Answers(owner_filter(request), job, _bbox(bbox), since, until, 0, offset, limit)
        found = await self._office.store.answers(wanted)
        matched = await self._office.store.count(wanted._replace(offset=0))
        told: Document = {"type": "FeatureCollection", "features": [orjson.loads(feature) for _, feature in found]}
        told |= {"numberMatched": matched, "numberReturned": len(found), "timeStamp": _now()}
        told["links"] = self._links(request, offset, limit, matched)
        return shown(request, told, "Answers", media_type=GEOJSON)

    async def item(self, request: Request, name: str, feature: str) -> Response:
        """One answer."""
        known_only(request)
        _check(name)
        found = await self._office.store.answer(feature)
        if found is None:
            raise NotFound(f"There is no answer {feature[:100]!r}.")
        await self._office.find(found[0], owner_filter(request))
        base = base_of(request, self._public_url)
        here = f"{base}/collections/{_ANSWERS}"
        own = [link(f"{here}/items/{feature}", "self", "This answer", GEOJSON), link(here, "collection", "Answers")]
        return shown(request, orjson.loads(found[1]) | {"links": own}, "Answer", media_type=GEOJSON)

    def _links(self, request: Request, offset: int, limit: int, matched: int) -> list[Document]:
        here = f"{base_of(request, self._public_url)}/collections/{_ANSWERS}"
        asked = {name: value for name, value in request.query_params.items() if name != "offset"}

        def page(at: int, rel: str) -> Document:
            return link(f"{here}/items?{urlencode({**asked, 'limit': limit, 'offset': at})}", rel, rel, GEOJSON)

        links = [page(offset, "self"), link(here, "collection", "Answers")]
        links += [page(offset + limit, "next")] if offset + limit < matched else []
        return links + ([page(max(0, offset - limit), "prev")] if offset else [])


def _collection(base: str) -> Document:
    here = f"{base}/collections/{_ANSWERS}"
    return {
        "id": _ANSWERS,
        "title": "Answers",
        "description": "What models said of windows and tiles of radar images.",
        "itemType": "feature",
        "crs": [_CRS84],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]], "crs": _CRS84}},
        "links": [link(here, "self", "This collection"), link(f"{here}/items", "items", "Answers", GEOJSON)],
    }


def _check(name: str) -> None:
    if name != _ANSWERS:
        raise NotFound(f"There is no collection {name[:64]!r}; there is {_ANSWERS!r}.")


def _bbox(text: str | None) -> Bounds | None:
    if text is None:
        return None
    try:
        numbers = [float(each) for each in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    if len(numbers) != 4 or not all(abs(number) <= 360 for number in numbers) or numbers[1] > numbers[3]:
        raise BadRequest("bbox is west,south,east,north in degrees.", param="bbox")
    west, south, east, north = numbers
    return west, south, east, north


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
