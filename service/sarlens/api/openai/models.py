"""``GET /v1/models``: the models of all workers as one list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request

from sarlens.api.common.request_context import RequestContext
from sarlens.inference.model_choice import ModelChoice
from sarlens.types.caller import CallerPolicy
from sarlens.workers.pool import WorkerPool


def models_router(pool: WorkerPool, models: ModelChoice) -> APIRouter:
    """The routes that list models."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models")
    async def list_models(request: Request) -> dict[str, Any]:
        """List the models that ready workers serve and the API key allows, and their aliases."""
        can_use = _policy(request).can_use
        served = pool.models()
        cards = [_visible(card, can_use) for model, card in served.items() if can_use(model)]
        names = ((alias, model) for alias, model in models.aliases.items() if model in served and can_use(model))
        cards += [{**_visible(served[model], can_use), "id": alias, "root": model} for alias, model in names]
        return {"object": "list", "data": cards}

    @router.get("/v1/models/{model:path}")
    async def get_model(request: Request, model: str) -> dict[str, Any]:
        """Describe one model; an alias has the card of its model."""
        can_use = _policy(request).can_use
        return _visible(pool.models()[pool.resolve_model(models.served_name(model, can_use), can_use)], can_use)

    return router


def _policy(request: Request) -> CallerPolicy:
    context: RequestContext = request.state.context
    return context.policy


def _visible(card: dict[str, Any], can_use: Callable[[str], bool]) -> dict[str, Any]:
    """A model's card without the names of models that it derives from, unless the caller can use them."""
    hidden = [name for name in ("root", "parent") if isinstance(card.get(name), str) and not can_use(card[name])]
    return {**card, **dict.fromkeys(hidden)} if hidden else card
