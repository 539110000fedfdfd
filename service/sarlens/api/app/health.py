"""Liveness, version, readiness and the metrics page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

import sarlens
from sarlens.api.common.drain import DrainController
from sarlens.api.common.request_context import RequestContext
from sarlens.errors import Draining, NoWorkerAvailable, PermissionDenied
from sarlens.observability.metrics import Metrics
from sarlens.workers.pool import WorkerPool

ModelFilter = Callable[[str], bool]


class _Readiness(NamedTuple):
    """Readiness of the gateway and of its workers, as a caller may see it."""

    pool: WorkerPool
    drain: DrainController
    visible_models: Callable[[Request], ModelFilter | None]

    def of_gateway(self, request: Request) -> JSONResponse:
        self._raise_if_draining()
        if not self.pool.initialized:
            raise NoWorkerAvailable("The first health checks of the workers aren't complete.", retry_after=1)
        return self._response(request)

    def of_workers(self, request: Request) -> JSONResponse:
        self._raise_if_draining()
        if not self.pool.ready:
            raise NoWorkerAvailable(self.pool.describe_unready(), retry_after=2)
        return self._response(request)

    def _raise_if_draining(self) -> None:
        if self.drain.draining:
            raise Draining("The gateway is shutting down.", retry_after=1)

    def _response(self, request: Request) -> JSONResponse:
        status: dict[str, Any] = {"status": "ready"}
        if (can_see := self.visible_models(request)) is not None:
            status["models"] = sorted(filter(can_see, self.pool.models()))
        if not self.pool.ready:
            status["detail"] = self.pool.describe_unready()
        return JSONResponse(status)


def health_router(
    pool: WorkerPool, drain: DrainController, visible_models: Callable[[Request], ModelFilter | None]
) -> APIRouter:
    """The routes for orchestrators, which need no API key; ``visible_models`` returns which names a caller may see."""
    router, readiness = APIRouter(tags=["health"]), _Readiness(pool, drain, visible_models)

    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        """Report that the process is alive, with its version."""
        return {"status": "alive", "version": sarlens.__version__}

    @router.get("/version")
    async def version() -> dict[str, str]:
        """Report the version of the gateway, in the format of vLLM."""
        return {"version": sarlens.__version__}

    @router.get("/readyz", responses={503: {"description": "The gateway starts or drains."}})
    async def accepts_requests(request: Request) -> Response:
        """Report whether the gateway accepts requests, with the models that the caller can use.

        The gateway accepts requests from the end of the first health checks to its shutdown. Without a ready worker,
        requests wait or fail with an error that says why, and the response has it in `detail`. If the gateway has API
        keys, callers without a key see no models.
        """
        return readiness.of_gateway(request)

    @router.get("/health", responses={503: {"description": "No worker is ready, or the gateway drains."}})
    async def has_ready_worker(request: Request) -> Response:
        """Report whether a worker is ready, with the models that the caller can use.

        vLLM has a route of the same name. If the gateway has API keys, callers without a key see no models.
        """
        return readiness.of_workers(request)

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
