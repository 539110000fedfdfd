"""Everything that a gateway speaks, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

import sarlens
from sarlens.admission.memory import Memory
from sarlens.errors import BadRequest, NotFound, SarlensError, WrongMethod
from sarlens.inference import Inference
from sarlens.ingress.calls import Calls
from sarlens.ingress.desk import Desk
from sarlens.ingress.door import Door
from sarlens.ingress.duty import Duty
from sarlens.ingress.front import Front
from sarlens.ingress.grpc_server import Services
from sarlens.ingress.health import health_router
from sarlens.ingress.items import Items
from sarlens.ingress.journal import Journal
from sarlens.ingress.models import models_router
from sarlens.ingress.ogc.features import Features
from sarlens.ingress.ogc.jobs import Jobs
from sarlens.ingress.ogc.landing import landing_router
from sarlens.ingress.ogc.processes import Processes
from sarlens.ingress.open_inference import OpenInference
from sarlens.ingress.open_inference_http import open_inference_router
from sarlens.ingress.openai import Completions
from sarlens.ingress.openapi import REFUSALS, document_completions
from sarlens.ingress.picture import picture_router
from sarlens.ingress.reception import Reception
from sarlens.ingress.replies import UNEXPECTED, error_document, retry_after
from sarlens.ingress.sar_service import SarService
from sarlens.ingress.surveys import Surveys
from sarlens.ingress.tasks import tasks_router
from sarlens.log import note_error
from sarlens.metrics import Metrics
from sarlens.survey.delivery import Delivery
from sarlens.survey.office import Office


class Surface(NamedTuple):
    """What a gateway shows: REST, and the services of gRPC."""

    front: Front
    services: Services
    desk: Desk


def build_surface(
    inference: Inference,
    door: Door,
    memory: Memory,
    journal: Journal,
    office: Office,
    delivery: Delivery,
    *,
    body_bytes: int,
    max_images: int,
    max_questions: int,
    public_url: str | None = None,
) -> Surface:
    """The protocols of a gateway over one core."""
    duty, metrics = Duty(), journal.metrics
    desk = Desk(inference, door, duty, metrics, max_images=max_images)
    items = Items(inference, door, metrics)
    calls = Calls(door, duty, journal)
    rest = FastAPI(
        title="Sarlens",
        version=sarlens.__version__,
        summary="Ask questions of radar images.",
        docs_url="/docs",
        redoc_url=None,
        responses=REFUSALS,
    )
    rest.include_router(models_router(inference.pool))
    rest.include_router(picture_router(inference, door))
    limits = {"body_bytes": body_bytes, "max_questions": max_questions}
    rest.include_router(tasks_router(items, memory, **limits))
    reception = Reception(office, door, max_questions=max_questions)
    rest.include_router(Surveys(reception, office, delivery, memory, body_bytes=body_bytes).router())
    rest.include_router(landing_router(public_url))
    processes = Processes(reception, office, delivery, memory, body_bytes=body_bytes, public_url=public_url)
    rest.include_router(processes.router())
    rest.include_router(Jobs(office, delivery, public_url=public_url).router())
    rest.include_router(Features(office, public_url=public_url).router())
    rest.include_router(open_inference_router(desk, memory, **limits))
    rest.include_router(health_router(inference.pool, duty, metrics))
    for kind in (SarlensError, HTTPException, RequestValidationError, Exception):
        rest.add_exception_handler(kind, _refusal(metrics))
    document_completions(rest)
    completions = Completions(inference, door, memory, metrics, body_bytes=body_bytes, max_images=max_images)
    services = Services(
        OpenInference(desk, calls, memory, max_questions=max_questions),
        SarService(items, calls, memory, reception, office, max_questions=max_questions),
    )
    return Surface(Front(completions, rest, door, duty, journal), services, desk)


def _refusal(metrics: Metrics) -> Callable[[Request, Exception], Awaitable[Response]]:
    """A handler that answers any exception as the hot path does."""

    async def refuse(request: Request, error: Exception) -> Response:
        problem = _problem(request, error)
        if isinstance(error, SarlensError | HTTPException | RequestValidationError):
            metrics.errors.labels(problem.code).inc()
            note_error(problem.code)
        told, media_type = error_document(problem, request.scope["path"], request.scope["sarlens.request_id"])
        return JSONResponse(told, problem.status, headers=retry_after(problem), media_type=media_type)

    return refuse


def _problem(request: Request, error: Exception) -> SarlensError:
    match error:
        case SarlensError():
            return error
        case HTTPException(status_code=405):
            return WrongMethod(f"{request.method} is not a method of {request.url.path}.")
        case HTTPException():
            return NotFound(f"There is nothing at {request.url.path}.")
        case RequestValidationError():
            first = error.errors()[0]
            field = ".".join(str(step) for step in first["loc"][1:])
            return BadRequest(f"{field}: {first['msg']}.", param=field)
    # The front logs it and counts it: Starlette raises it again after this answer.
    return SarlensError(UNEXPECTED)
