"""``POST /v1/messages`` and ``POST /v1/messages/count_tokens``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from sarlens.api.common.error_responses import MESSAGES_PATH
from sarlens.api.common.openapi import request_body_schema
from sarlens.api.common.schemas import parse_body
from sarlens.api.common.translated_chat import ChatTranslator, Translation
from sarlens.api.messages.events import MessageEvents
from sarlens.api.messages.request import to_chat, to_tokenize
from sarlens.api.messages.response import message_of
from sarlens.api.messages.schemas import CountTokensBody, MessageBody
from sarlens.chat.paths import TOKENIZE_PATH
from sarlens.json_input import Document


def messages_router(translator: ChatTranslator) -> APIRouter:
    """Return the routes of messages."""
    router = APIRouter(tags=["completions"])

    @router.post(MESSAGES_PATH, response_class=Response, openapi_extra=request_body_schema(MessageBody))
    async def create_message(_: Request) -> Response:
        """Answer a conversation, as Anthropic's Messages API does.

        The gateway runs a chat completion, so images and limits are those of chat completions. Errors have Anthropic's
        format. Images can have `sar` parameters, and their URL can be an `s3://` URL.
        """
        return translator.respond(_translate)

    @router.post(
        f"{MESSAGES_PATH}/count_tokens", response_class=Response, openapi_extra=request_body_schema(CountTokensBody)
    )
    async def count_tokens(_: Request) -> Response:
        """Count the tokens of a conversation, as Anthropic's Messages API does.

        A worker applies the chat template of the model and counts, so images count as the model sees them. The count
        equals the input tokens of the message, cached ones included. Counting needs vLLM's route `/tokenize` at the
        worker. It counts as a request of the API key, and costs no tokens.
        """
        return translator.respond(_translate_count)

    return router


def _translate(raw_body: Document) -> Translation:
    body = parse_body(MessageBody, raw_body)
    return Translation(to_chat(body), partial(message_of, body.model), partial(MessageEvents, body.model))


def _translate_count(raw_body: Document) -> Translation:
    return Translation(to_tokenize(parse_body(CountTokensBody, raw_body)), _count_of, path=TOKENIZE_PATH)


def _count_of(tokens: Mapping[str, Any]) -> dict[str, Any]:
    return {"input_tokens": int(tokens["count"])}
