"""``POST /v1/sar/vqa`` and ``POST /v1/sar/captions``: the tasks of SARLANG-1M, with answers that have a type."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import perf_counter
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from sarlens.admission.keys import Key
from sarlens.admission.memory import Memory
from sarlens.errors import BadRequest, SarlensError
from sarlens.inference import Inference
from sarlens.ingress.bodies import CaptionBody, VqaBody, parse_body
from sarlens.ingress.caller import leaving_cancels
from sarlens.ingress.door import Door
from sarlens.ingress.openapi import task_body
from sarlens.ingress.replies import error_object, read_body
from sarlens.ingress.tally import Tally
from sarlens.metrics import Metrics
from sarlens.tasks import Outcome, Subject, Task, ask_all, examine

NDJSON = "application/x-ndjson"

Item = dict[str, Any]


def tasks_router(
    inference: Inference, door: Door, memory: Memory, metrics: Metrics, *, body_bytes: int, max_questions: int
) -> APIRouter:
    """The routes of the tasks."""
    router = APIRouter(tags=["tasks"])
    desk = _Desk(inference, door, metrics)

    @router.post("/v1/sar/vqa", response_class=Response, openapi_extra=task_body(VqaBody))
    async def vqa(request: Request) -> Response:
        """Answer questions about one image: in the order asked, or as NDJSON, each as soon as it is ready."""
        arrived = perf_counter()
        with memory.holding() as holding:
            body = parse_body(VqaBody, await read_body(request.scope, request.receive, body_bytes, holding))
        if len(body.questions) > max_questions:
            raise BadRequest(f"A request may hold at most {max_questions} questions.", param="questions")
        with leaving_cancels(request.receive):
            items = await desk.items(request, body, arrived)
            if NDJSON in request.headers.get("accept", ""):
                return _Lines(items)
            data = [item async for item in items]
        return _json({"object": "list", "data": sorted(data, key=lambda item: int(item["index"]))})

    @router.post("/v1/sar/captions", response_class=Response, openapi_extra=task_body(CaptionBody))
    async def captions(request: Request) -> Response:
        """Describe one image: in one sentence, or in detail."""
        arrived = perf_counter()
        with memory.holding() as holding:
            body = parse_body(CaptionBody, await read_body(request.scope, request.receive, body_bytes, holding))
        with leaving_cancels(request.receive):
            (item,) = [item async for item in await desk.items(request, body, arrived)]
        return _json(item)

    return router


class _Desk:
    """Has the tasks of a request done, and writes down what comes of them."""

    def __init__(self, inference: Inference, door: Door, metrics: Metrics) -> None:
        self._inference = inference
        self._door = door
        self._metrics = metrics

    async def items(self, request: Request, body: VqaBody | CaptionBody, arrived: float) -> AsyncGenerator[Item]:
        """The items of the answer to a request whose image is there, each as soon as it is ready.

        Raises:
            SarlensError: the model or the image cannot be had; from the items: all tasks failed with it.
        """
        model = self._inference.pool.resolve(body.model)
        await self._door.admit(request.scope["sarlens.key"], model, [body.image.url], len(body.tasks))
        subject = await examine(self._inference, body.model, body.image.url, body.image.sar)
        return self._answers(request.scope, body, subject, arrived)

    async def _answers(
        self, scope: Scope, body: VqaBody | CaptionBody, subject: Subject, arrived: float
    ) -> AsyncGenerator[Item]:
        tasks, request_id = body.tasks, scope["sarlens.request_id"]
        asked = ask_all(self._inference, subject, tasks, body.sampling, request_id, scope["sarlens.terms"])
        async with aclosing(asked) as outcomes:
            async for outcome in outcomes:
                await self._count(outcome, subject.model, scope["sarlens.key"])
                item = _item(outcome, tasks[outcome.index], subject, request_id)
                item["timings"]["total_ms"] = _milliseconds(perf_counter() - arrived)
                yield item

    async def _count(self, outcome: Outcome, model: str, key: Key | None) -> None:
        if isinstance(outcome.result, SarlensError):
            self._metrics.errors.labels(outcome.result.code).inc()
        else:
            tally = Tally.of_usage(model, outcome.result.usage)
            tally.observe(self._metrics, self._inference.pool)
            await self._door.charge(key, tally.tokens)


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


def _item(outcome: Outcome, task: Task, subject: Subject, request_id: str) -> Item:
    """One item of an answer: what was asked, of which picture, and what came of it."""
    drawn = dict(subject.parameters)
    item: Item = {"index": outcome.index, "id": task.id, "question": task.question}
    item |= {"application": task.application, "model": subject.model}
    calibration = drawn["calibration"]
    item["image"] = {"id": subject.id, "window": drawn.pop("window"), "render": drawn}
    item["image"]["radiometry"] = "relative" if calibration == "none" else calibration
    item["timings"] = {"total_ms": 0.0, "picture_ms": _milliseconds(subject.seconds)}
    if task.id is None:
        del item["id"]
    if isinstance(outcome.result, SarlensError):
        return item | error_object(outcome.result, request_id)
    found = outcome.result
    item |= {"text": found.text, "answer": {"type": task.form.type, "value": task.form.read(found.text)}}
    item["timings"]["answer_ms"] = _milliseconds(found.seconds)
    return item | {"usage": found.usage}


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)


def _json(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), media_type="application/json")
