"""``POST /v1/embeddings``, and the worker routes that the settings name: JSON in, JSON out, under the same path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel, Field
from starlette.routing import Match
from starlette.types import ASGIApp

from sarlens.api.common.openapi import request_body_schema
from sarlens.api.common.translated_chat import AsgiResponse
from sarlens.chat.paths import COMPLETION_PATHS, EMBEDDINGS_PATH
from sarlens.errors import StartupError


class EmbeddingsBody(BaseModel):
    """Body of ``POST /v1/embeddings``; other fields are those of the worker."""

    model: str | None = Field(None, description="Model name. Optional if the gateway serves one model.")
    input: str | list[Any] | None = Field(
        None,
        description="A text or several, tokens, or messages of a chat with images, which have one embedding together.",
    )
    messages: list[dict[str, Any]] | None = Field(
        None, description="Messages, in place of `input`. Images can have `sar` parameters, as in chat completions."
    )
    encoding_format: Literal["float", "base64"] | None = Field(None, description="Format of the numbers.")
    dimensions: int | None = Field(None, description="Length of the embedding, for models with several.")


def embeddings_router(forward: ASGIApp) -> APIRouter:
    """The route of embeddings; ``forward`` sends a request to a worker under the same path."""
    router = APIRouter(tags=["completions"])

    @router.post(EMBEDDINGS_PATH, response_class=Response, openapi_extra=request_body_schema(EmbeddingsBody))
    async def create_embeddings(_: Request) -> Response:
        """Return the embeddings of texts, or of a chat with radar images, from a worker that serves such a model.

        The format is that of OpenAI. Messages are an extension of vLLM; the gateway accepts them as `input` too. A
        request counts as one of the API key, and costs the tokens that the worker states.
        """
        return AsgiResponse(forward)

    return router


def include_forwarded(app: FastAPI, paths: Sequence[str], forward: ASGIApp) -> None:
    """Add a route for each path of a worker, after all routes of the gateway.

    Raises:
        StartupError: a path is a route of the gateway.
    """

    async def forward_request(_: Request) -> Response:
        return AsgiResponse(forward)

    for path in paths:
        scope = {"type": "http", "method": "POST", "path": path, "headers": []}
        if path in COMPLETION_PATHS or any(route.matches(scope)[0] is Match.FULL for route in app.routes):
            raise StartupError(f"SARLENS_WORKER__FORWARD_PATHS: {path} is a route of the gateway")
        app.add_api_route(path, forward_request, methods=["POST"], include_in_schema=False)
