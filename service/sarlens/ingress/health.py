"""Liveness, readiness and the page that Prometheus scrapes."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

import sarlens
from sarlens.errors import Draining, NoWorker
from sarlens.ingress.duty import Duty
from sarlens.metrics import Metrics
from sarlens.workers.pool import Pool


def health_router(pool: Pool, duty: Duty, metrics: Metrics) -> APIRouter:
    """The routes that an orchestrator asks."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        """The process is alive and answers."""
        return {"status": "alive", "version": sarlens.__version__}

    unready: dict[int | str, dict[str, object]] = {
        503: {"description": "No worker answers, or the gateway is going down."}
    }

    @router.get("/readyz", responses=unready)
    @router.get("/health", responses=unready)
    async def ready() -> Response:
        """Some worker answers, so a question can be asked; clients made for vLLM ask ``/health``."""
        if duty.draining:
            raise Draining("This gateway is going down.", retry_after=1)
        if not pool.ready:
            raise NoWorker("No worker is ready. Try again in a moment.", retry_after=2)
        return JSONResponse({"status": "ready", "models": sorted(pool.models())})

    @router.get("/metrics", include_in_schema=False)
    async def scrape(request: Request) -> Response:
        """Prometheus metrics."""
        body, content_type = metrics.expose(request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    return router
