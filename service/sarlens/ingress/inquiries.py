"""Answers inquiries over the same core as REST: the door, the queue, the router, the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import orjson

from sarlens.admission.keys import Key
from sarlens.chat import Ask, find_images, parse_render
from sarlens.errors import SarlensError, WorkerFailed
from sarlens.inference import Inference
from sarlens.ingress.door import Door
from sarlens.ingress.tally import Tally
from sarlens.ingress.tensors import Inquiry, Options, answer_of, chat_document, outputs_of, sar_object
from sarlens.metrics import Metrics
from sarlens.request import Terms
from sarlens.tasks import PATH, ask_all, examine, question_task, said
from sarlens.workers.client import Reply


class Caller(NamedTuple):
    """Who asks, on what terms, and the id of the request."""

    key: Key | None
    terms: Terms
    request_id: str


class Desk:
    """Puts inquiries to the workers."""

    def __init__(self, inference: Inference, door: Door, metrics: Metrics, *, max_images: int) -> None:
        self.pool = inference.pool
        self._inference = inference
        self._door = door
        self._metrics = metrics
        self._max_images = max_images

    async def answer_all(
        self, model: str, inquiries: Sequence[Inquiry], options: Options, caller: Caller
    ) -> list[dict[str, bytes]]:
        """The outputs of each inquiry; all are asked at the same time.

        Raises:
            SarlensError: one of them failed.
        """
        model = self.pool.resolve(model or None)
        await self._admit(model, inquiries, caller)
        tasks = [
            asyncio.create_task(
                self._answer(model, inquiry, options, caller._replace(request_id=f"{caller.request_id}-{index}"))
            )
            for index, inquiry in enumerate(inquiries)
        ]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stream(
        self, model: str, inquiry: Inquiry, options: Options, caller: Caller
    ) -> AsyncGenerator[dict[str, bytes]]:
        """The outputs of one inquiry as they come: a piece of text each, the usage with the last.

        Raises:
            SarlensError: it failed.
        """
        model = self.pool.resolve(model or None)
        await self._admit(model, [inquiry], caller)
        if inquiry.kind == "question":
            yield await self._answer(model, inquiry, options, caller)
            return
        tally = Tally(perf_counter())
        ask = self._chat(model, inquiry, options, caller, stream=True)
        try:
            async with self._inference.answer(ask) as reply:
                if not reply.streams:
                    text, usage = said(reply)
                    yield outputs_of(text, None, usage)
                    return
                async for event in _events(reply, tally):
                    choices = event.get("choices") or [{}]
                    text = choices[0].get("delta", {}).get("content") or ""
                    if text or event.get("usage"):
                        yield outputs_of(text, None, event.get("usage"))
        finally:
            tally.observe(self._metrics, self.pool)
            await self._door.charge(caller.key, tally.tokens)

    async def _admit(self, model: str, inquiries: Sequence[Inquiry], caller: Caller) -> None:
        # Images inside messages are looked at when these are read.
        urls = [inquiry.image for inquiry in inquiries if inquiry.image is not None and inquiry.kind == "question"]
        await self._door.admit(caller.key, model, urls, len(inquiries))

    async def _answer(self, model: str, inquiry: Inquiry, options: Options, caller: Caller) -> dict[str, bytes]:
        if inquiry.kind == "question":
            return await self._typed(model, inquiry, options, caller)
        async with self._inference.answer(self._chat(model, inquiry, options, caller, stream=False)) as reply:
            text, usage = said(reply)
        await self._count(model, usage, caller)
        return outputs_of(text, None, usage)

    async def _typed(self, model: str, inquiry: Inquiry, options: Options, caller: Caller) -> dict[str, bytes]:
        task = question_task(inquiry.words, options.application)
        render = parse_render(sar_object(options), "sar")
        subject = await examine(self._inference, model, inquiry.image or "", render)
        asked = ask_all(self._inference, subject, [task], options.sampling, caller.request_id, caller.terms)
        (outcome,) = [each async for each in asked]
        if isinstance(outcome.result, SarlensError):
            raise outcome.result
        await self._count(model, outcome.result.usage, caller)
        return answer_of(outcome.result, task.form.read(outcome.result.text), task.form.type)

    def _chat(self, model: str, inquiry: Inquiry, options: Options, caller: Caller, *, stream: bool) -> Ask:
        document = chat_document(inquiry, model, options, stream=stream)
        images = find_images(document["messages"], max_images=self._max_images)
        self._door.look(caller.key, [ref.url for ref in images])
        # With images the body is composed on the way.
        body = b"" if images else orjson.dumps(document)
        return Ask(PATH, body, document, model, stream, images, caller.request_id, caller.terms)

    async def _count(self, model: str, usage: dict[str, Any] | None, caller: Caller) -> None:
        tally = Tally.of_usage(model, usage)
        tally.observe(self._metrics, self.pool)
        await self._door.charge(caller.key, tally.tokens)


async def _events(reply: Reply, tally: Tally) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream, as JSON.

    Raises:
        WorkerFailed: it ended before it was complete, or is none.
    """
    rest = b""
    async for chunk in reply.chunks():
        tally.see(chunk)
        *events, rest = (rest + chunk).split(b"\n\n")
        for event in events:
            data = event.removeprefix(b"data: ")
            if data == b"[DONE]":
                return
            yield _event(data)
    raise WorkerFailed("The worker ended its answer before it was complete.")


def _event(data: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        event = None
    if not isinstance(event, dict):
        raise WorkerFailed("The worker streamed something that is no chat completion.")
    if "error" in event:
        raise WorkerFailed("The worker broke off its answer.")
    return event
