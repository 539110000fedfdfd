"""Jobs of OGC API Processes 1.0: the list, how far each is, its results, and dismissing it."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response

from sarlens.errors import BadRequest
from sarlens.ingress.ogc.page import Document, base_of, known_only, link, shown
from sarlens.ingress.ogc.times import interval
from sarlens.ingress.results import GEOJSON, Pieces, check_over, instant, owner_filter
from sarlens.survey.delivery import Delivery
from sarlens.survey.echo import ECHO
from sarlens.survey.job import Job, Status
from sarlens.survey.office import Office
from sarlens.survey.store import Wanted

_RESULTS = "http://www.opengis.net/def/rel/ogc/1.0/results"
_FILTERS = ("limit", "type", "processID", "status", "datetime", "minDuration", "maxDuration")


class Jobs:
    """The routes of jobs."""

    def __init__(self, office: Office, delivery: Delivery, *, public_url: str | None) -> None:
        self._office = office
        self._delivery = delivery
        self._public_url = public_url

    def router(self) -> APIRouter:
        """The routes, for FastAPI."""
        router = APIRouter(tags=["OGC API Processes"], default_response_class=Response)
        router.add_api_route("/jobs", self.list, methods=["GET"])
        router.add_api_route("/jobs/{name}", self.status, methods=["GET"])
        router.add_api_route("/jobs/{name}", self.dismiss, methods=["DELETE"])
        router.add_api_route("/jobs/{name}/results", self.results, methods=["GET"])
        router.add_api_route("/jobs/{name}/results/answers", self.answers, methods=["GET"])
        return router

    async def list(
        self,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
        type: Annotated[str | None, Query(description="process")] = None,  # noqa: A002
        processID: Annotated[str | None, Query(description="Processes, separated by commas")] = None,  # noqa: N803
        status: Annotated[str | None, Query(description="Statuses, separated by commas")] = None,
        datetime: Annotated[str | None, Query(description="When it was created: a time or an interval")] = None,
        minDuration: Annotated[float | None, Query(ge=0, description="Seconds that it ran at least")] = None,  # noqa: N803
        maxDuration: Annotated[float | None, Query(ge=0, description="Seconds that it ran at most")] = None,  # noqa: N803
    ) -> Response:
        """The jobs of this caller, newest first."""
        known_only(request, *_FILTERS)
        statuses = _listed(status)
        if set(statuses) - set(Status):
            raise BadRequest(f"A status is one of {', '.join(Status)}.", param="status")
        since, until = interval(datetime) if datetime else (None, None)
        wanted = Wanted(owner_filter(request), _listed(processID), statuses, since, until, minDuration, maxDuration)
        found = await self._office.store.jobs(wanted, limit=limit) if set(_listed(type)) <= {"process"} else []
        base = base_of(request, self._public_url)
        told = {"jobs": [status_info(job, base) for job in found], "links": [link(f"{base}/jobs", "self", "This list")]}
        return shown(request, told, "Jobs")

    async def status(self, request: Request, name: str) -> Response:
        """How far a job is."""
        job = await self._mine(request, name)
        return shown(request, status_info(job, base_of(request, self._public_url)), f"Job {job.id}")

    async def dismiss(self, request: Request, name: str) -> Response:
        """Stop a job, or forget one that is over."""
        gone = await self._office.dismiss(await self._mine(request, name))
        return shown(request, status_info(gone, base_of(request, self._public_url)), f"Job {gone.id}")

    async def results(self, request: Request, name: str) -> Response:
        """The results of a job, in the form that its execution asked for."""
        return result_of(self._delivery, await self._mine(request, name))

    async def answers(self, request: Request, name: str) -> Response:
        """The answers of a job as a FeatureCollection, also where its execution asked for a document."""
        job = check_over(await self._mine(request, name))
        if job.process == ECHO:
            raise BadRequest("An echo has no answers.")
        return Pieces(self._delivery.pieces(job))

    async def _mine(self, request: Request, name: str) -> Job:
        return await self._office.find(name, owner_filter(request))


def _listed(text: str | None) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()] if text else []


def status_info(job: Job, base: str) -> Document:
    """The statusInfo of a job."""
    told: Document = {"jobID": job.id, "processID": job.process, "type": "process", "status": job.status}
    told |= {"message": job.message} if job.message else {}
    told |= {"progress": job.progress}
    times = {name: instant(getattr(job, name)) for name in ("created", "started", "finished", "updated")}
    told |= {name: time for name, time in times.items() if time is not None}
    told["links"] = [link(f"{base}/jobs/{job.id}", "self", "This job")]
    if job.status is Status.SUCCESSFUL:
        told["links"].append(link(f"{base}/jobs/{job.id}/results", _RESULTS, "Its results", GEOJSON))
    return told


def result_of(delivery: Delivery, job: Job) -> Response:
    """The results of a job, raw or as a document; raises as ``check_over`` does."""
    told = orjson.loads(check_over(job).request)
    if job.process == ECHO:
        document = {"echoOutput": {"value": told["text"]}} if told.get("document") else told["text"]
        return Response(orjson.dumps(document), media_type="application/json")
    if not told.get("document"):
        return Pieces(delivery.pieces(job))
    around = b'{"answers":{"mediaType":"' + GEOJSON.encode() + b'","value":', b"}}"
    return Pieces(delivery.pieces(job), around=around, media_type="application/json")
