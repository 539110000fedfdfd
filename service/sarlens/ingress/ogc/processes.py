"""OGC API Processes 1.0: what can be asked, and asking it, at once or as a job."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from sarlens.admission.memory import Memory
from sarlens.errors import BadRequest
from sarlens.ingress.bodies import parse_body, refusal
from sarlens.ingress.ogc.catalogue import PROCESSES, Process, process_named
from sarlens.ingress.ogc.inputs import EchoInputs, Execution, Inputs, unqualified
from sarlens.ingress.ogc.jobs import result_of, status_info
from sarlens.ingress.ogc.page import base_of, known_only, link, shown
from sarlens.ingress.reception import Reception
from sarlens.ingress.replies import read_body
from sarlens.ingress.results import owner_of, prefers_async, waited
from sarlens.survey.delivery import Delivery
from sarlens.survey.echo import Echo
from sarlens.survey.job import Job
from sarlens.survey.office import Office


class Processes:
    """The routes of processes."""

    def __init__(
        self,
        reception: Reception,
        office: Office,
        delivery: Delivery,
        memory: Memory,
        *,
        body_bytes: int,
        public_url: str | None,
    ) -> None:
        self._reception = reception
        self._office = office
        self._delivery = delivery
        self._memory = memory
        self._body_bytes = body_bytes
        self._public_url = public_url

    def router(self) -> APIRouter:
        """The routes, for FastAPI."""
        router = APIRouter(tags=["OGC API Processes"], default_response_class=Response)
        router.add_api_route("/processes", self.list, methods=["GET"])
        router.add_api_route("/processes/{name}", self.describe, methods=["GET"])
        body = {"required": True, "content": {"application/json": {"schema": Execution.model_json_schema()}}}
        created: dict[int | str, dict[str, Any]] = {201: {"description": "A job, with Prefer: respond-async"}}
        router.add_api_route(
            "/processes/{name}/execution",
            self.execute,
            methods=["POST"],
            responses=created,
            openapi_extra={"requestBody": body},
        )
        return router

    async def list(self, request: Request, limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> Response:
        """The processes that there are."""
        known_only(request, "limit")
        base = base_of(request, self._public_url)
        own = [link(f"{base}/processes", "self", "This list")]
        told = [process.summary(base) for process in PROCESSES.values()][:limit]
        return shown(request, {"processes": told, "links": own}, "Processes")

    async def describe(self, request: Request, name: str) -> Response:
        """What a process takes and gives."""
        process = process_named(name)
        return shown(request, process.details(base_of(request, self._public_url)), process.title)

    async def execute(self, request: Request, name: str) -> Response:
        """Execute a process: the result, or with `Prefer: respond-async` a job."""
        process = process_named(name)
        with self._memory.holding() as holding:
            body = await read_body(request.scope, request.receive, self._body_bytes, holding)
            asked = parse_body(Execution, body)
        _check_outputs(asked, process)
        job = await self._submit(request, process, asked)
        if prefers_async(request):
            base = base_of(request, self._public_url)
            headers = {"Location": f"{base}/jobs/{job.id}", "Preference-Applied": "respond-async"}
            return Response(orjson.dumps(status_info(job, base)), 201, headers, "application/json")
        return result_of(self._delivery, await waited(self._office, job, request.receive))

    async def _submit(self, request: Request, process: Process, asked: Execution) -> Job:
        caller = request.scope["sarlens.caller"]
        document = asked.response == "document"
        try:
            inputs = process.inputs.model_validate(unqualified(asked.inputs))
            if isinstance(inputs, EchoInputs):
                echo = Echo(text=inputs.echoInput, pause_s=inputs.pause, document=document)
                return await self._office.take(Job(process.id, owner_of(caller), echo.model_dump_json()))
            assert isinstance(inputs, Inputs)  # noqa: S101  the catalogue has no others
            commission = inputs.commission().model_copy(update={"document": document})
        except ValidationError as error:
            raise refusal(error) from None
        return await self._reception.take(commission, process.id, caller)


def _check_outputs(asked: Execution, process: Process) -> None:
    """Raise BadRequest where an output is wanted that there is not, or in a way that it does not come."""
    for name, how in (asked.outputs or {}).items():
        if name != process.output:
            raise BadRequest(f"The output of {process.id} is {process.output!r}, not {name[:64]!r}.", param="outputs")
        if how.get("transmissionMode", "value") != "value":
            raise BadRequest("Outputs come by value.", param="outputs")
