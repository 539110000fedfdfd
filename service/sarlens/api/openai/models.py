"""``GET /v1/models``: the models of all workers as one list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request

from sarlens.api.common.request_context import RequestContext
from sarlens.types.caller import CallerPolicy
from sarlens.workers.pool import WorkerPool


def models_router(pool: WorkerPool) -> APIRouter:
    """The routes that list models."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models")
    async def list_models(request: Request) -> dict[str, Any]:
        """List the models that ready workers serve and the API key allows."""
        can_use = _policy(request).can_use
        cards = [_visible(card, can_use) for model, card in pool.models().items() if can_use(model)]
        return {"object": "list", "data": cards}

    @router.get("/v1/models/{model:path}")
    async def get_model(request: Request, model: str) -> dict[str, Any]:
        """Describe one model."""
        can_use = _policy(request).can_use
        return _visible(pool.models()[pool.resolve_model(model, can_use)], can_use)

    return router


def _policy(request: Request) -> CallerPolicy:
    context: RequestContext = request.state.context
    return context.policy


def _visible(card: dict[str, Any], can_use: Callable[[str], bool]) -> dict[str, Any]:
    """A model's card without the names of models that it derives from, unless the caller can use them."""
    hidden = [name for name in ("root", "parent") if isinstance(card.get(name), str) and not can_use(card[name])]
    return {**card, **dict.fromkeys(hidden)} if hidden else card
