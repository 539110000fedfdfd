"""``/v1/sar/surveys``: surveys as synchronous requests, streams and jobs."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator

from sarlens.admission.body_memory import BodyMemoryBudget
from sarlens.api.common.accept import negotiate
from sarlens.api.common.openapi import request_body_schema
from sarlens.api.common.responses import read_body
from sarlens.api.common.schemas import SurveyBody, parse_body
from sarlens.api.jobs.responses import (
    GEOJSON,
    GEOJSON_SEQ,
    SURVEYS_PATH,
    GeoJSONSeqResponse,
    GeoJSONStreamResponse,
    as_file,
    json_response,
    owner_filter,
    prefers_async,
    require_success,
    survey_status,
    wait_for_job,
)
from sarlens.api.jobs.submission import SurveySubmission
from sarlens.errors import BadRequest, NotFound
from sarlens.jobs.filters import JobFilter
from sarlens.jobs.models import Job
from sarlens.json_input import run_off_loop
from sarlens.surveys.exporter import ResultExporter, has_objects
from sarlens.surveys.job_service import JobService
from sarlens.surveys.layer_file import ANSWERS_LAYER, OBJECTS_LAYER
from sarlens.surveys.layer_style import to_qml
from sarlens.surveys.spec import Output

_MAX_PAGE = 10_000
Limit = Annotated[int, Query(ge=1), AfterValidator(lambda limit: min(limit, _MAX_PAGE))]
_MEDIA_TYPES = (GEOJSON, "application/json", GEOJSON_SEQ)


class Surveys:
    """Routes of surveys."""

    def __init__(
        self,
        submission: SurveySubmission,
        job_service: JobService,
        exporter: ResultExporter,
        memory: BodyMemoryBudget,
        *,
        max_body_bytes: int,
    ) -> None:
        self._submission = submission
        self._job_service = job_service
        self._exporter = exporter
        self._memory = memory
        self._max_body_bytes = max_body_bytes

    def router(self) -> APIRouter:
        """Return the routes for FastAPI."""
        router = APIRouter(tags=["surveys"], default_response_class=Response)
        body = request_body_schema(SurveyBody)
        router.add_api_route(SURVEYS_PATH, self.survey, methods=["POST"], openapi_extra=body)
        router.add_api_route(SURVEYS_PATH, self.surveys, methods=["GET"])
        router.add_api_route(SURVEYS_PATH + "/{job_id}", self.status, methods=["GET"])
        router.add_api_route(SURVEYS_PATH + "/{job_id}", self.dismiss, methods=["DELETE"])
        router.add_api_route(SURVEYS_PATH + "/{job_id}/resume", self.resume, methods=["POST"])
        router.add_api_route(SURVEYS_PATH + "/{job_id}/features", self.features, methods=["GET"])
        router.add_api_route(SURVEYS_PATH + "/{job_id}/objects", self.objects, methods=["GET"])
        router.add_api_route(SURVEYS_PATH + "/{job_id}/{layer}/style", self.style, methods=["GET"])
        return router

    async def survey(self, request: Request) -> Response:
        """Ask questions about every tile of a scene.

        The response is a FeatureCollection when the survey is complete. With `Accept: application/geo+json-seq` it is a
        text sequence of features as tiles complete. With `Prefer: respond-async` it is 201 and a job. If the client
        disconnects from a synchronous survey, the gateway cancels the survey.
        """
        with self._memory.reserve(request.state.context.client) as reservation:
            body = await read_body(request.scope, request.receive, self._max_body_bytes, reservation)
            spec = (await run_off_loop(len(body), partial(parse_body, SurveyBody, body))).to_spec
            job = await self._submission.submit(spec, "survey", request.state.context)
            if prefers_async(request):
                headers = {"Location": f"{SURVEYS_PATH}/{job.id}", "Preference-Applied": "respond-async"}
                return json_response(survey_status(job), status=201, headers=headers)
            if negotiate(request.headers, _MEDIA_TYPES) == GEOJSON_SEQ:
                return GeoJSONSeqResponse(self._job_service, job)
            job = require_success(await wait_for_job(self._job_service, job, request.scope))
        return GeoJSONStreamResponse(self._exporter.iter_geojson(job))

    async def surveys(
        self,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=1000, description="Maximum number of surveys")] = 100,
    ) -> Response:
        """List the surveys of this API key, newest first."""
        jobs = await self._job_service.store.list_jobs(JobFilter(owner_filter(request), ["survey"]), limit=limit)
        return json_response({"object": "list", "data": [survey_status(job) for job in jobs]})

    async def status(self, request: Request, job_id: str) -> Response:
        """Get the status and progress of a survey."""
        return json_response(survey_status(await self._find(request, job_id)))

    async def dismiss(self, request: Request, job_id: str) -> Response:
        """Cancel an active survey, or delete a completed one."""
        return json_response(survey_status(await self._job_service.dismiss(await self._find(request, job_id))))

    async def resume(self, request: Request, job_id: str) -> Response:
        """Continue a failed or canceled survey.

        The answers so far are kept. The gateway asks about the tiles that failed or have no answer. An active survey
        just continues; a successful one is 400.
        """
        return json_response(survey_status(await self._job_service.resume(await self._find(request, job_id))))

    async def features(
        self,
        request: Request,
        job_id: str,
        format: Annotated[Output, Query(description="Format of the answers")] = "geojson",  # noqa: A002
        limit: Annotated[
            Limit | None, Query(description="Maximum number of answers, of GeoJSON; at most 10,000. Default: all")
        ] = None,
        offset: Annotated[
            int | None, Query(ge=0, le=1_000_000_000, description="Number of answers to skip, of GeoJSON")
        ] = None,
    ) -> Response:
        """Get the answers so far.

        The response is a FeatureCollection, or a file in another format. With `Accept: application/geo+json-seq`
        it is a text sequence that continues until the survey is complete.
        """
        job = await self._find(request, job_id)
        is_sequence = format == "geojson" and negotiate(request.headers, _MEDIA_TYPES) == GEOJSON_SEQ
        if limit is not None or offset is not None:
            if format != "geojson" or is_sequence:
                raise BadRequest("limit and offset are for a FeatureCollection only.", param="limit")
            page = await self._exporter.page(job, limit or _MAX_PAGE, offset or 0)
            return Response(page, media_type=GEOJSON)
        if format != "geojson":
            return await as_file(self._exporter, job, format, request.scope)
        if is_sequence:
            return GeoJSONSeqResponse(self._job_service, job, dismiss_on_disconnect=False)
        return GeoJSONStreamResponse(self._exporter.iter_geojson(job))

    async def objects(
        self,
        request: Request,
        job_id: str,
        format: Annotated[Output, Query(description="Format of the objects")] = "geojson",  # noqa: A002
    ) -> Response:
        """Get the objects of a complete survey with `objects`: one point for each.

        The response is a FeatureCollection, or a GeoPackage or GeoParquet file.
        """
        job = await self._find(request, job_id)
        if not has_objects(job):
            raise NotFound("The survey has no objects, because its request has no objects.")
        require_success(job)
        if format != "geojson":
            return await as_file(self._exporter, job, format, request.scope, OBJECTS_LAYER)
        return GeoJSONStreamResponse(self._exporter.iter_objects(job))

    async def style(self, request: Request, job_id: str, layer: Literal["features", "objects"]) -> Response:
        """Get the style of the answers or objects for QGIS, as QML.

        QGIS applies a style whose file has the name of the layer's file and the suffix `.qml`. A GeoPackage has its
        styles inside.
        """
        await self._find(request, job_id)
        found = OBJECTS_LAYER if layer == "objects" else ANSWERS_LAYER
        disposition = {"content-disposition": f'attachment; filename="{found.name}.qml"'}
        return Response(to_qml(found.style), media_type="application/xml", headers=disposition)

    async def _find(self, request: Request, job_id: str) -> Job:
        return await self._job_service.find(job_id, owner_filter(request))
