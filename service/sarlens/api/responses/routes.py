"""``POST /v1/responses``."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request, Response

from sarlens.api.common.openapi import request_body_schema
from sarlens.api.common.schemas import parse_body
from sarlens.api.common.translated_chat import ChatTranslator, Translation
from sarlens.api.responses.events import ResponseEvents
from sarlens.api.responses.request import to_chat
from sarlens.api.responses.response import response_of
from sarlens.api.responses.schemas import ResponseBody
from sarlens.json_input import Document


def responses_router(translator: ChatTranslator) -> APIRouter:
    """Return the route of responses."""
    router = APIRouter(tags=["completions"])

    @router.post("/v1/responses", response_class=Response, openapi_extra=request_body_schema(ResponseBody))
    async def create_response(_: Request) -> Response:
        """Answer a conversation, as OpenAI's Responses API does.

        The gateway runs a chat completion, so images, limits and errors are those of chat completions. It stores no
        responses: `store` is always false in a response, and `previous_response_id` is an error.
        """
        return translator.respond(_translate)

    return router


def _translate(raw_body: Document) -> Translation:
    body = parse_body(ResponseBody, raw_body)
    return Translation(to_chat(body), partial(response_of, body), partial(ResponseEvents, body))
