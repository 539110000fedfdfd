"""Construction of the API: every protocol over one core, behind one list of middlewares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

import sarlens
from sarlens.admission.body_memory import BodyMemoryBudget
from sarlens.api.app.asgi import GatewayApp, Routes
from sarlens.api.app.exception_handlers import add_exception_handlers
from sarlens.api.app.health import health_router, metrics_router
from sarlens.api.app.management import build_management
from sarlens.api.app.middlewares import (
    AccessMiddleware,
    ProtectedPaths,
    RequestIdMiddleware,
    TelemetryMiddleware,
)
from sarlens.api.app.routers import add_routers
from sarlens.api.batches.batch_routes import Batches
from sarlens.api.batches.file_routes import Files
from sarlens.api.batches.schemas import BatchBody
from sarlens.api.common.auth import Authorizer
from sarlens.api.common.chat_runner import ChatRunner
from sarlens.api.common.drain import DrainController
from sarlens.api.common.openapi import ERROR_RESPONSES, document_api
from sarlens.api.common.request_recorder import RequestRecorder
from sarlens.api.common.schemas import CaptionBody, SurveyBody, VqaBody
from sarlens.api.common.task_service import TaskService
from sarlens.api.common.translated_chat import ChatTranslator
from sarlens.api.console.documentation import documentation_router
from sarlens.api.console.pages import ConsoleConfig, console_router
from sarlens.api.jobs.submission import SurveySubmission
from sarlens.api.mcp.routes import McpEndpoint
from sarlens.api.mcp.tools import Tools
from sarlens.api.messages.routes import messages_router
from sarlens.api.messages.schemas import CountTokensBody, MessageBody
from sarlens.api.ogc.collections import Collections
from sarlens.api.ogc.features import Features
from sarlens.api.ogc.inputs import Execution
from sarlens.api.ogc.jobs import Jobs
from sarlens.api.ogc.landing import landing_router
from sarlens.api.ogc.processes import Processes
from sarlens.api.ogc.stac_items import StacItems
from sarlens.api.oip.data_plane import DataPlane
from sarlens.api.oip.generate import GenerateRequest, generate_router
from sarlens.api.oip.rest import InferRequest, open_inference_router
from sarlens.api.openai.completions import Completions
from sarlens.api.openai.forwarded import EmbeddingsBody, embeddings_router, include_forwarded
from sarlens.api.openai.models import models_router
from sarlens.api.openai.tokens import DetokenizeBody, TokenizeBody, tokens_router
from sarlens.api.openai.usage import usage_router
from sarlens.api.responses.routes import Responses
from sarlens.api.responses.schemas import ResponseBody
from sarlens.api.responses.store import ResponseStore
from sarlens.api.responses.turn import ImageFiles
from sarlens.api.sar.preview import preview_router
from sarlens.api.sar.surveys import Surveys
from sarlens.api.sar.vqa import tasks_router
from sarlens.api.tiles.measurement_routes import Measurements
from sarlens.api.tiles.ogc_tiles import OgcTiles
from sarlens.api.tiles.scene_routes import scene_router
from sarlens.api.tiles.tile_routes import Tiles
from sarlens.batches.file_service import FileService
from sarlens.batches.service import BatchService
from sarlens.chat.forwarded import parse_forwarded_request
from sarlens.imagery.service.scene_service import SceneService
from sarlens.inference.pipeline import InferencePipeline
from sarlens.surveys.exporter import ResultExporter
from sarlens.surveys.job_service import JobService

_EXPOSED_HEADERS = (
    "Content-Disposition",
    "ETag",
    "Inference-Header-Content-Length",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "Sarlens-Ignored-Fields",
    "Sarlens-Radiometry",
    "Sarlens-Route",
    "Sarlens-Tiles",
    "X-Request-Id",
)
"""Response headers that scripts of other origins may read."""


_BODIES = (
    *(ResponseBody, MessageBody, BatchBody, CountTokensBody, TokenizeBody, DetokenizeBody, EmbeddingsBody),
    *(VqaBody, CaptionBody, SurveyBody, Execution, InferRequest, GenerateRequest),
)
"""Request bodies that routes parse themselves."""


class ApiCore(NamedTuple):
    """The parts that the protocols share."""

    authorizer: Authorizer
    drain: DrainController
    recorder: RequestRecorder
    memory: BodyMemoryBudget
    tasks: TaskService
    data_plane: DataPlane
    submission: SurveySubmission
    job_service: JobService
    max_questions: int
    """Maximum number of questions of a request."""


class Endpoints(NamedTuple):
    """The ASGI application of a gateway, and the core that other protocols can be built over."""

    app: GatewayApp
    routes: Routes
    """The routes without middlewares, for requests whose caller is known already."""
    core: ApiCore


def build_api(
    inference: InferencePipeline,
    scenes: SceneService,
    authorizer: Authorizer,
    memory: BodyMemoryBudget,
    recorder: RequestRecorder,
    job_service: JobService,
    exporter: ResultExporter,
    files: FileService,
    batches: BatchService,
    responses: ResponseStore | None,
    *,
    max_body_bytes: int,
    max_images: int,
    max_object_bytes: int,
    max_questions: int,
    console: ConsoleConfig,
    cors_origins: Sequence[str] = (),
    forward_paths: Sequence[str] = (),
    public_url: str | None = None,
    management_port: bool = False,
    with_mcp: bool = True,
) -> Endpoints:
    """Build the protocols of HTTP over one core. With a management port, the metrics are only there."""
    drain, metrics = DrainController(), recorder.metrics
    tasks = TaskService(inference, authorizer, metrics)
    data_plane = DataPlane(tasks, drain, max_images=max_images)
    submission = SurveySubmission(job_service, authorizer, max_questions=max_questions)

    limits = {"body_bytes": max_body_bytes, "max_questions": max_questions}
    survey_parts = (submission, job_service, exporter, memory)
    collections = Collections(job_service.store.layers, public_url=public_url)
    processes = Processes(*survey_parts, max_body_bytes=max_body_bytes, public_url=public_url)
    chat_runner = ChatRunner(
        inference, authorizer, memory, metrics, max_body_bytes=max_body_bytes, max_images=max_images
    )
    completions, translator = Completions(chat_runner), ChatTranslator(chat_runner)
    forwarded = Completions(chat_runner, parse_forwarded_request)
    tools = Tools(inference, authorizer, tasks, submission, job_service, max_questions=max_questions)
    mcp = McpEndpoint(tools, memory, max_body_bytes=max_body_bytes, origins=cors_origins, public_url=public_url)
    fastapi = _fastapi()
    add_routers(
        fastapi,
        models_router(inference.pool, inference.models),
        usage_router(authorizer.rate_limiter),
        Responses(translator, responses, ImageFiles(files, max_images, max_object_bytes)).router(),
        messages_router(translator),
        tokens_router(completions),
        embeddings_router(forwarded),
        preview_router(inference, authorizer),
        scene_router(scenes, inference, authorizer),
        Tiles(scenes, authorizer, public_url=public_url).router(),
        OgcTiles(scenes, authorizer, public_url=public_url).router(),
        Measurements(scenes, authorizer).router(),
        tasks_router(tasks, memory, **limits),
        Surveys(*survey_parts, max_body_bytes=max_body_bytes).router(),
        Files(files, authorizer).router(),
        Batches(batches, authorizer, memory).router(),
        landing_router(public_url),
        processes.router(),
        Jobs(job_service, exporter, public_url=public_url).router(),
        collections.router(),
        StacItems(job_service, public_url=public_url).router(),
        Features(job_service.store, collections, public_url=public_url).router(),
        console_router(console),
        documentation_router(),
        open_inference_router(data_plane, memory, **limits),
        generate_router(data_plane, memory, body_bytes=max_body_bytes),
        health_router(
            inference.pool, drain, lambda request: authorizer.visible_models(request.state.headers.bearer_token)
        ),
        *((mcp.router(),) if with_mcp else ()),
        *(() if management_port else (metrics_router(metrics),)),
    )
    include_forwarded(fastapi, forward_paths, forwarded)
    document_api(fastapi, *_BODIES)
    middlewares = _middlewares(recorder, authorizer, drain, cors_origins, ProtectedPaths(forward_paths))
    management = build_management(inference.pool, drain, recorder, fastapi.openapi) if management_port else None
    routes = Routes(completions, fastapi)
    app = GatewayApp(routes, fastapi, middlewares, drain, metrics, management)
    core = ApiCore(
        authorizer, drain, recorder, memory, tasks, data_plane, submission, job_service, max_questions=max_questions
    )
    return Endpoints(app, routes, core)


def _middlewares(
    recorder: RequestRecorder,
    authorizer: Authorizer,
    drain: DrainController,
    cors_origins: Sequence[str],
    protected: ProtectedPaths,
) -> list[Middleware]:
    """The middlewares around every HTTP route, outermost first."""
    return [
        Middleware(RequestIdMiddleware),
        *_cors(cors_origins),
        Middleware(TelemetryMiddleware, recorder, protected),
        Middleware(AccessMiddleware, authorizer, drain, protected),
    ]


def _cors(origins: Sequence[str]) -> list[Middleware]:
    """Cross-origin access without cookies, since API keys are sent as bearer tokens; none without origins."""
    if not origins:
        return []
    methods = ("GET", "POST", "DELETE")
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=methods,
            allow_headers=("*",),
            expose_headers=_EXPOSED_HEADERS,
        )
    ]


def _fastapi() -> FastAPI:
    app = FastAPI(
        title="Sarlens",
        version=sarlens.__version__,
        summary="Ask questions of radar images.",
        docs_url=None,
        redoc_url=None,
        responses=ERROR_RESPONSES,
    )
    add_exception_handlers(app)
    return app
