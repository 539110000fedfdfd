"""The application of the management port: health, metrics, workers, adapters and documentation, without API keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from starlette.middleware import Middleware

from sarlens.api.app.adapter_routes import adapters_router
from sarlens.api.app.asgi import GatewayApp
from sarlens.api.app.exception_handlers import add_exception_handlers
from sarlens.api.app.health import health_router, metrics_router
from sarlens.api.app.middlewares import ProtectedPaths, RequestIdMiddleware, TelemetryMiddleware
from sarlens.api.app.routers import add_routers
from sarlens.api.app.worker_status import workers_router
from sarlens.api.common.drain import DrainController
from sarlens.api.common.request_recorder import RequestRecorder
from sarlens.api.console.documentation import documentation_router
from sarlens.inference.adapters import AdapterService
from sarlens.workers.pool import WorkerPool

_DOCUMENT = "/openapi.json"


def build_management(
    pool: WorkerPool, drain: DrainController, recorder: RequestRecorder, api_document: Callable[[], dict[str, Any]]
) -> GatewayApp:
    """Build the application; ``api_document`` returns the OpenAPI document of the gateway's own port."""
    fastapi = FastAPI(title="Sarlens", openapi_url=None)
    add_exception_handlers(fastapi)
    operations = (workers_router(pool), adapters_router(AdapterService(pool)))
    health = health_router(pool, drain, lambda _: lambda _: True)
    add_routers(fastapi, health, metrics_router(recorder.metrics), documentation_router(), *operations)

    @fastapi.get(_DOCUMENT)
    async def document() -> Response:
        """The OpenAPI document."""
        return JSONResponse(api_document())

    middlewares = [
        Middleware(RequestIdMiddleware),
        Middleware(TelemetryMiddleware, recorder, ProtectedPaths()),
    ]
    return GatewayApp(fastapi, fastapi, middlewares, drain, recorder.metrics)
