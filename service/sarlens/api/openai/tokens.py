"""``POST /tokenize`` and ``POST /detokenize``: text and chats as the tokens of a model, in vLLM's format."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.types import ASGIApp

from sarlens.api.common.openapi import request_body_schema
from sarlens.api.common.translated_chat import AsgiResponse
from sarlens.chat.paths import TOKENIZE_PATH

_Model = Annotated[str | None, Field(description="Model name. Optional if the gateway serves one model.")]


class TokenizeBody(BaseModel):
    """Body of ``POST /tokenize``: a text in ``prompt``, or a chat in ``messages``; other fields are vLLM's."""

    model: _Model = None
    prompt: str | None = Field(None, description="Text.")
    messages: list[dict[str, Any]] | None = Field(
        None, description="Messages of a chat. Images can have `sar` parameters, as in chat completions."
    )
    tools: list[dict[str, Any]] | None = Field(None, description="Tools of the chat.")
    add_special_tokens: bool | None = Field(
        None, description="Whether to add special tokens, such as that of the beginning. Default: only to a text."
    )
    add_generation_prompt: bool = Field(True, description="Whether a chat ends with the beginning of an answer.")
    return_token_strs: bool = Field(False, description="Whether to return the text of each token as well.")


class DetokenizeBody(BaseModel):
    """Body of ``POST /detokenize``."""

    model: _Model = None
    tokens: list[int] = Field(description="Ids of tokens.")


def tokens_router(forward: ASGIApp) -> APIRouter:
    """The routes of tokens; ``forward`` sends a request to a worker under the same path."""
    router = APIRouter(tags=["completions"])

    @router.post(TOKENIZE_PATH, response_class=Response, openapi_extra=request_body_schema(TokenizeBody))
    async def tokenize(_: Request) -> Response:
        """Return the tokens of a text or a chat, and their `count`, in the format of vLLM.

        Images of a chat are rendered and count as the model sees them. A request counts as one of the API key, and
        costs no tokens.
        """
        return AsgiResponse(forward)

    @router.post("/detokenize", response_class=Response, openapi_extra=request_body_schema(DetokenizeBody))
    async def detokenize(_: Request) -> Response:
        """Return the text of tokens, in the format of vLLM."""
        return AsgiResponse(forward)

    return router
