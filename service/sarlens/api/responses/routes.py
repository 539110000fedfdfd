"""``/v1/responses``: create responses, and read and delete stored ones."""

from __future__ import annotations

from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response

from sarlens.api.common.openapi import request_body_schema
from sarlens.api.common.translated_chat import ChatTranslator
from sarlens.api.jobs.responses import json_response, owner_filter
from sarlens.api.responses.schemas import ResponseBody
from sarlens.api.responses.store import ResponseStore
from sarlens.api.responses.turn import ImageFiles, ResponseTurn
from sarlens.errors import BadRequest, NotFound
from sarlens.jobs.responses import StoredResponse

RESPONSES_PATH = "/v1/responses"


class Responses:
    """Routes of responses. Without a ``store``, no response is stored."""

    def __init__(self, translator: ChatTranslator, store: ResponseStore | None, image_files: ImageFiles) -> None:
        self._translator = translator
        self._store = store
        self._image_files = image_files

    def router(self) -> APIRouter:
        """Return the routes for FastAPI."""
        router = APIRouter(tags=["completions"], default_response_class=Response)
        one = RESPONSES_PATH + "/{response_id}"
        body = request_body_schema(ResponseBody)
        router.add_api_route(RESPONSES_PATH, self.create, methods=["POST"], openapi_extra=body)
        router.add_api_route(one, self.retrieve, methods=["GET"])
        router.add_api_route(one, self.delete, methods=["DELETE"])
        router.add_api_route(one + "/input_items", self.input_items, methods=["GET"])
        return router

    async def create(self, _: Request) -> Response:
        """Answer a conversation, as OpenAI's Responses API does.

        The gateway runs a chat completion, so images, limits and errors are those of chat completions. With
        `SARLENS_RESPONSES__STORE`, responses are stored, and `previous_response_id` continues one. Otherwise `store`
        is false in every response, and `previous_response_id` is an error.
        """
        turn = ResponseTurn(self._store, self._image_files)
        return self._translator.respond(turn.translate, turn.load)

    async def retrieve(self, request: Request, response_id: str) -> Response:
        """Get a stored response."""
        stored = await self._find(request, response_id)
        return Response(stored.response, media_type="application/json")

    async def delete(self, request: Request, response_id: str) -> Response:
        """Delete a stored response. Responses that continue it can't be continued any more."""
        stored = await self._find(request, response_id)
        if self._store is not None:
            await self._store.delete(stored)
        return json_response({"id": stored.id, "object": "response", "deleted": True})

    async def input_items(
        self,
        request: Request,
        response_id: str,
        limit: Annotated[int, Query(ge=1, le=100, description="Maximum number of items")] = 20,
        order: Annotated[Literal["asc", "desc"], Query(description="Order of the items")] = "desc",
        after: Annotated[str | None, Query(max_length=96, description="Id of the last item of the page before")] = None,
    ) -> Response:
        """List the input items of a stored response."""
        items = orjson.loads((await self._find(request, response_id)).items)
        items = items if order == "asc" else items[::-1]
        if after is not None:
            place = next((index for index, item in enumerate(items) if item["id"] == after), None)
            if place is None:
                raise BadRequest("after must be the id of an element of the list.", param="after")
            items = items[place + 1 :]
        page = items[:limit]
        ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
        return json_response({"object": "list", "data": page, **ends, "has_more": len(items) > limit})

    async def _find(self, request: Request, response_id: str) -> StoredResponse:
        if self._store is None:
            raise NotFound("The gateway stores no responses. The setting is SARLENS_RESPONSES__STORE.")
        return await self._store.find(response_id, owner_filter(request))
