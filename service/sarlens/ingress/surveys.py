"""``/v1/sar/surveys``: a scene cut into tiles, its answers as GeoJSON, at once, as they come, or as a job."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from sarlens.admission.memory import Memory
from sarlens.ingress.bodies import SurveyBody, parse_body
from sarlens.ingress.openapi import task_body
from sarlens.ingress.reception import Reception
from sarlens.ingress.replies import read_body
from sarlens.ingress.results import (
    SEQUENCE,
    SURVEYS,
    Pieces,
    Sequence,
    as_file,
    check_over,
    document,
    owner_filter,
    prefers_async,
    status_of,
    waited,
)
from sarlens.survey.commission import Output
from sarlens.survey.delivery import Delivery
from sarlens.survey.job import Job
from sarlens.survey.office import Office
from sarlens.survey.store import Wanted


class Surveys:
    """The routes of surveys."""

    def __init__(
        self, reception: Reception, office: Office, delivery: Delivery, memory: Memory, *, body_bytes: int
    ) -> None:
        self._reception = reception
        self._office = office
        self._delivery = delivery
        self._memory = memory
        self._body_bytes = body_bytes

    def router(self) -> APIRouter:
        """The routes, for FastAPI."""
        router = APIRouter(tags=["surveys"], default_response_class=Response)
        router.add_api_route(SURVEYS, self.survey, methods=["POST"], openapi_extra=task_body(SurveyBody))
        router.add_api_route(SURVEYS, self.surveys, methods=["GET"])
        router.add_api_route(SURVEYS + "/{name}", self.status, methods=["GET"])
        router.add_api_route(SURVEYS + "/{name}", self.dismiss, methods=["DELETE"])
        router.add_api_route(SURVEYS + "/{name}/features", self.features, methods=["GET"])
        return router

    async def survey(self, request: Request) -> Response:
        """Ask about every tile of a scene.

        The answer is a FeatureCollection when all is done; with `Accept: application/geo+json-seq` a text sequence of
        features as they come; with `Prefer: respond-async` 201 and a job. A caller who waits and leaves ends it.
        """
        caller = request.scope["sarlens.caller"]
        with self._memory.holding() as holding:
            body = parse_body(SurveyBody, await read_body(request.scope, request.receive, self._body_bytes, holding))
        job = await self._reception.take(body.commission, "survey", caller)
        if prefers_async(request):
            headers = {"Location": f"{SURVEYS}/{job.id}", "Preference-Applied": "respond-async"}
            return document(status_of(job), status=201, headers=headers)
        if SEQUENCE in request.headers.get("accept", ""):
            return Sequence(self._office, job)
        return Pieces(self._delivery.pieces(check_over(await waited(self._office, job, request.receive))))

    async def surveys(self, request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
        """The newest surveys of this caller."""
        found = await self._office.store.jobs(Wanted(owner_filter(request), ["survey"]), limit=limit)
        return document({"object": "list", "data": [status_of(job) for job in found]})

    async def status(self, request: Request, name: str) -> Response:
        """How far a survey is."""
        return document(status_of(await self._mine(request, name)))

    async def dismiss(self, request: Request, name: str) -> Response:
        """Stop a survey; forget one that is over."""
        return document(status_of(await self._office.dismiss(await self._mine(request, name))))

    async def features(self, request: Request, name: str, format: Output = "geojson") -> Response:  # noqa: A002
        """The answers until now.

        A FeatureCollection, or a file for a GIS; with `Accept: application/geo+json-seq` a text sequence that goes on
        until the survey is over.
        """
        job = await self._mine(request, name)
        if format != "geojson":
            return await as_file(self._delivery, job, format)
        if SEQUENCE in request.headers.get("accept", ""):
            return Sequence(self._office, job, dismisses=False)
        return Pieces(self._delivery.pieces(job))

    async def _mine(self, request: Request, name: str) -> Job:
        return await self._office.find(name, owner_filter(request))
