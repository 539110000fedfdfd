"""``GET /v1/models``: what the workers serve, as one list."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from sarlens.workers.pool import Pool


def models_router(pool: Pool) -> APIRouter:
    """The routes that tell which models can be asked."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        """Every model that some ready worker serves."""
        return {"object": "list", "data": list(pool.models().values())}

    @router.get("/v1/models/{model:path}")
    async def get_model(model: str) -> dict[str, Any]:
        """One of them."""
        return pool.models()[pool.resolve(model)]

    return router
