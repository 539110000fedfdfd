"""The inference pipeline: from a parsed chat request to the response of a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple

from sarlens.admission.concurrency import ConcurrencyLimiter
from sarlens.admission.deadline import before_deadline
from sarlens.admission.fair_queue import Flow
from sarlens.chat.parse import ChatRequest
from sarlens.chat.prompt_estimate import estimate_prompt_tokens
from sarlens.errors import NoWorkerAvailable, PayloadTooLarge, WorkerLost, WorkerUnreachable
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.imagery.service.image_service import ImageService
from sarlens.inference.attempt import DispatchedResponse
from sarlens.inference.batch_request import BatchRequest
from sarlens.inference.boxed_response import asks_for_boxes, with_image_boxes, with_picture_boxes
from sarlens.inference.dispatcher import Dispatcher
from sarlens.inference.failover import BatchUnanswered
from sarlens.inference.model_choice import ModelChoice
from sarlens.inference.picture_boxes import PictureBoxes
from sarlens.inference.readiness_queue import ReadinessQueue
from sarlens.inference.reply_parser import Completion
from sarlens.inference.worker_request import WorkerRequest
from sarlens.inference.worker_response import JudgedResponse
from sarlens.json_input import run_off_loop
from sarlens.observability.logging import record_images, record_model
from sarlens.profiles.profile import ModelProfile
from sarlens.profiles.registry import Profiles
from sarlens.types.caller import CallerPolicy
from sarlens.types.image_request import ImageRequest
from sarlens.workers.pool import WorkerPool


class AdmittedRequest(NamedTuple):
    """A request that has a slot."""

    chat_request: ChatRequest
    model: str
    flow: Flow
    """Flow of the caller's requests, to which the slot returns."""
    pixels: int
    """Image pixels of the request."""
    admitted_at: float
    """Time in seconds of ``monotonic``."""


class RunningRequest:
    """A request whose response has begun; the end of its ``with`` block closes the response and frees the slot."""

    __slots__ = ("_dispatched", "_release_slot")

    def __init__(self, dispatched: DispatchedResponse, release_slot: Callable[[], None]) -> None:
        self._dispatched = dispatched
        self._release_slot = release_slot

    def __enter__(self) -> JudgedResponse:
        return self._dispatched.response

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._dispatched.close()
        finally:
            self._release_slot()


class InferencePipeline:
    """Resolves the images of a request, and sends the request to a worker."""

    def __init__(
        self,
        pool: WorkerPool,
        image_service: ImageService,
        dispatcher: Dispatcher,
        limiter: ConcurrencyLimiter,
        readiness_queue: ReadinessQueue,
        *,
        profiles: Profiles,
        image_id_secret: bytes,
        image_first: bool = True,
        priority_scheduling: bool = False,
        max_batch_questions: int = 1,
    ) -> None:
        """``max_batch_questions`` is the maximum number of questions in one request to a worker."""
        self.pool = pool
        self.image_service = image_service
        self.max_batch_questions = max_batch_questions
        self._dispatcher = dispatcher
        self._limiter = limiter
        self._readiness_queue = readiness_queue
        self.models = ModelChoice(pool, profiles, readiness_queue, image_service)
        self._image_id_secret = image_id_secret
        self._image_first = image_first
        self._priority_scheduling = priority_scheduling

    async def run(self, chat_request: ChatRequest, on_sent: Callable[[], object] | None = None) -> RunningRequest:
        """Run a request until the response of a worker begins: ``with await pipeline.run(...) as response``.

        ``on_sent`` is called before each attempt to send the request to a worker.

        Raises:
            SarlensError: an image can't be read, the gateway is overloaded, or all workers failed.
        """
        return await self.send(await self.admit(chat_request), on_sent=on_sent)

    async def admit(self, chat_request: ChatRequest) -> AdmittedRequest:
        """Wait for a worker that serves the model, and for a slot, which ``release`` frees.

        Raises:
            SarlensError: the model isn't served, or the gateway is overloaded.
        """
        images = [ref.request for ref in chat_request.images]
        model = await self.resolve_model(chat_request.model, images, chat_request.policy)
        record_model(model)
        chat_request = self._with_priority(chat_request)
        if chat_request.model != model and (chat_request.model is not None or len(self.pool.models()) > 1):
            # Without a name, a worker would choose a model of its own, which the caller may not be allowed to use.
            chat_request = chat_request.with_fields(model=model)
        size = self._checked_size(model, chat_request) if chat_request.images else 0
        pixels = sum([((ref.render and ref.render.size) or size) ** 2 for ref in chat_request.images])
        flow = await self._limiter.acquire(chat_request.policy, pixels, chat_request.requests)
        return AdmittedRequest(chat_request, model, flow, pixels, monotonic())

    def release(self, admitted: AdmittedRequest) -> None:
        """Free the slot of a request."""
        self._limiter.release(admitted.flow, admitted.pixels, monotonic() - admitted.admitted_at)

    async def send(
        self,
        admitted: AdmittedRequest,
        unanswered: BatchUnanswered | None = None,
        on_sent: Callable[[], object] | None = None,
    ) -> RunningRequest:
        """Send a request that has a slot, until the response of a worker begins; a failure frees the slot.

        Args:
            admitted: the request.
            unanswered: why no worker answered the batch that had the request.
            on_sent: called before each attempt to send the request to a worker.

        Raises:
            SarlensError: an image can't be read, or all workers failed.
        """
        deadline = admitted.chat_request.policy.deadline
        try:
            dispatching = self._resolve_and_dispatch(admitted, unanswered, on_sent)
            dispatched = await before_deadline(deadline, dispatching)
        except BaseException:
            self.release(admitted)
            raise
        return RunningRequest(dispatched, partial(self.release, admitted))

    async def send_batch(
        self, admitted: Sequence[AdmittedRequest], on_sent: Callable[[], object] | None = None
    ) -> list[Completion]:
        """Return the answers to chats about the same images that differ in their messages only, in their order.

        ``on_sent`` is called before each attempt to send them to a worker.

        Raises:
            BatchUnanswered: the chats must be sent one by one.
            SarlensError: an image can't be read, or all workers are full.
        """
        first = admitted[0]
        if all(worker.batch_route.exists is False for worker in self.pool.workers_for(first.model)):
            raise BatchUnanswered
        return await before_deadline(
            first.chat_request.policy.deadline, self._resolve_and_dispatch_batch(admitted, on_sent)
        )

    async def _resolve_and_dispatch(
        self, admitted: AdmittedRequest, unanswered: BatchUnanswered | None, on_sent: Callable[[], object] | None
    ) -> DispatchedResponse:
        """Send a request; if no worker accepted it or the last one was lost, use a new one or wait for one, once."""
        chat_request = admitted.chat_request
        resolved = await self._resolve_images(chat_request, admitted.model) if chat_request.images else ()
        if asks_for_boxes(chat_request):
            return await self._dispatch_with_boxes(admitted, resolved[0], on_sent)
        return await self._dispatch(admitted, chat_request, resolved, unanswered, on_sent)

    async def _dispatch_with_boxes(
        self, admitted: AdmittedRequest, resolved: ResolvedImage, on_sent: Callable[[], object] | None
    ) -> DispatchedResponse:
        """Send a chat with the boxes that the model sees; the response has those of the image."""
        boxes = PictureBoxes(await self.image_service.frame(resolved), self.profile(admitted.model).boxes.format)
        chat_request = admitted.chat_request
        chat_request = await run_off_loop(chat_request.size, partial(with_picture_boxes, chat_request, boxes))
        dispatched = await self._dispatch(admitted, chat_request, [resolved], None, on_sent)
        dispatched.response = with_image_boxes(dispatched.response, boxes)
        return dispatched

    async def _dispatch(
        self,
        admitted: AdmittedRequest,
        chat_request: ChatRequest,
        resolved: Sequence[ResolvedImage],
        unanswered: BatchUnanswered | None,
        on_sent: Callable[[], object] | None,
    ) -> DispatchedResponse:
        worker_request = WorkerRequest(
            chat_request,
            resolved,
            self.image_service,
            image_first=self._image_first,
            image_id_secret=self._image_id_secret,
            on_sent=on_sent,
        )
        model = admitted.model
        try:
            if unanswered is not None:
                return await self._dispatcher.dispatch_after_batch(model, worker_request, unanswered)
            return await self._dispatcher.dispatch(model, worker_request)
        except (WorkerUnreachable, NoWorkerAvailable, WorkerLost):
            ready = set(self.pool.workers_for(model))
            if (ready and ready <= set(worker_request.ranked)) or not worker_request.visits.may_add():
                raise
        model = await self._readiness_queue.resolve_model(model, chat_request.policy)
        return await self._dispatcher.dispatch(model, worker_request)

    async def _resolve_and_dispatch_batch(
        self, admitted: Sequence[AdmittedRequest], on_sent: Callable[[], object] | None
    ) -> list[Completion]:
        first = admitted[0]
        batch = BatchRequest(
            [request.chat_request for request in admitted],
            await self._resolve_images(first.chat_request, first.model),
            self.image_service,
            image_first=self._image_first,
            image_id_secret=self._image_id_secret,
            on_sent=on_sent,
        )
        return await self._dispatcher.dispatch_batch(first.model, batch)

    def _with_priority(self, chat_request: ChatRequest) -> ChatRequest:
        """Return the request with the priority of the caller's key, if workers schedule by it; 0 is their default."""
        priority = chat_request.policy.priority
        wanted = self._priority_scheduling and priority and chat_request.generates
        if not wanted or "priority" in chat_request.document:
            return chat_request
        return chat_request.with_fields(priority=priority)

    def resolve_model(
        self, model: str | None, images: Sequence[ImageRequest], policy: CallerPolicy
    ) -> Coroutine[Any, Any, str]:
        """Return the model that answers a request about images, as soon as a worker serves it."""
        return self.models.resolve(model, images, policy)

    async def _resolve_images(self, chat_request: ChatRequest, model: str) -> Sequence[ResolvedImage]:
        resolve, policy, profile = self.image_service.resolve, chat_request.policy, self.profile(model)
        requests = [(profile.image_request(ref.request), ref.version) for ref in chat_request.images]
        resolving = [resolve(request, profile.size, policy, version) for request, version in requests]
        # One image needs no task of its own.
        resolved = [await resolving[0]] if len(resolving) == 1 else await asyncio.gather(*resolving)
        record_images(image.id for image in resolved)
        return resolved

    def estimate_prompt_tokens(self, chat_request: ChatRequest) -> int:
        """Return the estimated tokens of a prompt, for a response that ends before the worker states them."""
        return estimate_prompt_tokens(chat_request, self.profile(chat_request.model).size)

    def profile(self, model: str | None) -> ModelProfile:
        """Return the profile of a model, or that of its base model; without a name, the profile of the only model."""
        return self.models.profile(model)

    def _checked_size(self, model: str, chat_request: ChatRequest) -> int:
        """Return the longest side, in pixels, of the images of a chat that a model sees.

        Raises:
            PayloadTooLarge: the chat has more images than the profile of the model allows.
        """
        profile = self.profile(model)
        if profile.max_images is not None and len(chat_request.images) > profile.max_images:
            raise PayloadTooLarge(
                f"A request to this model can have at most {profile.max_images} images.", param="messages"
            )
        return profile.size
