"""Liveness, version, readiness and the metrics page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

import sarlens
from sarlens.api.common.drain import DrainController
from sarlens.api.common.request_context import RequestContext
from sarlens.errors import Draining, NoWorkerAvailable, PermissionDenied
from sarlens.observability.metrics import Metrics
from sarlens.workers.pool import WorkerPool

ModelFilter = Callable[[str], bool]


def health_router(
    pool: WorkerPool, drain: DrainController, visible_models: Callable[[Request], ModelFilter | None]
) -> APIRouter:
    """The routes for orchestrators, which need no API key; ``visible_models`` returns which names a caller may see."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        """Report that the process is alive, with its version."""
        return {"status": "alive", "version": sarlens.__version__}

    @router.get("/version")
    async def version() -> dict[str, str]:
        """Report the version of the gateway, in the format of vLLM."""
        return {"version": sarlens.__version__}

    unready: dict[int | str, dict[str, object]] = {503: {"description": "No worker is ready, or the gateway drains."}}

    @router.get("/readyz", responses=unready)
    @router.get("/health", responses=unready)
    async def ready(request: Request) -> Response:
        """Report whether a worker is ready, with the models that the caller can use.

        If the gateway has API keys, callers without a key see no models. `GET /health` is the same route under the name
        that vLLM clients use.
        """
        if drain.draining:
            raise Draining("The gateway is shutting down.", retry_after=1)
        if not pool.ready:
            raise NoWorkerAvailable(pool.describe_unready(), retry_after=2)
        status: dict[str, Any] = {"status": "ready"}
        if (can_see := visible_models(request)) is not None:
            status["models"] = sorted(filter(can_see, pool.models()))
        return JSONResponse(status)

    return router


def metrics_router(metrics: Metrics) -> APIRouter:
    """The metrics page, which names all models and workers."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics")
    async def scrape(request: Request) -> Response:
        """Expose the metrics in the Prometheus text format, or in OpenMetrics.

        If the gateway has API keys, the page requires one that allows all models. If the gateway has a management port,
        the page is there, and needs no key.
        """
        context: RequestContext | None = getattr(request.state, "context", None)
        if context is not None and context.key is not None and context.key.models is not None:
            raise PermissionDenied("The metrics name all models, and the API key allows only some.")
        body, content_type = metrics.expose(request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    return router
