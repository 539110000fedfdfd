"""``POST /v1/messages``."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request, Response

from sarlens.api.common.error_responses import MESSAGES_PATH
from sarlens.api.common.openapi import request_body_schema
from sarlens.api.common.schemas import parse_body
from sarlens.api.common.translated_chat import ChatTranslator, Translation
from sarlens.api.messages.events import MessageEvents
from sarlens.api.messages.request import to_chat
from sarlens.api.messages.response import message_of
from sarlens.api.messages.schemas import MessageBody
from sarlens.json_input import Document


def messages_router(translator: ChatTranslator) -> APIRouter:
    """Return the route of messages."""
    router = APIRouter(tags=["completions"])

    @router.post(MESSAGES_PATH, response_class=Response, openapi_extra=request_body_schema(MessageBody))
    async def create_message(_: Request) -> Response:
        """Answer a conversation, as Anthropic's Messages API does.

        The gateway runs a chat completion, so images and limits are those of chat completions. Errors have Anthropic's
        format. Images can have `sar` parameters, and their URL can be an `s3://` URL.
        """
        return translator.respond(_translate)

    return router


def _translate(raw_body: Document) -> Translation:
    body = parse_body(MessageBody, raw_body)
    return Translation(to_chat(body), partial(message_of, body.model), partial(MessageEvents, body.model))
