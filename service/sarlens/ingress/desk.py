"""Answers inquiries over the same core as REST: the door, the queue, the router, the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from time import perf_counter
from typing import Any

import orjson

from sarlens.admission.keys import Key
from sarlens.chat import Ask
from sarlens.errors import ModelNotFound, SarlensError, WorkerFailed
from sarlens.inference import Inference
from sarlens.ingress.caller import Caller
from sarlens.ingress.door import Door
from sarlens.ingress.duty import Duty
from sarlens.ingress.inquiries import Inquiry, Options, chat_of
from sarlens.ingress.statistics import Statistics
from sarlens.ingress.tally import Tally
from sarlens.ingress.tensors import Outputs, outputs_of
from sarlens.metrics import Metrics
from sarlens.request import View
from sarlens.tasks import PATH, ask_all, examine, question_task, said
from sarlens.workers.client import Reply


class Desk:
    """Puts inquiries to the workers."""

    def __init__(self, inference: Inference, door: Door, duty: Duty, metrics: Metrics, *, max_images: int) -> None:
        self.pool = inference.pool
        self._inference = inference
        self._door = door
        self._duty = duty
        self._metrics = metrics
        self._max_images = max_images
        self._statistics = Statistics()

    @property
    def ready(self) -> bool:
        """Whether some worker answers, and work is taken."""
        return self.pool.ready and not self._duty.draining

    def models(self, key: Key | None) -> list[str]:
        """The models that ready workers serve and a key opens."""
        return [name for name in self.pool.models() if key is None or key.may_ask(name)]

    def served(self, model: str, key: Key | None) -> str:
        """The model, if it is one of those.

        Raises:
            ModelNotFound: it is not.
        """
        if model not in self.models(key):
            raise ModelNotFound(f"No model {model[:100]!r} is served here, or none that your key opens.")
        return model

    def statistics_of(self, model: str, key: Key | None) -> list[dict[str, Any]]:
        """What was asked of a model, or of all that the key opens where ``model`` is empty.

        Raises:
            ModelNotFound: it is not served, or not to this key.
        """
        names = [self.served(model, key)] if model else self.models(key)
        return [self._statistics.of(name) for name in names]

    async def answer_all(
        self, model: str, inquiries: Sequence[Inquiry], options: Options, caller: Caller
    ) -> list[Outputs]:
        """The outputs of each inquiry; all are asked at the same time.

        Raises:
            SarlensError: one of them failed.
        """
        model = self.pool.resolve(model or None)
        await self._admit(model, inquiries, options, caller)
        tasks = [
            asyncio.create_task(
                self._answer(model, inquiry, options, caller._replace(request_id=f"{caller.request_id}-{index}"))
            )
            for index, inquiry in enumerate(inquiries)
        ]
        try:
            with self._statistics.request(model, len(tasks)):
                return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stream(self, model: str, inquiry: Inquiry, options: Options, caller: Caller) -> AsyncGenerator[Outputs]:
        """The outputs of one inquiry as they come: a piece of text each, the usage with the last.

        Raises:
            SarlensError: it failed.
        """
        model = self.pool.resolve(model or None)
        await self._admit(model, [inquiry], options, caller)
        with self._statistics.request(model, 1):
            if inquiry.kind == "question":
                yield await self._answer(model, inquiry, options, caller)
                return
            async with aclosing(self._pieces(model, inquiry, options, caller)) as pieces:
                async for outputs in pieces:
                    yield outputs

    async def _pieces(self, model: str, inquiry: Inquiry, options: Options, caller: Caller) -> AsyncGenerator[Outputs]:
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

    async def _admit(self, model: str, inquiries: Sequence[Inquiry], options: Options, caller: Caller) -> None:
        # Images inside messages are looked at when these are read.
        images = [inquiry.image for inquiry in inquiries if inquiry.image is not None and inquiry.kind == "question"]
        await self._door.admit(caller.key, model, [View(image, options.render) for image in images], len(inquiries))

    async def _answer(self, model: str, inquiry: Inquiry, options: Options, caller: Caller) -> Outputs:
        if inquiry.kind == "question":
            return await self._typed(model, inquiry, options, caller)
        async with self._inference.answer(self._chat(model, inquiry, options, caller, stream=False)) as reply:
            text, usage = said(reply)
        await self._count(model, usage, caller)
        return outputs_of(text, None, usage)

    async def _typed(self, model: str, inquiry: Inquiry, options: Options, caller: Caller) -> Outputs:
        task = question_task(inquiry.words, options.application)
        subject = await examine(self._inference, model, inquiry.image or "", options.render, caller.terms)
        asked = ask_all(self._inference, subject, [task], options.sampling, caller.request_id, caller.terms)
        (outcome,) = [each async for each in asked]
        if isinstance(outcome.result, SarlensError):
            raise outcome.result
        found = outcome.result
        await self._count(model, found.usage, caller)
        return outputs_of(found.text, {"type": task.form.type, "value": task.form.read(found.text)}, found.usage)

    def _chat(self, model: str, inquiry: Inquiry, options: Options, caller: Caller, *, stream: bool) -> Ask:
        document, images = chat_of(inquiry, model, options, stream=stream, max_images=self._max_images)
        self._door.look(caller.key, [ref.view for ref in images])
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
