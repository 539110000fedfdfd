"""One turn of a conversation: loads what a request refers to, translates it, and stores the response."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import pybase64

from sarlens.admission.body_memory import MemoryReservation
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.schemas import parse_body
from sarlens.api.common.translated_chat import Translation
from sarlens.api.responses.events import ResponseEvents
from sarlens.api.responses.request import to_chat
from sarlens.api.responses.response import response_of
from sarlens.api.responses.schemas import FunctionOutputItem, ImagePart, Item, MessageItem, ResponseBody
from sarlens.api.responses.store import Conversation, ResponseStore, input_items
from sarlens.batches.file_service import FileService
from sarlens.errors import BadRequest, PayloadTooLarge
from sarlens.json_input import Document, run_off_loop, text_bytes


class ImageFiles(NamedTuple):
    """Files as images of a request."""

    files: FileService
    max_images: int
    """Maximum number of files of a request."""
    max_bytes: int
    """Maximum size of each."""


class ResponseTurn:
    """A request in progress."""

    def __init__(self, store: ResponseStore | None, image_files: ImageFiles) -> None:
        """Without a ``store``, no response is stored, and none can be continued."""
        self._store = store
        self._image_files = image_files
        self._conversation = Conversation()
        self._owner = ""
        self._body: ResponseBody | None = None
        self._events: ResponseEvents | None = None
        self._input: list[dict[str, Any]] = []
        """Input items to store, in which images are still files."""
        self._response: dict[str, Any] = {}

    async def load(self, context: RequestContext, raw_body: Document, reservation: MemoryReservation) -> int:
        """Parse the request, and load its conversation and its files, which ``reservation`` counts.

        Return the size of the conversation in bytes.

        Raises:
            BadRequest: the request is invalid, or its conversation doesn't exist.
            FileNotFound: the caller has no such file.
            PayloadTooLarge: the request, its conversation or a file is too large.
        """
        body = await run_off_loop(text_bytes(raw_body), partial(parse_body, ResponseBody, raw_body))
        owner = context.key.name if context.key else None
        self._owner = owner or ""
        if body.previous_response_id is not None:
            if self._store is None:
                raise BadRequest(
                    "The gateway stores no responses, so previous_response_id names none. Send the earlier items in "
                    "input.",
                    param="previous_response_id",
                )
            self._conversation = await self._store.load(body.previous_response_id, owner)
            reservation.extend_to(reservation.size + self._conversation.size)
        is_stored = self._store is not None and body.store is not False
        self._body = body.model_copy(update={"store": is_stored})
        self._input = input_items(body) if is_stored else []
        items = [*self._conversation.items, *(body.input if isinstance(body.input, list) else ())]
        await self._load_files(items, owner, reservation)
        return self._conversation.size

    def translate(self, raw_body: Document) -> Translation:
        """Return the translation of the loaded request."""
        body = self._loaded
        chat = to_chat(body, self._conversation.items)
        return Translation(chat, self._complete, self._stream, finish=self._finish)

    @property
    def _loaded(self) -> ResponseBody:
        assert self._body is not None  # noqa: S101  load comes first
        return self._body

    def _complete(self, chat: Mapping[str, Any]) -> dict[str, Any]:
        self._response = response_of(self._loaded, chat)
        return self._response

    def _stream(self) -> ResponseEvents:
        self._events = ResponseEvents(self._loaded)
        return self._events

    async def _finish(self) -> None:
        """Store the response, before the client gets its end; ``store`` says whether that succeeded."""
        if self._store is None or not self._loaded.store:
            return
        response = self._response if self._events is None else self._events.close()
        if not await self._store.save(self._input, response, self._owner, self._conversation):
            response["store"] = False

    async def _load_files(self, items: Sequence[Item], owner: str | None, reservation: MemoryReservation) -> None:
        """Put the content of files into the images that name them."""
        parts = list(_file_images(items))
        if len(parts) > self._image_files.max_images:
            raise PayloadTooLarge(f"A request can have at most {self._image_files.max_images} images.", param="input")
        urls: dict[str, str] = {}
        for part in parts:
            file_id = part.file_id or ""
            if file_id not in urls:
                urls[file_id] = await self._read(file_id, owner, reservation)
            part.image_url = urls[file_id]

    async def _read(self, file_id: str, owner: str | None, reservation: MemoryReservation) -> str:
        """Return a file as a ``data:`` URL."""
        files, max_bytes = self._image_files.files, self._image_files.max_bytes
        file = await files.find(file_id, owner)
        if file.bytes > max_bytes:
            raise PayloadTooLarge(f"The image exceeds the limit of {max_bytes} bytes.", param="file_id")
        reservation.extend_to(reservation.size + 2 * file.bytes)
        content = b"".join([part async for part in files.read(file)])
        return await run_off_loop(len(content), lambda: f"data:;base64,{pybase64.b64encode_as_string(content)}")


def _file_images(items: Sequence[Item]) -> Iterator[ImagePart]:
    """Yield the images that are files."""
    for item in items:
        content = item.content if isinstance(item, MessageItem) else ()
        content = item.output if isinstance(item, FunctionOutputItem) else content
        for part in content if isinstance(content, list) else ():
            if (
                isinstance(part, ImagePart)
                and part.file_id is not None
                and part.image_url is None
                and part.item is None
            ):
                yield part
