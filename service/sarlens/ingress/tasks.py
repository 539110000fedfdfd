"""``POST /v1/sar/vqa`` and ``POST /v1/sar/captions``: the tasks of SARLANG-1M, with answers that have a type."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import perf_counter
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from sarlens.admission.memory import Memory
from sarlens.ingress.bodies import CaptionBody, VqaBody, check_questions, parse_body
from sarlens.ingress.caller import leaving_cancels
from sarlens.ingress.items import Item, Items
from sarlens.ingress.openapi import task_body
from sarlens.ingress.replies import read_body

NDJSON = "application/x-ndjson"


def tasks_router(items: Items, memory: Memory, *, body_bytes: int, max_questions: int) -> APIRouter:
    """The routes of the tasks."""
    router = APIRouter(tags=["tasks"])

    @router.post("/v1/sar/vqa", response_class=Response, openapi_extra=task_body(VqaBody))
    async def vqa(request: Request) -> Response:
        """Answer questions about one image: in the order asked, or as NDJSON, each as soon as it is ready."""
        arrived = perf_counter()
        with memory.holding() as holding:
            body = parse_body(VqaBody, await read_body(request.scope, request.receive, body_bytes, holding))
        check_questions(len(body.questions), max_questions)
        with leaving_cancels(request.receive):
            found = await items.of(body.assignment, request.scope["sarlens.caller"], arrived)
            if NDJSON in request.headers.get("accept", ""):
                return _Lines(found)
            data = [item async for item in found]
        return _json({"object": "list", "data": sorted(data, key=lambda item: int(item["index"]))})

    @router.post("/v1/sar/captions", response_class=Response, openapi_extra=task_body(CaptionBody))
    async def captions(request: Request) -> Response:
        """Describe one image: in one sentence, or in detail."""
        arrived = perf_counter()
        with memory.holding() as holding:
            body = parse_body(CaptionBody, await read_body(request.scope, request.receive, body_bytes, holding))
        with leaving_cancels(request.receive):
            (item,) = [item async for item in await items.of(body.assignment, request.scope["sarlens.caller"], arrived)]
        return _json(item)

    return router


class _Lines(Response):
    """Items as lines of JSON; as long as there is none, a failure of all is the whole answer."""

    def __init__(self, items: AsyncGenerator[Item]) -> None:
        super().__init__(media_type=NDJSON)
        self._items = items

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the items as they come; a caller who leaves cancels what is still asked."""
        begun = False
        with leaving_cancels(receive):
            async with aclosing(self._items):
                async for item in self._items:
                    if not begun:
                        await send({"type": "http.response.start", "status": 200, "headers": _LINES})
                        begun = True
                    await send({"type": "http.response.body", "body": orjson.dumps(item) + b"\n", "more_body": True})
            await send({"type": "http.response.body", "body": b""})


_LINES = [(b"content-type", NDJSON.encode()), (b"cache-control", b"no-cache")]


def _json(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), media_type="application/json")
