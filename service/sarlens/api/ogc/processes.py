"""OGC API - Processes 1.0: process list, descriptions and execution."""

from __future__ import annotations

from functools import partial

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError

from sarlens.admission.body_memory import BodyMemoryBudget
from sarlens.api.common.openapi import request_body_schema
from sarlens.api.common.responses import read_body
from sarlens.api.common.schemas import parse_body, validate_body, validation_error
from sarlens.api.jobs.responses import prefers_async, wait_for_job
from sarlens.api.jobs.submission import SurveySubmission
from sarlens.api.ogc.inputs import EchoInputs, Execution, Inputs, unwrap_qualified_values
from sarlens.api.ogc.jobs import result_of, status_info
from sarlens.api.ogc.negotiation import Limit, base_url, link, negotiate_response, reject_unknown_params
from sarlens.api.ogc.process_registry import PROCESS_REGISTRY, Process, process_named
from sarlens.errors import BadRequest
from sarlens.jobs.models import Job
from sarlens.json_input import Document, run_off_loop
from sarlens.surveys.echo import Echo
from sarlens.surveys.exporter import ResultExporter
from sarlens.surveys.job_service import JobService


class Processes:
    """Routes of processes."""

    def __init__(
        self,
        submission: SurveySubmission,
        job_service: JobService,
        exporter: ResultExporter,
        memory: BodyMemoryBudget,
        *,
        max_body_bytes: int,
        public_url: str | None,
    ) -> None:
        self._submission = submission
        self._job_service = job_service
        self._exporter = exporter
        self._memory = memory
        self._max_body_bytes = max_body_bytes
        self._public_url = public_url

    def router(self) -> APIRouter:
        """Return the routes for FastAPI."""
        router = APIRouter(tags=["OGC API Processes"], default_response_class=Response)
        router.add_api_route("/processes", self.list, methods=["GET"])
        router.add_api_route("/processes/{process_id}", self.describe, methods=["GET"])
        router.add_api_route(
            "/processes/{process_id}/execution",
            self.execute,
            methods=["POST"],
            openapi_extra=request_body_schema(Execution),
        )
        return router

    async def list(
        self,
        request: Request,
        limit: Limit = 100,
    ) -> Response:
        """List the processes."""
        reject_unknown_params(request, "limit")
        base = base_url(request, self._public_url)
        links = [link(f"{base}/processes", "self", "Processes")]
        processes = [process.summary(base) for process in PROCESS_REGISTRY.values()][:limit]
        return negotiate_response(request, {"processes": processes, "links": links}, "Processes")

    async def describe(self, request: Request, process_id: str) -> Response:
        """Describe the inputs and outputs of a process."""
        process = process_named(process_id)
        return negotiate_response(request, process.details(base_url(request, self._public_url)), process.title)

    async def execute(self, request: Request, process_id: str) -> Response:
        """Execute a process.

        The response is the result. With `Prefer: respond-async` it is 201 and a job.
        """
        process = process_named(process_id)
        with self._memory.reserve(request.state.context.client) as reservation:
            body = await read_body(request.scope, request.receive, self._max_body_bytes, reservation)
            wrap, inputs = await run_off_loop(len(body), partial(_parse_execution, process, body))
            job = await self._submit(request, process, inputs, wrap=wrap)
            if prefers_async(request):
                base = base_url(request, self._public_url)
                headers = {"Location": f"{base}/jobs/{job.id}", "Preference-Applied": "respond-async"}
                return Response(orjson.dumps(status_info(job, base)), 201, headers, "application/json")
            return result_of(self._exporter, await wait_for_job(self._job_service, job, request.scope))

    async def _submit(self, request: Request, process: Process, inputs: BaseModel, *, wrap: bool) -> Job:
        context = request.state.context
        if isinstance(inputs, EchoInputs):
            echo = Echo(text=inputs.echoInput, pause_s=inputs.pause, wrap_as_document=wrap)
            return await self._submission.submit_echo(echo, context)
        assert isinstance(inputs, Inputs)  # noqa: S101  the registry has no others
        try:
            spec = inputs.to_spec(wrap_as_document=wrap)
        except ValidationError as error:
            raise validation_error(error) from None
        return await self._submission.submit(spec, process.id, context)


def _parse_execution(process: Process, body: Document) -> tuple[bool, BaseModel]:
    """Return whether the result is a document, and the inputs."""
    execution = parse_body(Execution, body)
    _check_outputs(execution, process)
    return execution.response == "document", validate_body(process.inputs, unwrap_qualified_values(execution.inputs))


def _check_outputs(execution: Execution, process: Process) -> None:
    """Raise BadRequest for an unknown output, or for a transmission mode other than ``value``."""
    for name, output in (execution.outputs or {}).items():
        if name != process.output:
            raise BadRequest(f"The output of {process.id} is {process.output!r}, not {name[:64]!r}.", param="outputs")
        if output.get("transmissionMode", "value") != "value":
            raise BadRequest("The only transmissionMode of outputs is value.", param="outputs")
