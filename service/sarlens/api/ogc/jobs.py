"""OGC API - Processes 1.0: job list, status, results and dismissal."""

from __future__ import annotations

import asyncio
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response

from sarlens.api.jobs.responses import GEOJSON, GeoJSONStreamResponse, owner_filter, require_success, rfc3339
from sarlens.api.ogc.datetime_interval import parse_interval
from sarlens.api.ogc.negotiation import Document, Limit, base_url, link, negotiate_response, reject_unknown_params
from sarlens.errors import BadRequest
from sarlens.jobs.batches import BATCH
from sarlens.jobs.filters import JobFilter
from sarlens.jobs.models import Job, JobStatus
from sarlens.surveys.echo import ECHO
from sarlens.surveys.exporter import ResultExporter
from sarlens.surveys.job_service import JobService

_RESULTS = "http://www.opengis.net/def/rel/ogc/1.0/results"
_MAX_LISTED = 64
_FILTERS = ("limit", "type", "processID", "status", "datetime", "minDuration", "maxDuration")


class Jobs:
    """Routes of jobs."""

    def __init__(self, job_service: JobService, exporter: ResultExporter, *, public_url: str | None) -> None:
        self._job_service = job_service
        self._exporter = exporter
        self._public_url = public_url

    def router(self) -> APIRouter:
        """Return the routes for FastAPI."""
        router = APIRouter(tags=["OGC API Processes"], default_response_class=Response)
        router.add_api_route("/jobs", self.list, methods=["GET"])
        router.add_api_route("/jobs/{job_id}", self.status, methods=["GET"])
        router.add_api_route("/jobs/{job_id}", self.dismiss, methods=["DELETE"])
        router.add_api_route("/jobs/{job_id}/results", self.results, methods=["GET"])
        router.add_api_route("/jobs/{job_id}/results/answers", self.answers, methods=["GET"])
        return router

    async def list(
        self,
        request: Request,
        limit: Limit = 100,
        type: Annotated[str | None, Query(description="Type of the jobs; `process` is the only one")] = None,  # noqa: A002
        processID: Annotated[str | None, Query(description="Process ids, separated by commas")] = None,  # noqa: N803
        status: Annotated[str | None, Query(description="Job statuses, separated by commas")] = None,
        datetime: Annotated[str | None, Query(description="Creation time, or an interval of times")] = None,
        minDuration: Annotated[float | None, Query(ge=0, description="Minimum duration in seconds")] = None,  # noqa: N803
        maxDuration: Annotated[float | None, Query(ge=0, description="Maximum duration in seconds")] = None,  # noqa: N803
    ) -> Response:
        """List the jobs of this API key, newest first."""
        reject_unknown_params(request, *_FILTERS)
        statuses = _split_commas(status)
        if set(statuses) - set(JobStatus):
            raise BadRequest(f"status must be one of {', '.join(JobStatus)}.", param="status")
        since, until = parse_interval(datetime) if datetime else (None, None)
        owner, processes = owner_filter(request), _split_commas(processID)
        job_filter = JobFilter(
            owner,
            processes,
            other_processes=(BATCH,),
            statuses=statuses,
            since=since,
            until=until,
            min_duration_s=minDuration,
            max_duration_s=maxDuration,
        )
        has_type = set(_split_commas(type)) <= {"process"}
        jobs = await self._job_service.store.list_jobs(job_filter, limit=limit) if has_type else []
        base = base_url(request, self._public_url)
        links = [link(f"{base}/jobs", "self", "Jobs")]

        def respond() -> Response:
            infos = [status_info(job, base) for job in jobs]
            return negotiate_response(request, {"jobs": infos, "links": links}, "Jobs")

        return await asyncio.to_thread(respond)  # there can be 10,000 jobs

    async def status(self, request: Request, job_id: str) -> Response:
        """Get the status and progress of a job."""
        job = await self._find(request, job_id)
        return negotiate_response(request, status_info(job, base_url(request, self._public_url)), f"Job {job.id}")

    async def dismiss(self, request: Request, job_id: str) -> Response:
        """Cancel an active job, or delete a completed one."""
        job = await self._job_service.dismiss(await self._find(request, job_id))
        return negotiate_response(request, status_info(job, base_url(request, self._public_url)), f"Job {job.id}")

    async def results(self, request: Request, job_id: str) -> Response:
        """Get the results of a job, in the format of its `response` parameter."""
        return result_of(self._exporter, await self._find(request, job_id))

    async def answers(self, request: Request, job_id: str) -> Response:
        """Get the answers of a job as a FeatureCollection, for either value of its `response` parameter."""
        job = require_success(await self._find(request, job_id))
        if job.process == ECHO:
            raise BadRequest("An echo job has no answers.")
        return GeoJSONStreamResponse(self._exporter.iter_geojson(job))

    async def _find(self, request: Request, job_id: str) -> Job:
        return await self._job_service.find(job_id, owner_filter(request))


def _split_commas(text: str | None) -> list[str]:
    """Parse a list of a query string.

    Raises:
        BadRequest: the list is too long.
    """
    parts = text.split(",", _MAX_LISTED) if text else []
    if len(parts) > _MAX_LISTED:
        raise BadRequest(f"A list in the query string can have at most {_MAX_LISTED} elements.")
    return [part.strip() for part in parts if part.strip()]


def status_info(job: Job, base: str) -> Document:
    """Return the statusInfo of a job."""
    document: Document = {"jobID": job.id, "processID": job.process, "type": "process", "status": job.status}
    document |= {"message": job.message} if job.message else {}
    document |= {"progress": job.progress}
    times = {name: rfc3339(getattr(job, name)) for name in ("created", "started", "finished", "updated")}
    document |= {name: time for name, time in times.items() if time is not None}
    document["links"] = [link(f"{base}/jobs/{job.id}", "self", "Job")]
    if job.status is JobStatus.SUCCESSFUL:
        document["links"].append(link(f"{base}/jobs/{job.id}/results", _RESULTS, "Results", GEOJSON))
    return document


def result_of(exporter: ResultExporter, job: Job) -> Response:
    """Return the results of a job, raw or as a document.

    Raises:
        ResultNotReady, JobFailed: as ``require_success``.
    """
    parameters = orjson.loads(require_success(job).request)
    wrap = parameters.get("wrap_as_document", False)
    if job.process == ECHO:
        result = {"echoOutput": {"value": parameters["text"]}} if wrap else parameters["text"]
        return Response(orjson.dumps(result), media_type="application/json")
    if not wrap:
        return GeoJSONStreamResponse(exporter.iter_geojson(job))
    prefix = b'{"answers":{"mediaType":"' + GEOJSON.encode() + b'","value":'
    return GeoJSONStreamResponse(exporter.iter_geojson(job), prefix=prefix, suffix=b"}}", media_type="application/json")
