"""The data plane of the Open Inference Protocol: batches of inference items, for REST and gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from functools import partial
from itertools import chain
from time import perf_counter
from typing import Any

from sarlens.admission.api_keys import ApiKey
from sarlens.api.common.drain import DrainController
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.schemas import TaskRequest
from sarlens.api.common.task_service import TaskResult, TaskService
from sarlens.api.oip.requests import InferItem, InferParameters, to_chat
from sarlens.api.oip.statistics import Statistics
from sarlens.api.oip.tensors import Outputs, make_outputs
from sarlens.chat.parse import ChatRequest
from sarlens.chat.paths import CHAT_PATH
from sarlens.errors import ModelNotFound, SarlensError
from sarlens.inference.sar_tasks import vqa_task
from sarlens.json_input import run_off_loop
from sarlens.types.image_request import MAX_URL_CHARS, ImageRequest


class DataPlane:
    """Runs inference items of the Open Inference Protocol on the task service."""

    def __init__(self, tasks: TaskService, drain_controller: DrainController, *, max_images: int) -> None:
        self.pool = tasks.pool
        self._tasks = tasks
        self._drain_controller = drain_controller
        self._max_images = max_images
        self._statistics = Statistics()

    @property
    def accepts_requests(self) -> bool:
        """Whether the first health checks have ended and the gateway isn't draining."""
        return self.pool.initialized and not self._drain_controller.draining

    @property
    def ready(self) -> bool:
        """Whether at least one worker is ready and the gateway isn't draining."""
        return self.pool.ready and not self._drain_controller.draining

    def models(self, key: ApiKey | None) -> list[str]:
        """Return the models that ready workers serve and the key allows."""
        return [name for name in self.pool.models() if key is None or key.allows_model(name)]

    def require_model(self, model: str, key: ApiKey | None) -> str:
        """Return the name of a model that a ready worker serves and the key allows.

        Raises:
            ModelNotFound: no ready worker serves the model, or the key doesn't allow it.
        """
        if model not in self.models(key):
            raise ModelNotFound(f"The model {model[:100]!r} isn't served, or your API key doesn't allow it.")
        return model

    def statistics_of(self, model: str, key: ApiKey | None) -> list[dict[str, Any]]:
        """Return the statistics of a model, or of all models that the key allows if ``model`` is empty.

        Raises:
            ModelNotFound: no ready worker serves the model, or the key doesn't allow it.
        """
        names = [self.require_model(model, key)] if model else self.models(key)
        return [self._statistics.snapshot(name) for name in names]

    async def infer(
        self, model: str, items: Sequence[InferItem], parameters: InferParameters, caller: RequestContext
    ) -> list[Outputs]:
        """Run all items concurrently and return the outputs of each.

        Raises:
            SarlensError: one of the items failed.
        """
        model = await self._tasks.resolve_model(model or None, caller)
        callers = [caller._replace(request_id=f"{caller.request_id}-{index}") for index in range(len(items))]
        chats = [
            await self._to_chat_request(model, item, parameters, item_caller)
            for item, item_caller in zip(items, callers, strict=True)
        ]
        await self._authorize(model, items, chats, parameters, caller)
        groups = _group_by_image(items)
        answers = [
            self._answer_questions(model, [items[index] for index in group], parameters, callers[group[0]])
            if (chat_request := chats[group[0]]) is None
            else self._complete(model, chat_request, callers[group[0]])
            for group in groups
        ]
        with self._statistics.record(model, len(items)):
            outputs = [await answers[0]] if len(answers) == 1 else await _gather(answers)
        by_index = dict(zip(chain(*groups), chain(*outputs), strict=True))
        return [by_index[index] for index in range(len(items))]

    async def infer_stream(
        self, model: str, item: InferItem, parameters: InferParameters, caller: RequestContext
    ) -> AsyncGenerator[Outputs]:
        """Run one item and yield its outputs as they arrive; the last ones hold the usage.

        Raises:
            SarlensError: the item failed.
        """
        model = await self._tasks.resolve_model(model or None, caller)
        chat_request = await self._to_chat_request(model, item, parameters, caller, stream=True)
        await self._authorize(model, [item], [chat_request], parameters, caller)
        with self._statistics.record(model, 1):
            if chat_request is None:
                (outputs,) = await self._answer_questions(model, [item], parameters, caller)
                yield outputs
                return
            async with aclosing(self._tasks.stream(chat_request, model, caller)) as chunks:
                async for chunk in chunks:
                    yield make_outputs(chunk.text, None, chunk.usage)

    async def _authorize(
        self,
        model: str,
        items: Sequence[InferItem],
        chats: Sequence[ChatRequest | None],
        parameters: InferParameters,
        caller: RequestContext,
    ) -> None:
        """Check the caller's access to all images, and count a request for each question and for those of each chat."""
        images = [ref.request for chat in chats if chat is not None for ref in chat.images]
        images += [ImageRequest(item.image or "", parameters.render) for item in items if item.kind == "question"]
        requests = sum(1 if chat is None else chat.requests for chat in chats)
        await self._tasks.authorize(caller, model, images, requests)

    async def _complete(self, model: str, chat_request: ChatRequest, caller: RequestContext) -> list[Outputs]:
        completion = await self._tasks.complete(chat_request, model, caller)
        return [make_outputs(completion.text, None, completion.usage)]

    async def _answer_questions(
        self, model: str, items: Sequence[InferItem], parameters: InferParameters, caller: RequestContext
    ) -> list[Outputs]:
        """Answer questions about one image; raises the error of the first one that fails."""
        tasks = tuple(vqa_task(item.text, parameters.application) for item in items)
        request = TaskRequest(model, items[0].image or "", parameters.render, tasks, parameters.sampling, context=False)
        results = [each async for each in await self._tasks.run_authorized(request, caller, perf_counter())]
        return [_to_outputs(result) for result in sorted(results, key=lambda result: result.index)]

    async def _to_chat_request(
        self, model: str, item: InferItem, parameters: InferParameters, caller: RequestContext, *, stream: bool = False
    ) -> ChatRequest | None:
        """Return the chat of a prompt or messages; None for a question."""
        if item.kind == "question":
            return None
        convert = partial(to_chat, item, model, parameters, stream=stream, max_images=self._max_images)
        document, images = await run_off_loop(len(item.text), convert)
        size = len(item.text)
        return ChatRequest(CHAT_PATH, None, size, document, model, stream, images, caller.request_id, caller.policy)


async def _gather(answers: Sequence[Coroutine[Any, Any, list[Outputs]]]) -> list[list[Outputs]]:
    """Run all concurrently; the first error cancels the others."""
    running = [asyncio.create_task(answer) for answer in answers]
    try:
        return await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _group_by_image(items: Sequence[InferItem]) -> list[list[int]]:
    """Return the indexes of items, in groups of questions about the same image; any other item is a group of its own.

    Long locations are the same only if they are the same object, as one image for several questions is.
    """
    groups: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        image = item.image
        key: object = image if isinstance(image, str) and len(image) <= MAX_URL_CHARS else id(image)
        groups.setdefault(key if item.kind == "question" else (index,), []).append(index)
    return list(groups.values())


def _to_outputs(result: TaskResult) -> Outputs:
    """Return the outputs of a question.

    Raises:
        SarlensError: the question failed.
    """
    if isinstance(result.outcome, SarlensError):
        raise result.outcome
    answer = {"type": result.task.answer_type.type, "value": result.value}
    return make_outputs(result.outcome.text, answer, result.outcome.usage)
