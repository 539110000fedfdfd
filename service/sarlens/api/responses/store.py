"""Store of responses: conversations that continue with ``previous_response_id``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError

from sarlens.api.common.schemas import validation_error
from sarlens.api.responses.response import new_id
from sarlens.api.responses.schemas import (
    MAX_ITEMS,
    FunctionCallItem,
    FunctionOutputItem,
    Item,
    MessageItem,
    ResponseBody,
)
from sarlens.errors import BadRequest, NotFound, PayloadTooLarge, SarlensError
from sarlens.jobs.responses import ResponseTable, StoredResponse
from sarlens.json_input import load_json, run_off_loop

log = structlog.get_logger(__name__)

_CLEANUP_INTERVAL_S = 600.0
_ITEMS: TypeAdapter[list[Item]] = TypeAdapter(list[Item])


class Conversation(NamedTuple):
    """The earlier turns of a request."""

    ids: Sequence[str] = ()
    """Ids of the responses."""
    items: Sequence[Item] = ()
    """Items of their inputs and outputs."""
    size: int = 0
    """Size of the items in bytes."""


class ResponseStore:
    """Stores the responses of each API key."""

    def __init__(self, table: ResponseTable, *, retention_s: float, max_owner_bytes: int, max_bytes: int) -> None:
        """Create the store.

        Args:
            table: the responses.
            retention_s: time in seconds after which a response expires that no other one continues.
            max_owner_bytes: maximum size of the responses of an API key.
            max_bytes: maximum size of a conversation.
        """
        self._table = table
        self._retention_s = retention_s
        self._max_owner_bytes = max_owner_bytes
        self._max_bytes = max_bytes

    async def load(self, response_id: str, owner: str | None) -> Conversation:
        """Return the conversation that ends with a response of an owner.

        Raises:
            BadRequest: the owner has no such response, or a part of its conversation is deleted.
            PayloadTooLarge: the conversation is too large.
        """
        turns = await self._table.conversation(response_id, owner, self._max_bytes)
        if not turns:
            raise BadRequest(
                f"Response {response_id[:96]!r}, or one that it continues, doesn't exist.",
                param="previous_response_id",
            )
        size = sum(len(turn.items) + len(turn.response) for turn in turns)
        items = await run_off_loop(size, lambda: _items_of(turns))
        return Conversation([turn.id for turn in turns], items, size)

    async def save(
        self, items: list[dict[str, Any]], response: dict[str, Any], owner: str, conversation: Conversation
    ) -> bool:
        """Store a response and the input items of its request, and return True.

        Return False if the database fails, or if the response is too large.
        """
        previous = response["previous_response_id"]
        texts = [orjson.dumps(part).decode() for part in (items, response)]
        stored = StoredResponse(response["id"], owner, previous, *texts)
        try:
            return await self._table.add(
                stored, ttl_s=self._retention_s, max_owner_bytes=self._max_owner_bytes, conversation=conversation.ids
            )
        except SarlensError as error:
            log.warning("response not stored", reason=error.message)
            return False

    async def find(self, response_id: str, owner: str | None) -> StoredResponse:
        """Return a response of an owner, or of any owner if ``owner`` is None.

        Raises:
            NotFound: the owner has no such response.
        """
        stored = await self._table.find(response_id, owner)
        if stored is None:
            raise NotFound(f"Response {response_id[:96]!r} doesn't exist.")
        return stored

    async def delete(self, stored: StoredResponse) -> None:
        """Delete a response."""
        await self._table.delete(stored.id)

    async def clean_up_forever(self) -> None:
        """Delete expired responses, until canceled."""
        while True:
            try:
                await self._table.delete_expired()
            except SarlensError as error:
                log.warning("expired responses not deleted", reason=error.message)
            await asyncio.sleep(_CLEANUP_INTERVAL_S)


def _items_of(turns: Sequence[StoredResponse]) -> list[Item]:
    documents: list[Any] = []
    for turn in turns:
        documents += load_json(turn.items.encode())
        documents += load_json(turn.response.encode())["output"]
        if len(documents) > MAX_ITEMS:
            message = f"The conversation has more than {MAX_ITEMS} items."
            raise PayloadTooLarge(message, param="previous_response_id")
    try:
        return _ITEMS.validate_python(documents)
    except ValidationError as error:
        raise validation_error(error) from None


def input_items(body: ResponseBody) -> list[dict[str, Any]]:
    """Return the input of a request as items with ids. Reasoning has none: models don't get it again."""
    if isinstance(body.input, str):
        return [_message("user", [{"type": "input_text", "text": body.input}])]
    items = []
    for item in body.input:
        match item:
            case MessageItem(content=str(text)):
                kind = "output_text" if item.role == "assistant" else "input_text"
                items.append(_message(item.role, [{"type": kind, "text": text}]))
            case MessageItem():
                items.append(_message(item.role, item.model_dump(exclude_none=True)["content"]))
            case FunctionCallItem():
                items.append({"id": new_id("fc"), **item.model_dump(exclude_none=True)})
            case FunctionOutputItem():
                items.append({"id": new_id("fco"), **item.model_dump(exclude_none=True)})
    return items


def _message(role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    content = [{"annotations": [], **part} if part["type"] == "output_text" else part for part in content]
    return {"id": new_id("msg"), "type": "message", "status": "completed", "role": role, "content": content}
