"""The task service: runs tasks and chats for REST, ``sarlens.v1`` and the Open Inference Protocol alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from sarlens.admission.api_keys import ApiKey
from sarlens.api.common.auth import Authorizer
from sarlens.api.common.error_responses import openai_error
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.schemas import TaskRequest
from sarlens.api.common.usage import UsageMeter
from sarlens.chat.parse import ChatRequest
from sarlens.errors import SarlensError
from sarlens.inference.pipeline import InferencePipeline
from sarlens.inference.reply_parser import Completion, iter_completion_chunks, parse_completion
from sarlens.inference.sar_tasks import (
    Task,
    TaskAnswer,
    TaskImage,
    TaskOutcome,
    prepare_image,
    run_tasks,
    with_acquisition_context,
)
from sarlens.inference.second_opinion import agreement
from sarlens.inference.worker_stream import StreamedResponse
from sarlens.observability.metrics import Metrics
from sarlens.profiles.registry import AUTO
from sarlens.prompts.answer_types import Value
from sarlens.prompts.normalize import move_cell
from sarlens.types.box import Box
from sarlens.types.image_request import ImageRequest


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The answer to one task, or its error, with the image that it is about."""

    index: int
    """Index of the task in the request."""
    task: Task
    image: TaskImage
    outcome: TaskAnswer | SarlensError
    request_id: str
    total_s: float
    """Time since the request arrived, in seconds."""
    with_confidence: bool = False
    """Whether the caller requests the confidence of answers."""
    with_second_opinion: bool = False
    """Whether the caller requests the targets of the detector."""

    @property
    def value(self) -> Value:
        """The typed value of the answer; None for an error, or if the answer has no value of that type."""
        return None if isinstance(self.outcome, SarlensError) else self.outcome.value(self.task.answer_type)

    @property
    def agrees(self) -> bool | None:
        """Whether the answer agrees with the number of targets; None if they can't be compared."""
        targets = self.image.targets
        if targets is None or isinstance(self.outcome, SarlensError):
            return None
        return agreement(self.task, self.outcome, targets)

    @property
    def boxes(self) -> list[Box]:
        """The boxes in the text of the answer, in pixels of the image."""
        if isinstance(self.outcome, SarlensError) or self.image.boxes is None:
            return []
        return self.image.boxes.in_image(self.outcome.text)

    @property
    def position_on_map(self) -> str | None:
        """The position on a map with north up; None for another answer, or if the image isn't georeferenced."""
        value, turn = self.value, self.image.turn_on_map
        if self.task.answer_type.type != "position" or not isinstance(value, str) or turn is None:
            return None
        return move_cell(value, turn.cell)

    def to_json(self) -> dict[str, Any]:
        """Return the result as REST sends it."""
        params = dict(self.image.render_params)
        image: dict[str, Any] = {"id": self.image.id, "window": params.pop("window"), "render": params}
        image |= {"reduction": self.image.reduction, "radiometry": self.image.radiometry}
        if self.image.acquisition is not None:
            image["acquisition"] = self.image.acquisition.as_document
        document: dict[str, Any] = {"index": self.index}
        if self.task.id is not None:
            document["id"] = self.task.id
        document |= {"question": self.task.question, "application": self.task.application, "model": self.image.model}
        timings = {"total_ms": _milliseconds(self.total_s), "picture_ms": _milliseconds(self.image.seconds)}
        document |= {"image": image, "timings": timings}
        if isinstance(self.outcome, SarlensError):
            return document | openai_error(self.outcome, self.request_id)
        if self.with_second_opinion:
            document["cfar"] = {"targets": self.image.targets, "agrees": self.agrees}
        timings["answer_ms"] = _milliseconds(self.outcome.seconds)
        answer: dict[str, Any] = {"type": self.task.answer_type.type, "value": self.value}
        if self.task.answer_type.type == "position":
            answer |= {"position": self.value, "position_on_map": self.position_on_map}
        if boxes := self.boxes:
            answer["boxes"] = [[round(number, 1) for number in box] for box in boxes]
        document |= {"text": self.outcome.text, "answer": answer}
        document |= {name: getattr(self.outcome, name) for name in ("finish_reason", "refusal", "reasoning", "usage")}
        return document | ({"confidence": self.outcome.confidence} if self.with_confidence else {})


class TaskService:
    """Authorizes, runs and accounts for tasks about images and for chats."""

    def __init__(self, inference: InferencePipeline, authorizer: Authorizer, metrics: Metrics) -> None:
        self.pool = inference.pool
        self._inference = inference
        self._authorizer = authorizer
        self._metrics = metrics

    async def resolve_model(
        self, model: str | None, caller: RequestContext, images: Sequence[ImageRequest] = ()
    ) -> str:
        """Return the model that answers a request about images, as soon as a worker serves it.

        Raises:
            SarlensError: the model isn't served, or the caller's key doesn't allow an image.
        """
        if model == AUTO:  # the choice opens an image
            self._authorizer.check_image_access(caller.key, images)
        return await self._inference.resolve_model(model, images, caller.policy)

    async def authorize(
        self, caller: RequestContext, model: str | None, images: Sequence[ImageRequest], requests: int
    ) -> str:
        """Check the caller's access, count ``requests`` against its quota and return the name of the model.

        Raises:
            SarlensError: the model isn't served, or the caller's key doesn't allow the request.
        """
        model = await self.resolve_model(model, caller, images)
        await self._authorizer.authorize(caller.key, model, images, requests)
        return model

    async def run(
        self, request: TaskRequest, caller: RequestContext, started_at: float, *, batched: bool = True
    ) -> AsyncGenerator[TaskResult]:
        """Run the tasks of a request; each result is yielded as soon as it is known.

        Unless ``batched``, no result waits for another one.

        Raises:
            SarlensError: the caller isn't allowed, or the image can't be read; from the generator: all tasks failed
                with this error.
        """
        images = [ImageRequest(request.location, request.render)]
        model = await self.authorize(caller, request.model, images, len(request.tasks))
        return await self.run_authorized(request._replace(model=model), caller, started_at, batched=batched)

    async def run_authorized(
        self, request: TaskRequest, caller: RequestContext, started_at: float, *, batched: bool = True
    ) -> AsyncGenerator[TaskResult]:
        """Run the tasks of a request whose access is checked; raises as ``run`` does."""
        on_map = any(task.answer_type.type == "position" for task in request.tasks)
        image = await prepare_image(
            self._inference,
            request.model,
            request.location,
            request.render,
            caller.policy,
            on_map=on_map,
            cfar=request.cfar,
        )
        tasks: Sequence[Task] = [task.for_model(image.profile) for task in request.tasks]
        if request.context:
            tasks = with_acquisition_context(tasks, image.acquisition)
        if (boxes := image.boxes) is not None:
            tasks = [task.for_picture(boxes) for task in tasks]
        sent: dict[int, ChatRequest] = {}
        outcomes = run_tasks(
            self._inference,
            image,
            tasks,
            request.sampling,
            caller.request_id,
            caller.policy,
            batched=batched,
            on_sent=sent.__setitem__,
        )
        outcomes = self._recorded(outcomes, sent, image.model, caller.key)
        return self._results(outcomes, tasks, image, request, caller, started_at)

    async def complete(self, chat_request: ChatRequest, model: str, caller: RequestContext) -> Completion:
        """Run a chat whose access is checked, and return its completion.

        Raises:
            SarlensError: the chat failed.
        """
        meter = UsageMeter(perf_counter())
        try:
            with await self._inference.run(chat_request, meter.on_sent) as response:
                completion = parse_completion(response)
            meter = UsageMeter.of_usage(model, completion.usage)
        except asyncio.CancelledError:
            meter.expect_sent_prompt(partial(self._inference.estimate_prompt_tokens, chat_request))
            raise
        finally:
            await self._record_usage(meter, caller.key)
        return completion

    async def stream(self, chat_request: ChatRequest, model: str, caller: RequestContext) -> AsyncGenerator[Completion]:
        """Run a chat whose access is checked, and yield its text in chunks; the last one holds the usage.

        Raises:
            SarlensError: the chat failed.
        """
        meter = UsageMeter(perf_counter())
        try:
            with await self._inference.run(chat_request, meter.on_sent) as response:
                if not isinstance(response, StreamedResponse):
                    completion = parse_completion(response)
                    meter = UsageMeter.of_usage(model, completion.usage)
                    yield completion
                    return
                meter.expect_sent_prompt(partial(self._inference.estimate_prompt_tokens, chat_request))
                async for chunk in iter_completion_chunks(response, meter.feed):
                    yield chunk
        except asyncio.CancelledError:
            meter.expect_sent_prompt(partial(self._inference.estimate_prompt_tokens, chat_request))
            raise
        finally:
            await self._record_usage(meter, caller.key)

    async def _results(
        self,
        outcomes: AsyncGenerator[TaskOutcome],
        tasks: Sequence[Task],
        image: TaskImage,
        request: TaskRequest,
        caller: RequestContext,
        started_at: float,
    ) -> AsyncGenerator[TaskResult]:
        async with aclosing(outcomes):
            async for outcome in outcomes:
                yield TaskResult(
                    outcome.index,
                    tasks[outcome.index],
                    image,
                    outcome.result,
                    caller.request_id,
                    perf_counter() - started_at,
                    with_confidence=request.sampling.confidence,
                    with_second_opinion=request.cfar is not None,
                )

    async def _recorded(
        self, outcomes: AsyncGenerator[TaskOutcome], sent: dict[int, ChatRequest], model: str, key: ApiKey | None
    ) -> AsyncGenerator[TaskOutcome]:
        """Yield the outcomes, and record their usage. ``sent`` holds the requests that workers got, by index.

        If the caller leaves, those without an outcome are charged their prompts, as a chat is.
        """
        try:
            async with aclosing(outcomes):
                async for outcome in outcomes:
                    sent.pop(outcome.index, None)
                    await self._record(outcome, model, key)
                    yield outcome
        except (asyncio.CancelledError, GeneratorExit):
            for chat_request in sent.values():
                meter = UsageMeter(0.0)
                meter.expect_prompt(partial(self._inference.estimate_prompt_tokens, chat_request))
                await self._record_usage(meter, key)
            raise

    async def _record(self, outcome: TaskOutcome, model: str, key: ApiKey | None) -> None:
        if isinstance(outcome.result, SarlensError):
            self._metrics.errors.labels(outcome.result.code).inc()
        else:
            await self._record_usage(UsageMeter.of_usage(model, outcome.result.usage), key)

    async def _record_usage(self, meter: UsageMeter, key: ApiKey | None) -> None:
        meter.export(self._metrics, self.pool)
        await self._authorizer.record_tokens(key, meter.tokens)


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)
