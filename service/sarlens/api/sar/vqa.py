"""``POST /v1/sar/vqa`` and ``POST /v1/sar/captions``: the tasks of SARLANG-1M, with typed answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from time import perf_counter
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from sarlens.admission.body_memory import BodyMemoryBudget
from sarlens.api.common.accept import negotiate
from sarlens.api.common.disconnect import CancelOnDisconnect
from sarlens.api.common.openapi import request_body_schema
from sarlens.api.common.responses import read_body
from sarlens.api.common.schemas import CaptionBody, VqaBody, check_questions, parse_body
from sarlens.api.common.task_service import TaskResult, TaskService
from sarlens.json_input import run_off_loop, text_bytes

NDJSON = "application/x-ndjson"


def tasks_router(tasks: TaskService, memory: BodyMemoryBudget, *, body_bytes: int, max_questions: int) -> APIRouter:
    """Return the routes of the tasks."""
    router = APIRouter(tags=["tasks"])

    @router.post("/v1/sar/vqa", response_class=Response, openapi_extra=request_body_schema(VqaBody))
    async def vqa(request: Request) -> Response:
        """Answer questions about one image.

        The answers are in the order of the questions. Questions of one answer type can be one request to a worker. With
        `Accept: application/x-ndjson`, each answer is a line, sent as soon as it is ready.
        """
        started_at = perf_counter()
        with memory.reserve(request.state.context.client) as reservation:
            raw_body = await read_body(request.scope, request.receive, body_bytes, reservation)
            body = await run_off_loop(text_bytes(raw_body), partial(parse_body, VqaBody, raw_body))
            check_questions(len(body.questions), max_questions)
            with CancelOnDisconnect(request.scope):
                streams = negotiate(request.headers, ("application/json", NDJSON)) == NDJSON
                results = await tasks.run(body.to_task_request, request.state.context, started_at, batched=not streams)
                if streams:
                    return NDJSONResponse(results)
                data = sorted([result async for result in results], key=lambda result: result.index)
        return _json({"object": "list", "data": [result.to_json() for result in data]})

    @router.post("/v1/sar/captions", response_class=Response, openapi_extra=request_body_schema(CaptionBody))
    async def captions(request: Request) -> Response:
        """Describe one image in one sentence or in detail."""
        started_at = perf_counter()
        with memory.reserve(request.state.context.client) as reservation:
            raw_body = await read_body(request.scope, request.receive, body_bytes, reservation)
            body = await run_off_loop(text_bytes(raw_body), partial(parse_body, CaptionBody, raw_body))
            with CancelOnDisconnect(request.scope):
                results = await tasks.run(body.to_task_request, request.state.context, started_at)
                (result,) = [result async for result in results]
        return _json(result.to_json())

    return router


class NDJSONResponse(Response):
    """Results as lines of JSON. If all tasks fail before the first line, the error is the response."""

    def __init__(self, results: AsyncGenerator[TaskResult]) -> None:
        super().__init__(media_type=NDJSON)
        self._results = results

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send each result as soon as it is known; a disconnect cancels the remaining tasks."""
        started = False
        with CancelOnDisconnect(scope):
            async with aclosing(self._results):
                async for result in self._results:
                    if not started:
                        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                        started = True
                    line = orjson.dumps(result.to_json()) + b"\n"
                    await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


_HEADERS = [(b"content-type", NDJSON.encode()), (b"cache-control", b"no-cache")]


def _json(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), media_type="application/json")
