"""``GET /v1/models``: what the workers serve, as one list."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from sarlens.admission.keys import Key
from sarlens.errors import NotAllowed
from sarlens.workers.pool import Pool


def models_router(pool: Pool) -> APIRouter:
    """The routes that tell which models can be asked."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models")
    async def list_models(request: Request) -> dict[str, Any]:
        """Every model that some ready worker serves and the caller's key opens."""
        key: Key | None = request.scope["sarlens.caller"].key
        cards = [card for name, card in pool.models().items() if key is None or key.may_ask(name)]
        return {"object": "list", "data": cards}

    @router.get("/v1/models/{model:path}")
    async def get_model(request: Request, model: str) -> dict[str, Any]:
        """One of them."""
        key: Key | None = request.scope["sarlens.caller"].key
        if key is not None and not key.may_ask(model):
            raise NotAllowed(f"This API key does not open the model {model[:100]!r}.")
        return pool.models()[pool.resolve(model)]

    return router
